"""A shift that nobody starts is missed, to the second; it is started or missed, never both (F23)."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.rights.store import Agreement, Cover, Shift
from shared.contracts.rights import AgreementMade, PayDue, ShiftMissed, ShiftStarted
from shared.contracts.terms import PayUnit
from shared.testing import Harness
from tests.service.rights.placements import EMPLOYER, MORNING, WORKER, placement_cancelled, placement_made

pytestmark = pytest.mark.feature("F23")

START = MORNING + timedelta(hours=2)


async def start(rights: Harness) -> httpx.Response:
    return await rights.http.post("/shifts/placement-1/start", headers=rights.as_("worker", WORKER))


async def present(rights: Harness, employer: str = EMPLOYER) -> httpx.Response:
    return await rights.http.post("/shifts/placement-1/present", headers=rights.as_("employer", employer))


async def test_ten_minutes_after_the_start_it_is_missed_once_and_can_no_longer_be_started(rights: Harness) -> None:
    await rights.receives(placement_made())
    await rights.later(hours=2, minutes=9, seconds=59)
    assert await rights.published(ShiftMissed) == []
    await rights.later(seconds=1)
    (missed,) = await rights.published(ShiftMissed)
    assert (missed.placement_id, missed.at) == ("placement-1", START + timedelta(minutes=10))
    for answer in (await start(rights), await present(rights)):
        assert (answer.status_code, answer.json()["code"]) == (409, "shift-missed")
        assert "offered to somebody else" in answer.json()["detail"]
    await rights.later(hours=12)
    assert len(await rights.published(ShiftMissed)) == 1
    assert await rights.published(ShiftStarted) == []
    view = (await rights.http.get("/shifts/placement-1", headers=rights.as_("worker", WORKER))).json()
    assert view["status"] == "missed"


async def test_who_starts_in_the_last_second_is_not_missed(rights: Harness) -> None:
    await rights.receives(placement_made())
    await rights.later(hours=2, minutes=9, seconds=59)
    assert (await start(rights)).status_code == 200
    await rights.later(minutes=30)
    assert await rights.published(ShiftMissed) == []


async def test_a_start_and_a_no_show_at_the_same_moment_never_both_win(rights: Harness) -> None:
    for n in range(10):
        await rights.receives(placement_made(f"placement-{n}", start=rights.clock.now + timedelta(minutes=1)))
        rights.clock.advance(minutes=11)
        headers = rights.as_("worker", WORKER)
        started, _ = await asyncio.gather(
            rights.http.post(f"/shifts/placement-{n}/start", headers=headers), rights.runtime.timers.fire_due()
        )
        said = [event for event in await rights.published() if isinstance(event, ShiftStarted | ShiftMissed)]
        (of_this,) = [event for event in said if event.placement_id == f"placement-{n}"]
        assert isinstance(of_this, ShiftStarted) == (started.status_code == 200)
        await rights.later(hours=9)


async def test_the_employer_may_say_that_the_worker_is_here(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START + timedelta(minutes=8)
    assert (await present(rights, "another")).status_code == 404
    answer = await present(rights)
    assert (answer.status_code, answer.json()["started_by"]) == (200, "employer")
    (started,) = await rights.published(ShiftStarted)
    assert (started.by, started.at) == ("employer", START + timedelta(minutes=8))
    await rights.later(minutes=30)
    assert await rights.published(ShiftMissed) == []


async def test_a_cancelled_shift_is_not_missed_and_a_missed_one_loses_its_cover(rights: Harness) -> None:
    await rights.receives(placement_made("placement-1"), placement_made("placement-2"), placement_cancelled())
    await rights.later(hours=2, minutes=10)
    assert [missed.placement_id for missed in await rights.published(ShiftMissed)] == ["placement-2"]
    gone = placement_cancelled("placement-2", at=rights.clock.now, by="market")
    await rights.receives(gone.model_copy(update={"reason": "no-show"}))
    shift, cover = await rights.get(Shift, "placement-2"), await rights.get(Cover, "placement-2")
    agreement = await rights.get(Agreement, "placement-2")
    assert shift is not None
    assert cover is not None
    assert agreement is not None
    assert (shift.status, cover.status, agreement.void_by) == ("missed", "withdrawn", "market")


async def test_when_nobody_could_start_because_we_were_away_they_have_as_long_again(rights: Harness) -> None:
    await rights.receives(placement_made())
    await rights.later(hours=2, minutes=20)  # no timer fired before
    assert await rights.published(ShiftMissed) == []
    await rights.later(minutes=9, seconds=59)
    assert await rights.published(ShiftMissed) == []
    await rights.later(seconds=1)
    assert len(await rights.published(ShiftMissed)) == 1


async def test_a_placement_that_is_heard_of_late_has_its_ten_minutes_too(rights: Harness) -> None:
    rights.clock.now = START + timedelta(minutes=5)
    await rights.receives(placement_made())
    await rights.later(minutes=9, seconds=59)
    assert await rights.published(ShiftMissed) == []
    await rights.later(seconds=1)
    assert len(await rights.published(ShiftMissed)) == 1


class TestSubstitute:
    """Somebody who comes for a worker who did not."""

    placed, arrive_by = START + timedelta(minutes=12), START + timedelta(minutes=57)

    async def receives(self, rights: Harness, **terms: Any) -> None:
        rights.clock.now = self.placed
        made = placement_made(**terms)
        await rights.receives(made.model_copy(update={"at": self.placed, "arrive_by": self.arrive_by}))

    async def test_agreement_and_cover_stand_before_they_start_and_for_no_hour_that_had_passed(
        self, rights: Harness
    ) -> None:
        await self.receives(rights)
        (agreed,) = await rights.published(AgreementMade)
        assert agreed.starts_at == self.arrive_by
        cover = await rights.get(Cover, "placement-1")
        assert cover is not None
        assert (cover.period.start, cover.period.end) == (self.placed, START + timedelta(hours=8))
        assert (await start(rights)).status_code == 200

    async def test_they_are_missed_ten_minutes_after_they_were_expected(self, rights: Harness) -> None:
        await self.receives(rights)
        await rights.later(minutes=54, seconds=59)
        assert await rights.published(ShiftMissed) == []
        await rights.later(seconds=1)
        (missed,) = await rights.published(ShiftMissed)
        assert missed.at == self.arrive_by + timedelta(minutes=10)

    @pytest.mark.parametrize(
        ("unit", "fen", "owed"),
        [(PayUnit.hour, 2_000, 14_000), (PayUnit.day, 16_001, 14_001)],  # 7 of 8 h; 14000.875
    )
    async def test_they_are_paid_for_the_minutes_they_worked(
        self, rights: Harness, unit: PayUnit, fen: int, owed: int
    ) -> None:
        await self.receives(rights, unit=unit, amount_fen=fen)
        rights.clock.now = START + timedelta(hours=1)
        await start(rights)
        await rights.later(hours=7)
        (due,) = await rights.published(PayDue)
        assert due.amount_fen == owed
