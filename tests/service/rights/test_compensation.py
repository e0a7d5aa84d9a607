"""What an employer owes for cancelling late is followed like pay (F22)."""

from datetime import timedelta
from typing import Any

import pytest

from shared.contracts.matching import ExcuseDecided, PlacementCancelled
from shared.contracts.rights import PayConfirmed, PayDue, PayOverdue, ShiftMissed
from shared.contracts.terms import PayUnit
from shared.testing import Harness
from tests.service.rights.placements import MORNING, WORKER, placement_cancelled, placement_made

pytestmark = pytest.mark.feature("F22")

MIDNIGHT = MORNING + timedelta(hours=18)


def late(fen: int, **changes: Any) -> PlacementCancelled:
    return placement_cancelled(**changes).model_copy(update={"late": True, "compensation_fen": fen})


def decided(fen: int, *, by: Any = "employer") -> ExcuseDecided:
    names = {"placement_id", "gig_id", "worker_id", "employer_id", "district"}
    said = placement_cancelled().model_dump(include=names)
    return ExcuseDecided(
        **said, by=by, excuse="accident", accepted=not fen, compensation_fen=fen, at=MORNING + timedelta(hours=1)
    )


async def test_it_is_due_when_the_pay_would_have_been_and_is_followed_until_it_arrives(rights: Harness) -> None:
    await rights.receives(placement_made(), late(8_000))
    (due,) = await rights.published(PayDue)
    assert (due.amount_fen, due.reason, due.due_at) == (8_000, "cancellation", MIDNIGHT)
    (view,) = (await rights.http.get("/pay", headers=rights.as_("worker", WORKER))).json()["items"]
    assert (view["amount_fen"], view["reason"], view["status"]) == (8_000, "cancellation", "due")
    await rights.later(hours=18)
    (overdue,) = await rights.published(PayOverdue)
    assert overdue.amount_fen == 8_000
    headers = rights.as_("worker", WORKER)
    assert (await rights.http.post("/pay/placement-1/confirm", headers=headers)).status_code == 200
    assert len(await rights.published(PayConfirmed)) == 1


async def test_it_is_owed_once_however_often_it_is_heard(rights: Harness) -> None:
    await rights.receives(placement_made(), late(8_000))
    await rights.receives(late(8_000))
    assert len(await rights.published(PayDue)) == 1


async def test_nothing_is_owed_for_a_cancellation_in_time_or_by_the_worker(rights: Harness) -> None:
    await rights.receives(placement_made(), late(0, by="worker"))
    assert await rights.published(PayDue) == []


async def test_a_cancellation_that_overtakes_its_placement_is_owed_for_too(rights: Harness) -> None:
    await rights.receives(late(8_000))
    await rights.receives(placement_made())
    assert [due.amount_fen for due in await rights.published(PayDue)] == [8_000]


@pytest.mark.parametrize(("fen", "owed"), [(8_000, [8_000]), (0, [])])
async def test_while_an_excuse_waits_nothing_is_owed(rights: Harness, fen: int, owed: list[int]) -> None:
    await rights.receives(placement_made(), late(0).model_copy(update={"excuse": "accident"}))
    assert await rights.published(PayDue) == []
    await rights.receives(decided(fen))
    await rights.receives(decided(fen))
    assert [due.amount_fen for due in await rights.published(PayDue)] == owed


@pytest.mark.parametrize(("unit", "fen"), [(PayUnit.hour, 2_000), (PayUnit.day, 16_000), (PayUnit.piece, 35)])
@pytest.mark.parametrize("excused", [False, True])
async def test_who_had_come_early_is_compensated_and_not_paid_for_no_work(
    rights: Harness, unit: PayUnit, fen: int, excused: bool
) -> None:
    """A start is possible before the shift, and a cancellation until it."""
    await rights.receives(placement_made(unit=unit, amount_fen=fen))
    rights.clock.advance(hours=1, minutes=50)
    headers = rights.as_("worker", WORKER)
    await rights.http.post("/shifts/placement-1/start", headers=headers)
    at = rights.clock.now + timedelta(minutes=5)
    await rights.receives(late(8_000, at=at))
    pieces = {"pieces": 3} if unit is PayUnit.piece else None
    after = await rights.http.post("/shifts/placement-1/end", json=pieces, headers=headers)
    assert after.json()["code"] == "already-ended"
    assert [(due.amount_fen, due.reason) for due in await rights.published(PayDue)] == [(8_000, "cancellation")]
    if excused:
        await rights.receives(decided(8_000))
        assert len(await rights.published(PayDue)) == 1


@pytest.mark.parametrize(("unit", "fen"), [(PayUnit.hour, 2_000), (PayUnit.day, 16_000)])
async def test_who_had_come_early_and_left_is_compensated_too(rights: Harness, unit: PayUnit, fen: int) -> None:
    """The employer cancels while somebody who ended before the shift began is still placed."""
    await rights.receives(placement_made(unit=unit, amount_fen=fen))
    rights.clock.advance(hours=1, minutes=50)
    headers = rights.as_("worker", WORKER)
    assert (await rights.http.post("/shifts/placement-1/start", headers=headers)).status_code == 200
    assert (await rights.http.post("/shifts/placement-1/end", headers=headers)).json()["status"] == "ended"
    assert await rights.published(PayDue) == []
    await rights.receives(late(8_000, at=rights.clock.now + timedelta(minutes=5)))
    assert [(due.amount_fen, due.reason) for due in await rights.published(PayDue)] == [(8_000, "cancellation")]


async def test_who_worked_before_a_cancellation_was_heard_is_paid_for_it(rights: Harness) -> None:
    await rights.receives(placement_made(unit=PayUnit.day, amount_fen=16_000))
    rights.clock.advance(hours=2)
    headers = rights.as_("worker", WORKER)
    assert (await rights.http.post("/shifts/placement-1/start", headers=headers)).status_code == 200
    rights.clock.advance(minutes=30)
    assert (await rights.http.post("/shifts/placement-1/end", headers=headers)).status_code == 200
    await rights.receives(late(8_000, at=rights.clock.now - timedelta(hours=1)))
    assert [(due.amount_fen, due.reason) for due in await rights.published(PayDue)] == [(16_000, "work")]


async def test_who_was_taken_for_missing_is_compensated_too(rights: Harness) -> None:
    """Nobody came, since the worker had heard of the cancellation before rights did."""
    await rights.receives(placement_made())
    await rights.later(hours=2, minutes=10)
    assert len(await rights.published(ShiftMissed)) == 1
    await rights.receives(late(8_000))
    assert [(due.amount_fen, due.reason) for due in await rights.published(PayDue)] == [(8_000, "cancellation")]
