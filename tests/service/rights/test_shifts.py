"""Start and end of a shift: when they may be, what they say, and what happens when nobody ends it."""

from datetime import timedelta

import pytest

from services.rights.store import Cover, Shift
from shared.contracts.rights import PayDue, ShiftEnded, ShiftStarted
from shared.contracts.terms import PayUnit
from shared.testing import Harness
from tests.service.rights.placements import DISTRICT, EMPLOYER, MORNING, WORKER, placement_cancelled, placement_made

pytestmark = [pytest.mark.feature("F17"), pytest.mark.feature("F18")]

NIGHT = MORNING + timedelta(hours=16)


async def start(rights: Harness, worker: str = WORKER) -> tuple[int, str]:
    answer = await rights.http.post("/shifts/placement-1/start", headers=rights.as_("worker", worker))
    return answer.status_code, answer.json().get("code") or answer.json()["status"]


async def end(rights: Harness, **body: int) -> tuple[int, str]:
    headers = rights.as_("worker", WORKER)
    answer = await rights.http.post("/shifts/placement-1/end", json=body or None, headers=headers)
    return answer.status_code, answer.json().get("code") or answer.json()["status"]


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        (timedelta(hours=1, minutes=44, seconds=59), (409, "too-early")),
        (timedelta(hours=1, minutes=45), (200, "started")),
        (timedelta(hours=9, minutes=59, seconds=59), (200, "started")),
        (timedelta(hours=10), (409, "too-late")),
    ],
)
async def test_a_shift_starts_within_its_bounds_to_the_second(
    rights: Harness, after: timedelta, outcome: tuple[int, str]
) -> None:
    await rights.receives(placement_made())
    rights.clock.now = MORNING + after
    assert await start(rights) == outcome


async def test_a_refused_start_says_from_when_in_local_time(rights: Harness) -> None:
    await rights.receives(placement_made())
    answer = await rights.http.post("/shifts/placement-1/start", headers=rights.as_("worker", WORKER))
    assert answer.json()["detail"] == "This shift can be started from 2026-11-23T07:45+08:00 on."


async def test_start_and_end_are_said_with_exact_minutes_across_midnight(rights: Harness) -> None:
    await rights.receives(placement_made(start=NIGHT))
    rights.clock.now = NIGHT
    assert await start(rights) == (200, "started")
    rights.clock.advance(hours=4, minutes=30, seconds=59)
    assert await end(rights) == (200, "ended")
    parties = {"worker_id": WORKER, "employer_id": EMPLOYER, "gig_id": "gig-1", "district": DISTRICT}
    ended_at = NIGHT + timedelta(hours=4, minutes=30, seconds=59)
    assert await rights.published(ShiftStarted) == [ShiftStarted(placement_id="placement-1", at=NIGHT, **parties)]
    assert await rights.published(ShiftEnded) == [
        ShiftEnded(placement_id="placement-1", at=ended_at, minutes=270, **parties)
    ]


