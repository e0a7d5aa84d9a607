"""Points of reliability: every change has its entry and event, few points suspend for a time, an appeal undoes one."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.rights import covers, domain
from services.rights.reliability import TAKEN_BACK, WHAT
from services.rights.store import RULES, Cover, Entry, Sanction, Shift, standing_id
from shared.auth import Role
from shared.contracts.matching import ConfirmationLapsed, ExcuseDecided, PlacementCancelled
from shared.contracts.rights import ReliabilityChanged, SanctionLifted, SanctionSet, ShiftMissed
from shared.testing import Harness
from tests.service.rights.placements import DISTRICT, EMPLOYER, MORNING, WORKER, placement_cancelled, placement_made
from tests.service.rights.test_arrears import OPENS, contest
from tests.service.rights.test_cases import clerk, step
from tests.service.rights.test_pay import MIDNIGHT, post, work

pytestmark = pytest.mark.feature("F26")

Body = dict[str, Any]
TEXT = "当天在医院急诊，有病历"


async def get(rights: Harness, path: str, role: Role = "worker", who: str = "", **query: Any) -> Body:
    headers = rights.as_(role, who or (WORKER if role == "worker" else EMPLOYER))
    answer = await rights.http.get(f"/reliability/{path}", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    found: Body = answer.json()
    return found


async def score(rights: Harness, role: Role = "worker", **query: Any) -> int:
    found: int = (await get(rights, "me", role, **query))["score"]
    return found


async def ledger(rights: Harness, role: Role = "worker") -> list[tuple[str, int, int]]:
    """What changed a person's points, oldest first: the rule, the points, and the score with them."""
    items = (await get(rights, "me/entries", role, limit=100))["items"]
    return [(item["rule"], item["points"], item["score"]) for item in reversed(items)]


def late(n: int = 1, by: str = "worker", **more: Any) -> PlacementCancelled:
    return placement_cancelled(f"placement-{n}", by=by).model_copy(update={"late": True, **more})


def excuse(n: int = 1, by: str = "worker", *, accepted: bool = True) -> ExcuseDecided:
    return ExcuseDecided(
        placement_id=f"placement-{n}",
        gig_id="gig-1",
        worker_id=WORKER,
        employer_id=EMPLOYER,
        district=DISTRICT,
        by="worker" if by == "worker" else "employer",
        excuse="illness",
        accepted=accepted,
        compensation_fen=0,
        at=MORNING,
    )


async def no_shows(rights: Harness, numbers: Iterable[int]) -> None:
    """The worker does not come to so many shifts, one after the other."""
    for n in numbers:
        await rights.receives(placement_made(f"placement-{n}", start=rights.clock.now + timedelta(hours=1)))
        await rights.later(hours=1, minutes=10)


async def appeal(
    rights: Harness, entry: str, *, role: Role = "worker", who: str = "", text: str = TEXT
) -> tuple[int, Body]:
    headers = rights.as_(role, who or (WORKER if role == "worker" else EMPLOYER))
    answer = await rights.http.post(f"/reliability/entries/{entry}/appeal", json={"text": text}, headers=headers)
    return answer.status_code, answer.json()


async def decide(rights: Harness, entry: str, *, upheld: bool = True, who: str = "clerk-2", of: str = "4301") -> Body:
    verdict = {"upheld": upheld, "reason": "病历已核对"}
    answer = await rights.http.post(
        f"/reliability/entries/{entry}/appeal/decision", json=verdict, headers=clerk(rights, who, of)
    )
    found: Body = answer.json()
    return found | {"http": answer.status_code}


def entry_of(rule: str, n: int = 1, side: str = "worker") -> str:
    return f"placement-{n}.{side}.{rule}"


# --- what gives and what takes ---------------------------------------------------------------------------------------


