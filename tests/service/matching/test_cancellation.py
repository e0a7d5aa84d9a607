"""Cancelling late: what it costs an employer, what it says of a worker, and excuses that a clerk may accept (F22)."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.matching.store import Placement, Seat
from shared.contracts.matching import ExcuseDecided, PlacementCancelled, PlacementMade
from shared.contracts.terms import Pay, PayMode, PayUnit
from shared.testing import Harness
from shared.unit import Unit
from tests.service.matching.kit import FURONG, accept, checked_in, offer_of, offered, posted, problem, run

pytestmark = pytest.mark.feature("F22")

DAY = timedelta(hours=24)


async def placed(matching: Harness, *, start: float = 30, hours: float = 4, **changes: Any) -> Placement:
    await accept(matching, await offered(matching, start=start, end=start + hours, **changes))
    (placement,) = await matching.all(Placement)
    return placement


def caller(matching: Harness, side: str) -> dict[str, str]:
    return matching.as_("worker", "worker-1") if side == "worker" else matching.as_("employer", "employer-1")


async def cancel(matching: Harness, side: str, placement: Placement, **body: str) -> httpx.Response:
    url = f"/placements/{placement.id}/cancel"
    return await matching.http.post(url, json=body or None, headers=caller(matching, side))


@pytest.mark.parametrize(
    ("side", "before", "late", "owed"),
    [
        ("employer", DAY + timedelta(seconds=1), False, 0),
        ("employer", DAY, False, 0),
        ("employer", DAY - timedelta(seconds=1), True, 10_000),
        ("worker", DAY, False, 0),
        ("worker", DAY - timedelta(seconds=1), True, 0),
        ("employer", timedelta(seconds=1), True, 10_000),
    ],
)
async def test_from_less_than_24_hours_before_the_start_it_is_late_to_the_second(
    matching: Harness, side: str, before: timedelta, late: bool, owed: int
) -> None:
    placement = await placed(matching)
    matching.clock.now = placement.terms.period.start - before
    url = f"/placements/{placement.id}/cancellation"
    preview = (await matching.http.get(url, headers=caller(matching, side))).json()
    assert (preview["late"], preview["compensation_fen"]) == (late, owed)
    assert preview["in_time_until"] == (placement.terms.period.start - DAY).isoformat().replace("+00:00", "Z")
    answer = (await cancel(matching, side, placement)).json()
    assert (answer["late"], answer["compensation_fen"], answer["excuse_state"]) == (late, owed, None)
    (said,) = await matching.published(PlacementCancelled)
    assert (said.by, said.late, said.compensation_fen, said.excuse) == (side, late, owed, None)


@pytest.mark.parametrize(
    ("unit", "fen", "hours", "owed"),
    [
        (PayUnit.hour, 2501, 3.5, 8_754),  # 2501 x 3.5 = 8753.5
        (PayUnit.hour, 2500, 8, 10_000),
        (PayUnit.day, 20_000, 8, 10_000),
        (PayUnit.day, 20_000, 2, 20_000),
        (PayUnit.piece, 50, 8, 8_000),  # the usual 20 yuan an hour
    ],
)
async def test_an_employer_owes_the_shift_but_at_most_four_hours_of_it(
    matching: Harness, unit: PayUnit, fen: int, hours: float, owed: int
) -> None:
    # A floor would keep piece work from being offered: its hour is not known.
    pay = Pay(amount_fen=fen, unit=unit, mode=PayMode.same_day)
    await matching.receives(posted(start=2, end=2 + hours, pay=pay), checked_in(floor_fen_per_hour=0, until=12))
    await run(matching)
    await accept(matching, await offer_of(matching))
    (placement,) = await matching.all(Placement)
    assert (await cancel(matching, "employer", placement)).json()["compensation_fen"] == owed


async def test_it_cannot_be_looked_up_or_done_once_the_shift_has_begun(matching: Harness) -> None:
    placement = await placed(matching)
    matching.clock.now = placement.terms.period.start
    url = f"/placements/{placement.id}/cancellation"
    looked = await matching.http.get(url, headers=caller(matching, "worker"))
    assert problem(looked) == problem(await cancel(matching, "worker", placement)) == (409, "shift-started")


async def test_before_the_employer_confirmed_nothing_is_late(matching: Harness) -> None:
    placement = await placed(matching, start=2, hiring="confirm")
    answer = (await cancel(matching, "employer", placement)).json()
    assert (answer["status"], answer["late"], answer["compensation_fen"]) == ("cancelled", False, 0)


async def test_an_excuse_is_one_of_the_sides_list(matching: Harness) -> None:
    placement = await placed(matching, start=2)
    refused = await cancel(matching, "employer", placement, excuse="illness")
    assert problem(refused) == (422, "invalid-field")
    assert refused.json()["errors"][0]["field"] == "excuse"
    assert "extreme-weather" in refused.json()["errors"][0]["detail"]
    assert (await cancel(matching, "worker", placement, excuse="illness")).json()["excuse_state"] == "waiting"


async def test_in_time_an_excuse_is_not_needed_and_not_kept(matching: Harness) -> None:
    placement = await placed(matching)
    answer = (await cancel(matching, "worker", placement, excuse="illness")).json()
    assert (answer["late"], answer["excuse"], answer["excuse_state"]) == (False, None, None)


@pytest.mark.parametrize(("accepted", "owed"), [(True, 0), (False, 10_000)])
async def test_a_clerk_decides_on_an_employers_excuse_and_until_then_nothing_is_owed(
    matching: Harness, accepted: bool, owed: int
) -> None:
    placement = await placed(matching, start=2)
    await cancel(matching, "employer", placement, excuse="extreme-weather")
    (said,) = await matching.published(PlacementCancelled)
    assert (said.late, said.excuse, said.compensation_fen) == (True, "extreme-weather", 0)
    url, body = f"/placements/{placement.id}/excuse", {"accepted": accepted}
    clerk, stranger = (matching.as_("clerk", districts=[area]) for area in (FURONG, "4403"))
    assert (await matching.http.get("/excuses", headers=stranger)).json()["items"] == []
    (waits,) = (await matching.http.get("/excuses", headers=clerk)).json()["items"]
    assert waits["placement_id"] == placement.id
    assert (await matching.http.get("/excuses", headers=matching.as_("operator"))).json()["items"] == [waits]
    assert (await matching.http.post(url, json=body, headers=stranger)).status_code == 404
    assert (await matching.http.post(url, json=body, headers=caller(matching, "employer"))).status_code == 403
    assert (await matching.http.post(url, json=body, headers=clerk)).status_code == 200
    (decided,) = await matching.published(ExcuseDecided)
    assert (decided.by, decided.accepted, decided.compensation_fen) == ("employer", accepted, owed)
    again = await matching.http.post(url, json=body, headers=clerk)
    assert problem(again) == (409, "no-excuse-waits")
    await matching.later(hours=72)
    assert len(await matching.published(ExcuseDecided)) == 1


@pytest.mark.parametrize(
    ("side", "excuse", "accepted", "owed"),
    [("worker", "family-emergency", True, 0), ("employer", "accident", False, 10_000)],
)
async def test_what_no_clerk_decided_is_decided_at_its_deadline_once(
    matching: Harness, side: str, excuse: str, accepted: bool, owed: int
) -> None:
    await cancel(matching, side, await placed(matching, start=2), excuse=excuse)
    await matching.later(hours=71, minutes=59, seconds=59)
    assert await matching.published(ExcuseDecided) == []
    await matching.later(seconds=1)
    await matching.later(hours=72)
    (decided,) = await matching.published(ExcuseDecided)
    assert (decided.by, decided.accepted, decided.compensation_fen) == (side, accepted, owed)


async def test_a_seat_that_is_given_back_may_be_taken_in_the_same_transaction(matching: Harness) -> None:
    """Two want the seat that is free, and one of them gets the other, on top of the cancellation and said after it."""
    workers = ("worker-1", "worker-2", "worker-3")
    await matching.receives(posted(headcount=2), *map(checked_in, workers))
    await run(matching)
    first, *others = [await offer_of(matching, worker) for worker in workers]
    given_back = (await accept(matching, first)).json()

    async def first_in_line(unit: Unit) -> None:
        await asyncio.sleep(0.2)

    leader = asyncio.create_task(matching.runtime.store.command(first_in_line))
    await asyncio.sleep(0.01)
    url, headers = f"/placements/{given_back['placement_id']}/cancel", matching.as_("worker", "worker-1")
    answers = await asyncio.gather(
        matching.http.post(url, headers=headers), *(accept(matching, offer) for offer in others)
    )
    await leader
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    seats = {answer.json()["seat"]: answer.json()["placement_id"] for answer in answers[1:]}
    assert seats.keys() == {1, 2}
    taken = await matching.reading().get(Placement, seats[given_back["seat"]])
    assert taken
    assert taken.after == [given_back["placement_id"]]
    assert {seat.number: seat.placement_id for seat in await matching.all(Seat) if not seat.open} == seats
    said = [
        event for event in await matching.published() if getattr(event, "placement_id", "") in (taken.id, *taken.after)
    ]
    assert [type(event) for event in said] == [PlacementMade, PlacementCancelled, PlacementMade]
