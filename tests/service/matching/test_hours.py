"""Hours and rest over all districts and employers: what nobody is offered, and what nobody can accept."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.matching.store import Commitments, Offer
from shared.contracts.matching import PlacementMade
from shared.contracts.terms import Period
from shared.contracts.workers import WorkerChanged
from shared.testing import Harness
from shared.unit import Unit
from tests.service.matching.kit import (
    FURONG,
    YUELU,
    accept,
    at,
    checked_in,
    offer_of,
    posted,
    problem,
    profile,
    rule,
    run,
)

pytestmark = pytest.mark.feature("F28")

MINUTE = 1 / 60
"""The test's clock begins on a Monday at 06:00 in Changsha."""


async def promised(
    matching: Harness, *spans: tuple[float, float], worker: str = "worker-1", employer: str = "employer-2"
) -> None:
    """What a worker has promised elsewhere, by hours from now."""

    async def promise(unit: Unit) -> None:
        known = await unit.get(Commitments, worker) or Commitments(id=worker)
        for start, end in spans:
            known.add(Period(start=at(start), end=at(end)), f"elsewhere-{start}", employer, at(0))
        unit.save(known)

    await matching.runtime.store.transact(promise)


async def is_offered(matching: Harness, start: float, end: float, **worker: Any) -> bool:
    district = FURONG
    await matching.receives(posted(start=start, end=end), checked_in(until=15, **worker))
    return (await run(matching, district)).offers == 1


@pytest.mark.parametrize(
    ("spans", "shift", "offered"),
    [
        # A day: eleven hours, to the minute.
        ([(1, 8)], (9, 13), True),
        ([(1, 8)], (9, 13 + MINUTE), False),
        ([(1, 8 + MINUTE)], (9, 13), False),
        ([], (1, 12), True),
        ([], (1, 12 + MINUTE), False),
        # Over midnight each day has its own minutes: 14:00 to 24:00 is ten hours of Monday, the rest is Tuesday's.
        ([(1, 8)], (14, 22), True),
        ([(1, 8)], (13.9, 22), False),
        ([(26, 34)], (15, 18), True),
        # A week, Monday to Sunday: 44 hours.
        ([(24 * day + 2, 24 * day + 10) for day in range(5)], (24 * 5 + 2, 24 * 5 + 6), True),
        ([(24 * day + 2, 24 * day + 10) for day in range(5)], (24 * 5 + 2, 24 * 5 + 6 + MINUTE), False),
        ([(24 * day + 2, 24 * day + 10) for day in range(5)], (24 * 7 + 2, 24 * 7 + 10), True),
        # Sunday night counts for its week up to midnight, and for the next from there.
        ([(24 * day + 2, 24 * day + 10) for day in range(5)], (24 * 6 + 14, 24 * 6 + 20), True),
        ([(24 * day + 2, 24 * day + 10) for day in range(5)], (24 * 6 + 13.9, 24 * 6 + 20), False),
        # Rest between the work of two days: eight hours. Shifts of one day follow one another at once.
        ([(10, 14)], (22, 26), True),
        ([(10, 14)], (22 - MINUTE, 26), False),
        ([(26, 30)], (14, 18), True),
        ([(26, 30)], (14, 18 + MINUTE), False),
        ([(2, 6)], (6, 10), True),
    ],
)
async def test_caps_hold_to_the_minute(
    matching: Harness, spans: list[tuple[float, float]], shift: tuple[float, float], offered: bool
) -> None:
    await promised(matching, *spans)
    assert await is_offered(matching, *shift) is offered


async def test_one_employer_has_a_workers_twenty_four_hours_of_a_week(matching: Harness) -> None:
    await promised(matching, (2, 10), (26, 34), employer="employer-1")
    await matching.receives(checked_in(until=15), posted(start=50, end=58 + MINUTE))
    assert (await run(matching)).offers == 0
    await matching.receives(posted("another-employers", start=50, end=58 + MINUTE, employer_id="employer-3"))
    assert (await run(matching)).offers == 1
    assert (await offer_of(matching)).gig_id == "another-employers"


async def test_what_was_worked_earlier_in_the_week_still_counts(matching: Harness) -> None:
    await promised(matching, *((24 * day + 2, 24 * day + 10) for day in range(5)))
    matching.clock.advance(days=5)
    await promised(matching, (2, 5))  # a new promise forgets what is over, but not this week's
    assert not await is_offered(matching, 6, 8)
    known = await matching.get(Commitments, "worker-1")
    assert known is not None
    assert len(known.periods) == 6
    matching.clock.advance(days=9)
    await promised(matching, (2, 5))
    known = await matching.get(Commitments, "worker-1")
    assert known is not None
    assert len(known.periods) == 1


async def test_a_minor_works_no_overtime(matching: Harness) -> None:
    assert not await is_offered(matching, 2, 10 + MINUTE, minor=True)
    await matching.receives(posted("eight-hours", start=2, end=10))
    assert (await run(matching)).offers == 1
    await accept(matching, await offer_of(matching))


async def test_a_minors_eight_hours_are_those_of_the_whole_day(matching: Harness) -> None:
    await promised(matching, (1, 5))
    assert not await is_offered(matching, 6, 10 + MINUTE, minor=True)
    await matching.receives(posted("four-hours", start=6, end=10))
    assert (await run(matching)).offers == 1


# --- where a seat is taken -------------------------------------------------------------------------------------------


