"""Cover through an insurer that works, fails, is slow, or answers wrongly: nothing is lost and nothing doubled."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.rights import covers, insurance
from services.rights.insurance import HttpInsurer
from services.rights.sender import Sender
from services.rights.store import Cover, oldest_asking
from shared.contracts.rights import AgreementMade, CoverConfirmed, CoverRefused
from shared.providers import provider_client
from shared.sending import AT_ONCE, LEASE
from shared.testing import Harness
from tests.service.rights.insurer import RecordingInsurer, Turn, recording_insurer
from tests.service.rights.placements import MORNING, WORKER, placement_cancelled, placement_made
from tests.service.test_remembering import forgets, remember

pytestmark = pytest.mark.feature("F21")

REFERENCE = "regional-scheme:placement-1"


@pytest.fixture
async def insurer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RecordingInsurer]:
    """There is an insurer, as if its address had been set."""
    monkeypatch.setattr(covers, "has_insurer", lambda: True)
    async with recording_insurer() as insurer:
        yield insurer


@pytest.fixture
async def sender(rights: Harness, insurer: RecordingInsurer) -> AsyncIterator[Sender]:
    async with provider_client() as client:
        yield Sender(rights.runtime, HttpInsurer(insurer.url, client))


async def ask(sender: Sender) -> int:
    """One round of the sender; of how many covers it asked."""
    claimed = await sender.claim()
    await sender.ask(claimed)
    return len(claimed)


async def only_cover(rights: Harness) -> Cover:
    [cover] = await rights.all(Cover)
    return cover


async def seen(rights: Harness) -> dict[str, Any]:
    answer = await rights.http.get("/agreements/placement-1", headers=rights.as_("worker", WORKER))
    insured: dict[str, Any] = answer.json()["insurance"]
    return insured


async def start(rights: Harness) -> tuple[int, Any]:
    answer = await rights.http.post("/shifts/placement-1/start", headers=rights.as_("worker", WORKER))
    body = answer.json()
    return answer.status_code, (body.get("code"), body.get("facts", {}).get("cover"))


async def test_a_cover_is_pending_until_the_insurer_confirms_it(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    await rights.receives(placement_made())
    [agreed] = await rights.published(AgreementMade)
    assert (agreed.policy_id, agreed.cover) == (REFERENCE, "pending")
    before = await seen(rights)
    assert (before["status"], before["policy_id"]) == ("pending", None)
    assert insurer.asked == []
    assert await ask(sender) == 1
    after = await seen(rights)
    assert (after["status"], after["policy_id"]) == ("active", f"P-{REFERENCE}")
    [confirmed] = await rights.published(CoverConfirmed)
    assert (confirmed.placement_id, confirmed.policy_id, confirmed.at) == ("placement-1", f"P-{REFERENCE}", MORNING)
    assert insurer.asked == [
        (
            "enrolments",
            f"enrol:{REFERENCE}",
            {
                "reference": REFERENCE,
                "worker_id": WORKER,
                "employer_id": "employer-1",
                "district": "430102",
                "occupation": "6-02-06-12",
                "covers": {"start": "2026-11-23T00:00:00Z", "end": "2026-11-23T08:00:00Z"},
            },
        )
    ]
    assert await ask(sender) == 0


async def test_no_start_before_the_insurers_word(rights: Harness, sender: Sender) -> None:
    await rights.receives(placement_made())
    rights.clock.advance(hours=2)
    assert await start(rights) == (409, ("no-cover", "pending"))
    await ask(sender)
    assert (await start(rights))[0] == 200


async def test_what_the_insurer_refuses_may_not_start(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    await rights.receives(placement_made())
    insurer.turns.append(422)
    await ask(sender)
    insured = await seen(rights)
    assert (insured["status"], insured["refused_for"]) == ("refused", "occupation-not-covered")
    [refused] = await rights.published(CoverRefused)
    assert (refused.placement_id, refused.reason) == ("placement-1", "occupation-not-covered")
    rights.clock.advance(hours=2)
    assert await start(rights) == (409, ("no-cover", "refused"))
    assert await ask(sender) == 0
    await rights.receives(placement_cancelled())
    assert await ask(sender) == 0
    assert (await only_cover(rights)).status == "withdrawn"
    assert insurer.covered == insurer.withdrawn == {}


async def test_texts_of_a_refusal_are_passed_on_to_nobody(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    await rights.receives(placement_made())
    insurer.turns.append("no-code")
    await ask(sender)
    assert (await rights.published(CoverRefused))[0].reason == "not-said"


@pytest.mark.parametrize(
    ("turn", "seconds", "trouble"),
    [
        (500, 2, "broken"),
        ("cut", 2, "unreachable"),
        ("taken-but-cut", 2, "unreachable"),
        ("hang", 2, "timeout"),
        ("garbage", 2, "broken"),
        ("of-another", 2, "broken"),
        ("no-number", 2, "broken"),
        (503, 30, "busy"),
        (404, 60, "misconfigured"),
        (401, 60, "misconfigured"),
    ],
)
async def test_an_insurer_that_fails_is_asked_again_and_covers_once(
    rights: Harness,
    sender: Sender,
    insurer: RecordingInsurer,
    monkeypatch: pytest.MonkeyPatch,
    turn: Turn,
    seconds: int,
    trouble: str,
) -> None:
    if turn == "hang":
        monkeypatch.setattr(insurance, "TIMEOUT_SECONDS", 0.2)
    await rights.receives(placement_made())
    insurer.turns.append(turn)
    assert await ask(sender) == 1
    insured = await seen(rights)
    assert (insured["status"], insured["trouble"]) == ("pending", trouble)
    monkeypatch.setattr(insurance, "TIMEOUT_SECONDS", 30)
    rights.clock.advance(seconds=seconds - 1)
    assert await ask(sender) == 0
    rights.clock.advance(seconds=1)
    assert await ask(sender) == 1
    insured = await seen(rights)
    assert (insured["status"], insured["trouble"]) == ("active", None)
    assert list(insurer.covered) == [f"enrol:{REFERENCE}"]
    assert insurer.asked_by_key == {f"enrol:{REFERENCE}": 2}
    assert len(await rights.published(CoverConfirmed)) == 1


async def test_an_insurer_that_answers_twice_covers_once(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    insurer.turns.append("answer-twice")
    await rights.receives(placement_made(), placement_made("placement-2"))
    while await ask(sender):
        pass
    rights.clock.advance(minutes=10)
    while await ask(sender):
        pass
    policies = {cover.id: cover.policy_id for cover in await rights.all(Cover)}
    assert policies == {id: f"P-regional-scheme:{id}" for id in ("placement-1", "placement-2")}
    assert len(insurer.covered) == len(await rights.published(CoverConfirmed)) == 2


async def test_while_the_insurer_is_down_covers_wait_and_nothing_is_lost(
    rights: Harness, insurer: RecordingInsurer
) -> None:
    many = AT_ONCE + 5
    await rights.receives(*(placement_made(f"placement-{n}") for n in range(many)))
    async with provider_client() as client:
        away = Sender(rights.runtime, HttpInsurer("http://127.0.0.1:1", client))
        assert await ask(away) + await ask(away) == many
        assert {(cover.status, cover.trouble) for cover in await rights.all(Cover)} == {("pending", "unreachable")}
        assert await oldest_asking(rights.reading()) == MORNING
        rights.clock.advance(hours=2)
        assert await start(rights) == (409, ("no-cover", "pending"))
        back = Sender(rights.runtime, HttpInsurer(insurer.url, client))
        assert await ask(back) + await ask(back) == many
    assert (await start(rights))[0] == 200
    assert set(insurer.asked_by_key.values()) == {1}
    assert len(insurer.covered) == len(await rights.published(CoverConfirmed)) == many
    assert await oldest_asking(rights.reading()) is None


async def test_an_answer_that_does_not_come_keeps_no_other_cover_waiting(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    await rights.receives(*(placement_made(f"placement-{n}") for n in range(3)))
    insurer.turns.append("hang")
    asking = asyncio.create_task(ask(sender))
    while sum(cover.status == "active" for cover in await rights.all(Cover)) < 2:
        assert not asking.done()
        await asyncio.sleep(0.02)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert sorted(cover.status for cover in await rights.all(Cover)) == ["active", "active", "pending"]


async def test_two_processes_enrol_each_cover_once(rights: Harness, sender: Sender, insurer: RecordingInsurer) -> None:
    await rights.receives(*(placement_made(f"placement-{n}") for n in range(AT_ONCE)))
    async with provider_client() as client:
        other = Sender(rights.runtime, HttpInsurer(insurer.url, client))
        await asyncio.gather(ask(sender), ask(other), ask(sender))
    rights.clock.now += LEASE
    while await ask(sender):
        pass
    assert len(insurer.covered) == len(await rights.published(CoverConfirmed)) == AT_ONCE
    assert set(insurer.asked_by_key.values()) == {1}


async def test_what_a_process_died_with_is_asked_again_under_the_same_key(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    await rights.receives(placement_made())
    [cover] = await sender.claim()
    await sender._answer(cover)  # the insurer has it, and the process dies before it is written down
    assert await ask(sender) == 0
    rights.clock.now += LEASE
    assert await ask(sender) == 1
    assert insurer.asked_by_key == {f"enrol:{REFERENCE}": 2}
    assert len(insurer.covered) == 1
    await sender.ask([cover])  # and it was not dead after all
    assert len(await rights.published(CoverConfirmed)) == len(insurer.covered) == 1


async def test_a_cancellation_withdraws_what_the_insurer_covers(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    await rights.receives(placement_made())
    await ask(sender)
    insurer.turns.extend([500, "taken-but-cut"])
    await rights.receives(placement_cancelled(at=MORNING + timedelta(minutes=5)))
    for _ in range(3):
        assert await ask(sender) == 1
        rights.clock.advance(minutes=1)
    assert await ask(sender) == 0
    assert insurer.withdrawn == {
        f"withdraw:{REFERENCE}": {
            "reference": REFERENCE,
            "policy_id": f"P-{REFERENCE}",
            "at": "2026-11-22T22:05:00Z",
        }
    }
    assert insurer.asked_by_key == {f"enrol:{REFERENCE}": 1, f"withdraw:{REFERENCE}": 3}
    assert (await only_cover(rights)).status == "withdrawn"


async def test_what_was_never_asked_for_is_not_asked_for_after_a_cancellation(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    await rights.receives(placement_made())
    await rights.receives(placement_cancelled())
    await rights.receives(placement_cancelled("placement-2"))
    await rights.receives(placement_made("placement-2"))
    assert await ask(sender) == 0
    assert insurer.asked == []
    assert {cover.status for cover in await rights.all(Cover)} == {"withdrawn"}


@pytest.mark.parametrize("turn", [200, "taken-but-cut", "cut", 422])
async def test_a_cancellation_while_the_insurer_is_asked_leaves_no_cover_behind(
    rights: Harness, sender: Sender, insurer: RecordingInsurer, turn: Turn
) -> None:
    await rights.receives(placement_made())
    insurer.turns.append(turn)
    claimed = await sender.claim()
    await rights.receives(placement_cancelled())
    await sender.ask(claimed)
    assert (await seen(rights))["status"] == "withdrawn"
    rights.clock.advance(minutes=1)
    while await ask(sender):
        pass
    assert len(insurer.covered) == len(insurer.withdrawn) == (0 if turn == 422 else 1)
    assert (await seen(rights))["status"] == "withdrawn"
    assert await rights.published(CoverConfirmed) == await rights.published(CoverRefused) == []


async def test_a_refused_withdrawal_is_not_asked_for_again_and_stays_to_be_seen(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    await rights.receives(placement_made())
    await ask(sender)
    await rights.receives(placement_cancelled())
    insurer.turns.append(409)
    assert await ask(sender) == 1
    rights.clock.advance(hours=1)
    assert await ask(sender) == 0
    insured = await seen(rights)
    assert (insured["status"], insured["refused_for"]) == ("withdrawn", "occupation-not-covered")


async def test_when_the_shift_is_over_nobody_is_enrolled_any_more(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    await rights.receives(placement_made())
    rights.clock.advance(hours=10)
    assert await ask(sender) == 0
    assert insurer.asked == []
    [refused] = await rights.published(CoverRefused)
    assert refused.reason == "too-late"


async def test_an_enrolment_that_was_heard_of_too_late_is_withdrawn(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    await rights.receives(placement_made())
    insurer.turns.append("taken-but-cut")
    await ask(sender)
    rights.clock.advance(hours=10)
    while await ask(sender):
        pass
    [refused] = await rights.published(CoverRefused)
    assert refused.reason == "too-late"
    assert list(insurer.covered) == [f"enrol:{REFERENCE}"]
    assert insurer.withdrawn[f"withdraw:{REFERENCE}"]["at"] == "2026-11-23T00:00:00Z"
    assert (await only_cover(rights)).status == "refused"


@pytest.mark.feature("F46")
async def test_evidence_says_what_is_known_of_a_cover_and_not_how_it_is_asked_for(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    async def evidence() -> dict[str, Any]:
        answer = await rights.http.get("/placements/placement-1/evidence", headers=rights.as_("worker", WORKER))
        assert answer.status_code == 200
        [body] = [entry["body"] for entry in answer.json()["entries"] if entry["kind"] == "cover"]
        return dict(body)

    await rights.receives(placement_made())
    known = {
        "provider": "regional-scheme",
        "policy_id": None,
        "period": {"start": "2026-11-23T00:00:00Z", "end": "2026-11-23T08:00:00Z"},
        "occupation": "6-02-06-12",
        "status": "pending",
        "refused_for": None,
        "withdrawn_at": None,
        "confirmed_at": None,
    }
    assert await evidence() == known
    await ask(sender)
    now = (await evidence())["confirmed_at"]
    assert datetime.fromisoformat(now) == rights.clock.now
    assert await evidence() == known | {"policy_id": f"P-{REFERENCE}", "status": "active", "confirmed_at": now}


async def test_after_a_restore_the_insurer_is_not_asked_again_and_hears_of_a_withdrawal(
    rights: Harness, sender: Sender, insurer: RecordingInsurer
) -> None:
    await rights.receives(placement_made())
    await ask(sender)
    [confirmed] = await rights.published(CoverConfirmed)
    await forgets(rights, placement_made())
    assert (await only_cover(rights)).ask == "enrol"
    await remember(rights, confirmed)
    await remember(rights, confirmed)
    cover = await only_cover(rights)
    assert (cover.status, cover.policy_id, cover.confirmed_at) == ("active", confirmed.policy_id, confirmed.at)
    assert await ask(sender) == 0
    await rights.receives(placement_cancelled())
    assert await ask(sender) == 1
    assert (len(insurer.covered), len(insurer.withdrawn)) == (1, 1)


async def test_after_a_restore_a_refusal_stands(rights: Harness, sender: Sender, insurer: RecordingInsurer) -> None:
    insurer.turns.append(422)
    await rights.receives(placement_made())
    await ask(sender)
    [refused] = await rights.published(CoverRefused)
    await forgets(rights, placement_made())
    await remember(rights, refused)
    cover = await only_cover(rights)
    assert (cover.status, cover.refused_for, cover.ask) == ("refused", refused.reason, None)