async def test_no_start_without_cover(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.advance(hours=2)
    cover = await rights.get(Cover, "placement-1")
    assert cover
    await rights.runtime.store.db["covers"].update_one({"_id": cover.id}, {"$set": {"status": "withdrawn"}})
    assert await start(rights) == (409, "no-cover")
    await rights.runtime.store.db["covers"].delete_one({"_id": cover.id})
    assert await start(rights) == (409, "no-cover")
    assert await rights.published(ShiftStarted) == []


async def test_a_shift_starts_once_and_ends_once_and_not_before(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.advance(hours=2)
    assert await end(rights) == (409, "not-started")
    assert await start(rights) == (200, "started")
    assert await start(rights) == (409, "already-started")
    assert await end(rights) == (200, "ended")
    assert await end(rights) == (409, "already-ended")
    assert await start(rights) == (409, "already-ended")
    assert len(await rights.published(ShiftStarted)) == len(await rights.published(ShiftEnded)) == 1


async def test_the_same_key_gets_the_first_answer_again(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.advance(hours=2)
    headers = rights.as_("worker", WORKER, idempotency_key="tap")
    first = await rights.http.post("/shifts/placement-1/start", headers=headers)
    again = await rights.http.post("/shifts/placement-1/start", headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    assert len(await rights.published(ShiftStarted)) == 1


async def test_a_shift_is_its_workers_only(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.advance(hours=2)
    assert await start(rights, "worker-2") == (404, "not-found")
    answer = await rights.http.post("/shifts/placement-1/start", headers=rights.as_("employer", EMPLOYER))
    assert answer.status_code == 403


async def test_a_shift_left_open_ends_when_it_was_planned_to(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.advance(hours=1, minutes=50)
    await start(rights)
    await rights.later(hours=8, minutes=9, seconds=59)
    assert await rights.published(ShiftEnded) == []
    await rights.later(seconds=1)
    [ended] = await rights.published(ShiftEnded)
    assert (ended.at, ended.minutes) == (MORNING + timedelta(hours=10), 480)
    view = (await rights.http.get("/shifts/placement-1", headers=rights.as_("employer", EMPLOYER))).json()
    assert (view["automatic"], view["status"]) == (True, "ended")
    assert await end(rights) == (409, "already-ended")


async def test_an_end_after_the_planned_end_counts_until_it(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.advance(hours=2)
    await start(rights)
    rights.clock.advance(hours=8, seconds=1)  # the timer has not fired yet
    assert await end(rights) == (200, "ended")
    [ended] = await rights.published(ShiftEnded)
    assert (ended.at, ended.minutes) == (MORNING + timedelta(hours=10), 480)
    await rights.later(seconds=1)
    shift = await rights.get(Shift, "placement-1")
    assert shift
    assert shift.automatic is False
    assert len(await rights.published(ShiftEnded)) == 1


async def test_a_shift_that_was_never_started_is_not_ended(rights: Harness) -> None:
    await rights.receives(placement_made())
    await rights.later(hours=24)
    assert await rights.published(ShiftEnded) == []


async def test_a_cancelled_shift_neither_starts_nor_ends(rights: Harness) -> None:
    await rights.receives(placement_made(), placement_cancelled())
    rights.clock.advance(hours=2)
    assert await start(rights) == (409, "placement-cancelled")
    assert await end(rights) == (409, "placement-cancelled")


async def test_piece_pay_needs_its_pieces_and_other_pay_has_none(rights: Harness) -> None:
    await rights.receives(placement_made(unit=PayUnit.piece, amount_fen=35))
    rights.clock.advance(hours=2)
    await start(rights)
    headers = rights.as_("worker", WORKER, accept_language="zh")
    answer = await rights.http.post("/shifts/placement-1/end", headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "pieces", "detail": "计件工作须填写完成的件数"}]
    assert await end(rights, pieces=-1) == (422, "invalid-fields")
    assert await end(rights, boxes=3) == (422, "invalid-fields")
    assert await end(rights, pieces=412) == (200, "ended")
    [due] = await rights.published(PayDue)
    assert due.amount_fen == 14_420


async def test_hourly_pay_takes_no_pieces(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.advance(hours=2)
    await start(rights)
    assert await end(rights, pieces=3) == (422, "invalid-field")
    assert await end(rights) == (200, "ended")


async def test_a_piece_paid_shift_ended_for_its_worker_takes_its_pieces_later_once(rights: Harness) -> None:
    await rights.receives(placement_made(unit=PayUnit.piece, amount_fen=35))
    rights.clock.advance(hours=2)
    await start(rights)
    await rights.later(hours=30)
    assert len(await rights.published(ShiftEnded)) == 1
    assert await rights.published(PayDue) == []
    assert await end(rights, pieces=100) == (200, "ended")
    assert await end(rights, pieces=200) == (409, "already-ended")
    [due] = await rights.published(PayDue)
    assert due.amount_fen == 3_500
    assert due.due_at > rights.clock.now
    assert len(await rights.published(ShiftEnded)) == 1
