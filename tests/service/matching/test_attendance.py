"""Who is placed long ahead is reminded, says that they will come, or loses the seat at the deadline, once (F24)."""

from datetime import timedelta

import httpx
import pytest

from services.matching.store import Placement, Seat
from shared.contracts.matching import AttendanceAsked, AttendanceConfirmed, PlacementCancelled
from shared.testing import Harness
from tests.service.matching.kit import accept, offered, problem

pytestmark = pytest.mark.feature("F24")

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


async def placed(matching: Harness, *, start: float = 30) -> Placement:
    await accept(matching, await offered(matching, start=start, end=start + 4))
    (placement,) = await matching.all(Placement)
    return placement


async def attend(matching: Harness, placement: Placement) -> httpx.Response:
    url = f"/placements/{placement.id}/attend"
    return await matching.http.post(url, headers=matching.as_("worker", placement.worker_id))


async def come(matching: Harness, placement: Placement, before: timedelta) -> None:
    """It is so long before the start, and every timer that was due has fired."""
    matching.clock.now = placement.terms.period.start - before
    await matching.later(seconds=0)


async def asked(matching: Harness) -> list[int]:
    return [said.reminder for said in await matching.published(AttendanceAsked)]


async def test_reminders_come_at_their_times_and_the_seat_is_given_up_at_the_deadline_once(matching: Harness) -> None:
    placement = await placed(matching)
    for before, reminders in (
        (24 * HOUR + SECOND, []),
        (24 * HOUR, [1]),
        (3 * HOUR + SECOND, [1]),
        (3 * HOUR, [1, 2]),
        (2 * HOUR + SECOND, [1, 2]),
    ):
        await come(matching, placement, before)
        assert await asked(matching) == reminders
    assert await matching.published(PlacementCancelled) == []
    (first, _) = await matching.published(AttendanceAsked)
    start = placement.terms.period.start
    assert (first.starts_at, first.answer_by) == (start, start - 2 * HOUR)

    await come(matching, placement, 2 * HOUR)
    await matching.later(hours=1)
    (gone,) = await matching.published(PlacementCancelled)
    assert (gone.by, gone.reason, gone.at) == ("market", "unattended", start - 2 * HOUR)
    assert [(seat.open, seat.until) for seat in await matching.all(Seat)] == [(True, start)]
    assert problem(await attend(matching, placement)) == (409, "placement-ended")


@pytest.mark.parametrize(
    ("before", "outcome"),
    [
        (24 * HOUR + SECOND, (409, "attendance-early")),
        (24 * HOUR, (200, "placed")),
        (2 * HOUR + SECOND, (200, "placed")),
        (2 * HOUR, (409, "attendance-late")),
    ],
)
async def test_it_can_be_said_from_the_first_reminder_until_the_deadline_to_the_second(
    matching: Harness, before: timedelta, outcome: tuple[int, str]
) -> None:
    placement = await placed(matching)
    matching.clock.now = placement.terms.period.start - before  # the deadline's timer is late
    answer = await attend(matching, placement)
    assert (answer.status_code, answer.json().get("code") or answer.json()["status"]) == outcome


async def test_who_said_it_keeps_the_seat_and_is_not_reminded_again(matching: Harness) -> None:
    placement = await placed(matching)
    await come(matching, placement, 24 * HOUR)
    for _ in range(2):
        assert (await attend(matching, placement)).status_code == 200
    (said,) = await matching.published(AttendanceConfirmed)
    assert said.at == placement.terms.period.start - 24 * HOUR
    await come(matching, placement, timedelta(0))
    assert await asked(matching) == [1]
    assert await matching.published(PlacementCancelled) == []


@pytest.mark.parametrize(("ahead", "reminders"), [(12, []), (12 + 1 / 3600, [1])])
async def test_only_who_is_placed_more_than_twelve_hours_ahead_is_asked(
    matching: Harness, ahead: float, reminders: list[int]
) -> None:
    placement = await placed(matching, start=ahead)
    if not reminders:
        assert problem(await attend(matching, placement)) == (409, "not-asked")
    await come(matching, placement, 3 * HOUR)
    assert await asked(matching) == reminders


async def test_a_cancelled_placement_is_not_reminded_and_not_given_up(matching: Harness) -> None:
    placement = await placed(matching)
    headers = matching.as_("worker", "worker-1")
    await matching.http.post(f"/placements/{placement.id}/cancel", headers=headers)
    await come(matching, placement, timedelta(0))
    assert await asked(matching) == []
    assert len(await matching.published(PlacementCancelled)) == 1


async def test_reminders_that_are_late_come_as_one(matching: Harness) -> None:
    placement = await placed(matching)
    matching.clock.now = placement.terms.period.start - 150 * timedelta(minutes=1)
    await matching.later(seconds=0)
    assert await asked(matching) == [1]