async def refused_for(matching: Harness, *spans: tuple[float, float], employer: str = "employer-2") -> httpx.Response:
    """An offer of 08:00 to 12:00 that is accepted after the worker has promised more."""
    await matching.receives(posted(start=2, end=6), checked_in(until=15))
    await run(matching)
    offer = await offer_of(matching)
    await promised(matching, *spans, employer=employer)
    return await accept(matching, offer, accept_language="en")


async def test_an_acceptance_beyond_a_days_cap_names_the_figures(matching: Harness) -> None:
    answer = await refused_for(matching, (6, 13 + MINUTE))
    assert problem(answer) == (409, "hours-cap")
    assert answer.json()["facts"] == {
        "cap": "day",
        "first_day": "2026-11-23",
        "most": 660,
        "used": 421,
        "left": 239,
        "wanted": 240,
    }
    assert "421" in answer.json()["detail"]
    chinese = await accept(matching, await offer_of(matching), accept_language="zh")
    assert "还可工作 239 分钟" in chinese.json()["detail"]
    assert await matching.published(PlacementMade) == []


async def test_an_acceptance_exactly_at_the_cap_is_a_placement(matching: Harness) -> None:
    assert (await refused_for(matching, (6, 13))).status_code == 200


async def test_an_acceptance_beyond_a_weeks_cap_and_one_employers(matching: Harness) -> None:
    week = [(24 * day + 2, 24 * day + 10) for day in range(1, 6)]
    answer = await refused_for(matching, *week, (24 * 6 + 2, 24 * 6 + 3))
    assert (problem(answer), answer.json()["facts"]["cap"]) == ((409, "hours-cap"), "week")
    answer = await refused_for(matching, *week[:3], employer="employer-1")
    assert problem(answer) == (409, "hours-cap")


async def test_an_acceptance_without_rest_names_the_other_shift(matching: Harness) -> None:
    answer = await refused_for(matching, (-10, -6 + MINUTE))
    assert problem(answer) == (409, "rest")
    assert answer.json()["facts"] == {
        "start": at(-10).isoformat(),
        "end": at(-6 + MINUTE).isoformat(),
        "rest": 480,
    }


async def test_at_the_cap_there_are_no_further_offers_in_any_district(matching: Harness) -> None:
    """A day of eleven hours, filled in two districts one after the other; then nothing more in either."""
    long = {FURONG: (2, 8), YUELU: (8, 13)}
    for number, (district, (start, end)) in enumerate(long.items()):
        both = [checked_in(district=each, checkin=f"checkin-{number}", until=15) for each in long]
        await matching.receives(posted(f"gig-{number}", district=district, start=start, end=end), *both)
        assert (await run(matching, district)).offers == 1
        assert (await accept(matching, await offer_of(matching))).status_code == 200
        matching.clock.advance(seconds=1)
    both = [checked_in(district=each, checkin="last", until=15) for each in long]
    evening = [posted(f"evening-{each}", district=each, start=13, end=13.5) for each in long]
    await matching.receives(*both, *evening)
    assert [(await run(matching, each)).offers for each in long] == [0, 0]
    await matching.receives(posted("tomorrow", start=26, end=30))
    assert (await run(matching)).offers == 1


async def test_of_windows_at_once_in_several_districts_none_brings_a_worker_above_the_cap(matching: Harness) -> None:
    """Who accepts automatically is placed by whichever window is first; the others see it where they write."""
    districts = ("430102", "430103", "430104", "430105")
    for round_ in range(4):
        both = [
            checked_in(district=each, checkin=f"round-{round_}", until=15, accepts_automatically=True)
            for each in districts
        ]
        gigs = [
            posted(f"gig-{round_}-{each}", district=each, start=1 + 4 * round_, end=5 + 4 * round_, north_m=10)
            for each in districts
        ]
        await matching.receives(*gigs, *both)
        await asyncio.gather(*(run(matching, each) for each in districts))
        matching.clock.advance(seconds=1)
    made = await matching.published(PlacementMade)
    hours = [event.terms.period.end - event.terms.period.start for event in made]
    assert sum(hours, timedelta()) == timedelta(hours=8)  # a third would be twelve hours


async def test_an_area_sets_its_own_figures(matching: Harness) -> None:
    await rule(matching, hours={"overtime_minutes": 0})
    assert not await is_offered(matching, 2, 10 + MINUTE)
    await matching.receives(
        posted("elsewhere", district=YUELU, start=2, end=10 + MINUTE),
        checked_in("worker-2", district=YUELU),
    )
    assert (await run(matching, YUELU)).offers == 1


async def test_an_eighteenth_birthday_gives_overtime(matching: Harness) -> None:
    assert not await is_offered(matching, 2, 11, minor=True)
    await matching.receives(WorkerChanged(worker_id="worker-1", district=FURONG, profile=profile(revision=1)))
    assert (await run(matching)).offers == 1
    assert len(await matching.all(Offer)) == 1


@pytest.mark.parametrize(
    ("promise", "code", "figure"),
    [((6, 13 + MINUTE), "hours", "239"), ((-10, -6 + MINUTE), "rest", "2026-11-22 20:00")],
)
async def test_who_asks_why_is_told_of_hours_and_rest(
    matching: Harness, promise: tuple[float, float], code: str, figure: str
) -> None:
    await promised(matching, promise)
    assert not await is_offered(matching, 2, 6)
    answer = await matching.http.get("/gigs/gig-1/why", headers=matching.as_("worker", "worker-1"))
    (because,) = answer.json()["because"]
    assert because["code"] == code
    assert figure in because["text"]