async def test_work_whose_minutes_stand_and_pay_that_came_in_time_give_points(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    assert await ledger(rights) == []
    employer = rights.as_("employer", EMPLOYER)
    assert (await rights.http.post("/timesheets/placement-1/approve", headers=employer)).is_success
    assert await ledger(rights) == [("worked", 1, 101)]
    assert await post(rights, "confirm") == (200, "confirmed")
    assert await ledger(rights, "employer") == [("paid-on-time", 1, 101)]
    said = {(one.party, one.party_id, one.rule, one.points, one.score) for one in await changes(rights)}
    assert said == {("worker", WORKER, "worked", 1, 101), ("employer", EMPLOYER, "paid-on-time", 1, 101)}
    [entry] = (await get(rights, "me/entries"))["items"]
    assert (entry["cause"], entry["about_id"], entry["rules"]) == (
        "rights.timesheet-approved.v1",
        "placement-1",
        "default-2",
    )
    assert (entry["text"], entry["left"], entry["district"]) == (WHAT["worked"].en, 1, DISTRICT)


async def changes(rights: Harness) -> list[ReliabilityChanged]:
    return await rights.published(ReliabilityChanged)


async def test_disputed_hours_give_points_when_they_are_settled_and_were_worked(rights: Harness) -> None:
    await rights.receives(placement_made("placement-1"), placement_made("placement-2"))
    await work(rights, 480, "placement-1", "placement-2")
    for n, minutes in ((1, 400), (2, 0)):
        body = {"minutes": minutes, "reason": "was-away"}
        path = f"/timesheets/placement-{n}"
        assert (
            await rights.http.post(f"{path}/dispute", json=body, headers=rights.as_("employer", EMPLOYER))
        ).is_success
        assert (await rights.http.post(f"{path}/agree", headers=rights.as_("worker", WORKER))).is_success
    assert [entry.about_id for entry in await rights.all(Entry)] == ["placement-1"]


async def test_who_does_not_come_loses_points_once(rights: Harness) -> None:
    await no_shows(rights, [1])
    assert await ledger(rights) == [("no-show", -20, 80)]
    gone = placement_cancelled(by="market").model_copy(update={"reason": "no-show"})
    await rights.receives(gone, gone)
    assert await ledger(rights) == [("no-show", -20, 80)]
    [said] = await changes(rights)
    assert (said.entry_id, said.key, said.takes_back_id) == (entry_of("no-show"), WORKER, None)


async def test_who_could_not_start_for_want_of_cover_loses_none(
    rights: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The insurer's word is still awaited, or came after they were expected; the third, in time, is the control."""
    monkeypatch.setattr(covers, "has_insurer", lambda: True)
    start = MORNING + timedelta(hours=2)
    await rights.receives(*(placement_made(f"placement-{n}") for n in (1, 2, 3)))

    async def confirm(n: int, at: datetime) -> None:
        rights.clock.now = at

        async def answer(unit: Any) -> None:
            cover = await unit.get(Cover, f"placement-{n}")
            covers.confirm(unit, cover, "P-1")

        await rights.runtime.store.transact(answer)

    await confirm(3, start)
    await confirm(2, start + timedelta(seconds=1))
    await rights.later(minutes=10)
    assert len(await rights.published(ShiftMissed)) == 3
    assert [entry.about_id for entry in await rights.all(Entry)] == ["placement-3"]


async def test_late_cancellations_cost_who_cancels_and_others_cost_nothing(rights: Harness) -> None:
    in_time, by_market = placement_cancelled("placement-8", by="worker"), late(9, by="market")
    unattended = placement_cancelled("placement-3", by="market").model_copy(update={"reason": "unattended"})
    await rights.receives(late(1), late(2, by="employer"), unattended, in_time, by_market)
    await rights.receives(late(1), late(2, by="employer"), unattended)  # said again
    assert await ledger(rights) == [("late-cancellation", -5, 95), ("unattended", -5, 90)]
    assert await ledger(rights, "employer") == [("late-cancellation", -5, 95)]


@pytest.mark.parametrize("by", ["worker", "employer"])
async def test_an_excuse_that_is_accepted_gives_the_points_back_and_another_does_not(rights: Harness, by: Role) -> None:
    await rights.receives(late(1, by, excuse="illness"), late(2, by, excuse="illness"))
    assert await score(rights, by) == 90
    await rights.receives(excuse(1, by), excuse(1, by), excuse(2, by, accepted=False))
    assert await ledger(rights, by) == [
        ("late-cancellation", -5, 95),
        ("late-cancellation", -5, 90),
        ("late-cancellation", 5, 95),
    ]
    back, _, first = (await get(rights, "me/entries", by))["items"]
    assert (back["takes_back_id"], back["because"], back["text"]) == (
        first["entry_id"],
        "excuse",
        TAKEN_BACK["excuse"].en,
    )
    assert (first["taken_back_by"], first["points"], first["left"]) == (back["entry_id"], -5, 0)


async def test_a_gig_whose_employer_never_answers_costs_it_once_however_many_waited(rights: Harness) -> None:
    for n in (1, 2):
        await rights.receives(
            ConfirmationLapsed(
                placement_id=f"held-{n}",
                offer_id=f"offer-{n}",
                gig_id="gig-1",
                worker_id=f"worker-{n}",
                employer_id=EMPLOYER,
                district=DISTRICT,
                at=MORNING,
            )
        )
    assert await ledger(rights, "employer") == [("no-confirmation", -3, 97)]
    [entry] = (await get(rights, "me/entries", "employer"))["items"]
    assert entry["about_id"] == "gig-1"


async def test_pay_that_is_late_and_then_in_arrears_costs_both_and_gives_nothing_when_it_comes(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    for rights.clock.now in (MIDNIGHT, OPENS):
        await rights.later()
    assert await ledger(rights, "employer") == [("late-pay", -5, 95), ("arrears", -20, 75)]
    assert await post(rights, "confirm") == (200, "confirmed")
    assert await score(rights, "employer") == 75


async def test_who_marked_pay_as_paid_in_time_is_not_late_unless_it_is_contested(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    assert await post(rights, "paid") == (200, "paid")
    rights.clock.now = MIDNIGHT
    await rights.later()
    assert await ledger(rights, "employer") == []
    assert await contest(rights) == (200, "contested")
    assert await ledger(rights, "employer") == [("late-pay", -5, 95)]


async def test_where_nothing_was_owed_the_points_are_given_back(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    for rights.clock.now in (MIDNIGHT, OPENS):
        await rights.later()
    await step(rights, "placement-1.arrears", "closed", outcome="unfounded", note="已核对")
    assert [entry[1] for entry in await ledger(rights, "employer")] == [-5, -20, 5, 20]
    assert await score(rights, "employer") == 100


async def test_hours_that_come_to_nothing_before_the_arrears_give_the_late_pay_back(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    dispute = {"minutes": 0, "reason": "was-away"}
    employer, worker = rights.as_("employer", EMPLOYER), rights.as_("worker", WORKER)
    await rights.http.post("/timesheets/placement-1/dispute", json=dispute, headers=employer)
    rights.clock.now = MIDNIGHT
    await rights.later()
    assert await score(rights, "employer") == 95
    assert (await rights.http.post("/timesheets/placement-1/agree", headers=worker)).is_success
    assert await score(rights, "employer") == 100


# --- the ledger ------------------------------------------------------------------------------------------------------


async def test_a_score_is_what_the_whole_ledger_comes_to_now_and_when_all_of_it_has_faded(rights: Harness) -> None:
    """`counting` reads a part of the ledger: more was given and taken than can matter, and some of it taken back."""
    await rights.http.put(
        "/rules/43",
        json={"changes": _no_suspensions(), "replaces": 0, "reason": "for the test"},
        headers=rights.as_("operator"),
    )
    for n in range(30):
        await rights.receives(*(late(10 * n + m) for m in range(n % 4)))
        await rights.receives(*(excuse(10 * n) for _ in range(n % 2)))
        if n % 10 == 0:
            await no_shows(rights, [1_000 + n])
        rights.clock.advance(days=7)
    whole = await rights.all(Entry)
    assert len(whole) > 40
    assert any(entry.takes_back_id for entry in whole)
    figures = (await RULES.of(rights.reading(), DISTRICT)).reliability
    for days in (0, 60, 200, 900):
        rights.clock.advance(days=days)
        found = await get(rights, "me")
        assert found["score"] == domain.score(whole, figures, rights.clock.now)
    assert found["score"] == 100
    # Each entry's own score is that of the ledger up to it.
    for entry in whole:
        before = [each for each in whole if each.order <= entry.order]
        assert entry.score == domain.score(before, figures, entry.at)
    assert [one.score for one in await changes(rights)] == [each.score for each in sorted(whole, key=lambda e: e.order)]


def _no_suspensions() -> Body:
    return {"reliability": {side: {"suspensions": []} for side in ("worker", "employer")}}


async def test_the_ledger_is_paged_newest_first_and_is_its_persons_and_clerks_to_read(rights: Harness) -> None:
    await rights.receives(*(late(n) for n in range(5)))
    await rights.receives(late(9).model_copy(update={"district": "500120"}))
    seen: list[str] = []
    after: Body = {}
    while True:
        page = await get(rights, "me/entries", limit=2, **after)
        seen += [item["about_id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == ["placement-9", *(f"placement-{n}" for n in (4, 3, 2, 1, 0))]
    assert (await get(rights, "me/entries", "worker", "worker-2"))["items"] == []

    path = f"/reliability/worker/{WORKER}"
    for headers, status, count in (
        (clerk(rights), 200, 5),
        (clerk(rights, "clerk-9", "50"), 200, 1),
        (rights.as_("operator"), 200, 6),
        (rights.as_("employer", EMPLOYER), 403, None),
        (rights.as_("worker", WORKER), 403, None),
    ):
        assert (await rights.http.get(path, headers=headers)).status_code == status
        page = (await rights.http.get(f"{path}/entries", headers=headers)).json()
        assert len(page.get("items", [])) == (count or 0)
    assert (await rights.http.get("/reliability/me", headers=clerk(rights))).status_code == 403


async def test_what_costs_what_is_published_for_everybody_in_both_languages(rights: Harness) -> None:
    for language, texts in (("zh", [text.zh for text in WHAT.values()]), ("en", [text.en for text in WHAT.values()])):
        answer = await rights.http.get(
            "/reliability/rules", params={"district": DISTRICT}, headers={"accept-language": language}
        )
        body = answer.json()
        assert {row["text"] for row in body["points"]} == set(texts)
        assert "100" in body["how"]
        assert "{" not in body["how"]
    costs = {(row["party"], row["rule"]): row["points"] for row in body["points"]}
    assert costs["worker", "no-show"] == -20
    assert costs["employer", "arrears"] == -20
    assert body["suspensions"]["worker"] == [{"below": 60, "days": 7}, {"below": 40, "days": 30}]
    assert (body["rules"], body["start"], body["most"], body["half_days"]) == ("default-2", 100, 120, 90)


@pytest.mark.feature("F44")
async def test_a_district_has_points_of_its_own_and_what_was_taken_before_stays(rights: Harness) -> None:
    await rights.receives(late(1))
    patch = {"reliability": {"half_days": 30, "worker": {"points": {"late-cancellation": -8, "unattended": 0}}}}
    operator = rights.as_("operator")
    change = {"changes": patch, "replaces": 0, "reason": "本区约定"}
    answer = await rights.http.put(f"/rules/{DISTRICT}", json=change, headers=operator)
    assert answer.status_code == 200, answer.text
    unattended = placement_cancelled("placement-3", by="market").model_copy(update={"reason": "unattended"})
    await rights.receives(late(2), unattended)
    assert await ledger(rights) == [("late-cancellation", -5, 95), ("late-cancellation", -8, 87)]
    assert [entry.rules for entry in await rights.all(Entry)] == ["default-2", f"default-2+{DISTRICT}.1"]
    rights.clock.advance(days=30)
    assert await score(rights) == 100 - 5 - 4
    wrong = {"reliability": {"worker": {"points": {"no-show": 5}}}}
    refused = await rights.http.put(
        f"/rules/{DISTRICT}", json={"changes": wrong, "replaces": 1, "reason": "错误"}, headers=operator
    )
    assert refused.status_code == 422
    assert "worker.points.no-show" in refused.text


# --- suspensions -----------------------------------------------------------------------------------------------------


async def test_few_points_suspend_for_a_time_that_ends_by_itself(rights: Harness) -> None:
    await no_shows(rights, [1, 2])
    assert await score(rights) == 60
    assert await rights.published(SanctionSet) == []
    await no_shows(rights, [3])
    [set_] = await rights.published(SanctionSet)
    assert (set_.party, set_.party_id, set_.kind, set_.reason) == ("worker", WORKER, "block", "reliability")
    assert set_.until == rights.clock.now + timedelta(days=7)
    found = await get(rights, "me")
    assert (found["score"], datetime.fromisoformat(found["suspended_until"])) == (40, set_.until)
    await rights.receives(late(10, excuse=None))  # 35: the next step, for longer; the first goes on beside it
    first, second = await rights.published(SanctionSet)
    assert second.until == rights.clock.now + timedelta(days=30)
    await rights.receives(late(11))
    assert len(await rights.published(SanctionSet)) == 2

    rights.clock.now = second.until - timedelta(seconds=1)
    await rights.later()
    assert [one.sanction_id for one in await rights.published(SanctionLifted)] == [first.sanction_id]
    await rights.later(seconds=1)
    assert [one.reason for one in await rights.published(SanctionLifted)] == ["expired", "expired"]
    found = await get(rights, "me")
    assert (found["score"], found["suspended_until"]) == (30, None)  # few still, and they may work: it is over
    await rights.receives(late(12))
    assert len(await rights.published(SanctionSet)) == 3


async def test_an_employer_with_few_points_may_not_post_for_a_time(rights: Harness) -> None:
    await rights.receives(*(late(n, by="employer") for n in range(9)))
    [set_] = await rights.published(SanctionSet)
    assert (set_.party, set_.party_id, set_.reason) == ("employer", EMPLOYER, "reliability")
    assert await score(rights, "employer") == 55


async def test_a_suspension_ends_when_the_points_that_led_to_it_are_given_back(rights: Harness) -> None:
    await no_shows(rights, [1, 2])
    await rights.receives(late(10, excuse="illness"), late(11))
    [set_] = await rights.published(SanctionSet)
    await rights.receives(excuse(10))
    assert await rights.published(SanctionLifted) == []  # 55 is still too few
    await appeal(rights, entry_of("no-show", 1))
    await decide(rights, entry_of("no-show", 1))
    [lifted] = await rights.published(SanctionLifted)
    assert (lifted.sanction_id, lifted.reason) == (set_.sanction_id, "corrected")
    assert (await get(rights, "me"))["suspended_until"] is None


async def test_the_suspended_may_appeal_against_the_sanction_too(rights: Harness) -> None:
    await no_shows(rights, [1, 2, 3])
    [sanction] = await rights.all(Sanction)
    mine = (await rights.http.get("/sanctions", headers=rights.as_("worker", WORKER))).json()["items"]
    assert [(item["party"], item["automatic"]) for item in mine] == [("worker", True)]
    path = f"/sanctions/{sanction.id}/appeal"
    assert (
        await rights.http.post(path, json={"text": TEXT}, headers=rights.as_("worker", "worker-2"))
    ).status_code == 404
    assert (await rights.http.post(path, json={"text": TEXT}, headers=rights.as_("worker", WORKER))).status_code == 200
    verdict = {"upheld": True, "reason": "情况属实"}
    answer = await rights.http.post(f"{path}/decision", json=verdict, headers=clerk(rights))
    assert (answer.status_code, answer.json()["in_force"]) == (200, False)
    assert await score(rights) == 40  # the entries stand: they have appeals of their own


async def test_two_losses_at_one_moment_see_each_other(rights: Harness) -> None:
    """Write skew: each alone leaves 60 points, both 40. Neither may miss the other."""
    await no_shows(rights, [1])
    for n in (2, 3):
        await rights.receives(placement_made(f"placement-{n}", start=rights.clock.now + timedelta(hours=1)))
    rights.clock.advance(hours=1, minutes=10)
    await asyncio.gather(*(rights.runtime.timers.fire_due() for _ in range(3)))
    assert sorted(entry.score for entry in await rights.all(Entry)) == [40, 60, 80]
    assert len(await rights.published(SanctionSet)) == 1


# --- appeals ---------------------------------------------------------------------------------------------------------


async def test_an_appeal_that_is_upheld_undoes_an_entry_by_a_new_one_and_leaves_the_old(rights: Harness) -> None:
    await no_shows(rights, [1])
    id = entry_of("no-show")
    [before] = await rights.all(Entry)
    assert (await appeal(rights, id, text="写错了"))[0] == 422
    assert (await appeal(rights, id, text="先写一句"))[0] == 200
    status, view = await appeal(rights, id)
    assert (status, view["appeal"]["text"], view["appeal"]["state"]) == (200, TEXT, "waiting")
    waiting = await rights.http.get("/reliability/appeals", headers=clerk(rights, "clerk-2"))
    assert [item["entry_id"] for item in waiting.json()["items"]] == [id]
    elsewhere = await rights.http.get("/reliability/appeals", headers=clerk(rights, "clerk-9", "50"))
    assert elsewhere.json()["items"] == []
    decided = await decide(rights, id)
    assert (decided["http"], decided["appeal"]["state"], decided["appeal"]["reason"]) == (200, "upheld", "病历已核对")
    assert await ledger(rights) == [("no-show", -20, 80), ("no-show", 20, 100)]
    assert await rights.get(Entry, id) == before
    _, said = await changes(rights)
    assert (said.takes_back_id, said.because, said.points, said.score) == (id, "appeal", 20, 100)
    [noted] = await rights.runtime.store.db["_audit"].find({}).to_list()
    assert (noted["by"], noted["what"], noted["entry_id"]) == ("clerk-2", "points appeal decided", id)
    assert (await decide(rights, id))["code"] == "appeal-decided"
    assert (await appeal(rights, id))[1]["code"] == "appeal-decided"
    assert len(await changes(rights)) == 2


async def test_an_appeal_that_is_refused_changes_nothing_and_is_answered(rights: Harness) -> None:
    await no_shows(rights, [1])
    id = entry_of("no-show")
    await appeal(rights, id)
    assert (await decide(rights, id, upheld=False))["appeal"]["state"] == "refused"
    assert await ledger(rights) == [("no-show", -20, 80)]
    [item] = (await get(rights, "me/entries"))["items"]
    assert (item["appeal"]["reason"], item["taken_back_by"]) == ("病历已核对", None)


async def test_who_may_appeal_and_decide_and_until_when(rights: Harness) -> None:
    await no_shows(rights, [1])
    await rights.receives(late(2, excuse="illness"), excuse(2))
    id = entry_of("no-show")
    assert (await decide(rights, id))["code"] == "no-appeal"
    assert (await decide(rights, "nothing.worker.no-show"))["http"] == 404
    assert (await appeal(rights, id, who="worker-2"))[0] == 404
    assert (await appeal(rights, id, role="employer", who=WORKER))[0] == 404
    assert (await appeal(rights, id, role="clerk"))[0] == 403
    back = entry_of("late-cancellation", 2)
    assert (await appeal(rights, back))[1]["code"] == "already-taken-back"
    assert (await appeal(rights, f"{back}.taken-back"))[1]["code"] == "nothing-taken"
    [entry] = [each for each in await rights.all(Entry) if each.id == id]
    rights.clock.now = entry.at + timedelta(days=30) - timedelta(seconds=1)
    assert (await appeal(rights, id))[0] == 200
    assert (await decide(rights, id, of="50"))["http"] == 403
    rights.clock.advance(seconds=1)
    assert (await appeal(rights, id))[1]["code"] == "appeal-late"
    assert (await decide(rights, id))["http"] == 200  # what was said in time is decided


async def test_what_an_appeal_says_is_sealed_and_in_no_event(rights: Harness) -> None:
    await no_shows(rights, [1])
    await appeal(rights, entry_of("no-show"))
    await decide(rights, entry_of("no-show"))
    kept = str(await rights.runtime.store.db["entry_appeals"].find({}).to_list())
    said = "".join(event.model_dump_json() for event in await rights.published())
    for place in (kept, said):
        assert "急诊" not in place
        assert "急诊".encode().hex() not in place
    assert [shift.id for shift in await rights.all(Shift)] == ["placement-1"]
    assert {entry.standing for entry in await rights.all(Entry)} == {standing_id("worker", WORKER)}
