"""Who may be offered what: minors, what people want and when, certificates; and offers that no longer fit."""

from datetime import timedelta
from typing import Any, get_args

import pytest

from services.matching.rules import default_rules
from services.matching.store import Offer
from services.posting.domain import KnownHazard
from shared.contracts.matching import OfferExpired
from shared.contracts.workers import Calendar, DateSpans, Span, WeekdaySpan, WorkerChanged
from shared.testing import Harness
from tests.service.matching.kit import FURONG, accept, checked_in, offer_of, offered, posted, problem, profile, run


def changed(revision: int = 1, **changes: Any) -> WorkerChanged:
    return WorkerChanged(worker_id="worker-1", district=FURONG, profile=profile(revision=revision, **changes))


async def fits(matching: Harness, gig: dict[str, Any], worker: dict[str, Any]) -> bool:
    await matching.receives(posted(**gig), checked_in(until=15, **worker))
    return (await run(matching)).offers == 1


# --- minors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "gig",
    [
        {"night_work": True},
        {"hazards": ("height",)},
        {"hazards": ("heavy-loads",)},
        {"hazards": ("adult-venue",)},
        {"certificates": ("forklift",)},
        {"occupation": "6-16-01-02"},
        {"occupation": "5-02-04-01"},
        {"start": 2, "end": 10.5},
    ],
    ids=str,
)
async def test_what_the_law_forbids_a_minor_is_offered_to_adults_only(matching: Harness, gig: dict[str, Any]) -> None:
    able: dict[str, Any] = {"certificates": ("forklift",)}
    await matching.receives(posted(**gig), checked_in(minor=True, **able))
    assert (await run(matching)).offers == 0
    await matching.receives(changed(**able))
    assert (await run(matching)).offers == 1


async def test_other_work_is_offered_to_minors(matching: Harness) -> None:
    assert await fits(matching, {"occupation": "6-01-01-01", "start": 2, "end": 10}, {"minor": True})


def test_the_table_knows_every_hazard_that_a_post_can_declare_and_its_source() -> None:
    minors = default_rules().minors
    assert set(minors.hazards) == set(get_args(KnownHazard))
    for listed in (minors.hazards, minors.certificates, minors.trades):
        assert all(source for source in listed.values())


# --- what people want, and when --------------------------------------------------------------------------------------


@pytest.mark.feature("F34")
@pytest.mark.parametrize(
    ("worker", "gig", "offered_"),
    [
        ({"trades_wanted": ("4-02",)}, {}, True),
        ({"trades_wanted": ("4-02-07-02",)}, {}, True),
        ({"trades_wanted": ("4-03", "6")}, {}, False),
        ({"trades_unwanted": ("4-02-07",)}, {}, False),
        ({"trades_unwanted": ("4-02-06",)}, {}, True),
        ({"trades_wanted": ("4",), "trades_unwanted": ("4-02",)}, {}, False),
        ({"only_with_meals": True}, {}, False),
        ({"only_with_meals": True}, {"meals": True}, True),
        ({"only_with_lodging": True}, {"meals": True}, False),
        ({"only_with_lodging": True}, {"lodging": True}, True),
        ({"no_night": True}, {"night_work": True}, False),
        ({"no_night": True}, {}, True),
    ],
)
async def test_nobody_is_offered_what_they_do_not_want(
    matching: Harness, worker: dict[str, Any], gig: dict[str, Any], offered_: bool
) -> None:
    assert await fits(matching, gig, worker) is offered_


def weekly(*spans: tuple[int, float, float]) -> Calendar:
    """Weekdays from 1 on, with hours of the local day."""
    return Calendar(
        weekly=tuple(WeekdaySpan(weekday=day, start=round(a * 60), end=round(b * 60)) for day, a, b in spans)
    )


def on(date: str, *spans: tuple[float, float], more: Calendar | None = None) -> Calendar:
    own = DateSpans(date=date, spans=tuple(Span(start=round(a * 60), end=round(b * 60)) for a, b in spans))
    return Calendar(weekly=(more or Calendar()).weekly, dates=(own,))


MINUTE = 1 / 60
MONDAY = "2026-11-23"


@pytest.mark.feature("F34")
@pytest.mark.parametrize(
    ("calendar", "offered_"),
    [
        # The gig is on Monday from 08:00 to 12:00.
        (Calendar(), True),
        (weekly((1, 8, 12)), True),
        (weekly((1, 8 + MINUTE, 12)), False),
        (weekly((1, 8, 12 - MINUTE)), False),
        (weekly((2, 8, 12)), False),
        (weekly((1, 8, 10), (1, 10, 12)), True),
        (weekly((1, 8, 10), (1, 10 + MINUTE, 12)), False),
        (weekly((7, 20, 36)), True),
        (weekly((7, 20, 36 - MINUTE)), False),
        (weekly((7, 20, 24 + 8), (1, 8, 12)), True),
        (on(MONDAY), False),
        (on(MONDAY, (8, 12)), True),
        (on("2026-11-24"), True),
        (on(MONDAY, more=weekly((1, 8, 12))), False),
        (on(MONDAY, (7, 13), more=weekly((2, 8, 12))), True),
    ],
    ids=str,
)
async def test_the_whole_of_a_shift_lies_within_the_calendar(
    matching: Harness, calendar: Calendar, offered_: bool
) -> None:
    assert await fits(matching, {"start": 2, "end": 6}, {"calendar": calendar}) is offered_


@pytest.mark.feature("F34")
async def test_a_night_shift_lies_within_a_calendar_that_goes_over_midnight(matching: Harness) -> None:
    night = weekly((1, 22, 30))
    assert await fits(matching, {"start": 16, "end": 24}, {"calendar": night})
    await matching.receives(posted("longer", start=16, end=24 + MINUTE), checked_in("worker-2", calendar=night))
    assert {offer.gig_id for offer in await matching.all(Offer)} == {"gig-1"}


@pytest.mark.feature("F34")
@pytest.mark.parametrize(
    "change",
    [
        {"calendar": weekly((1, 18, 22))},
        {"trades_unwanted": ("4-02",)},
        {"only_with_meals": True},
        {"floor_fen_per_hour": 2501},
        {"reach_m": 100},
        {"skills": ()},
    ],
    ids=str,
)
async def test_a_change_is_in_force_in_the_next_window_also_for_the_offer_in_hand(
    matching: Harness, change: dict[str, Any]
) -> None:
    able: dict[str, Any] = {"skills": ("sorting",)}
    await matching.receives(posted(skills=("sorting",)), checked_in(north_m=400, **able))
    await run(matching)
    offer = await offer_of(matching)
    await matching.receives(changed(**able | change))
    answer = await accept(matching, offer)
    assert (problem(answer), answer.json()["facts"]) == ((409, "offer-ended"), {"reason": "gone"})
    outcome = await run(matching)
    assert (outcome.retired, outcome.offers) == (1, 0)
    (said,) = await matching.published(OfferExpired)
    assert said.reason == "gone"
    # Who wants it again is offered it again.
    await matching.receives(changed(2, **able))
    assert (await run(matching)).offers == 1


async def test_a_change_that_an_offer_still_fits_leaves_it(matching: Harness) -> None:
    offer = await offered(matching)
    await matching.receives(changed(skills=("cooking",), calendar=weekly((1, 8, 12))))
    assert (await run(matching)).retired == 0
    assert (await accept(matching, offer)).status_code == 200


@pytest.mark.feature("F30")
async def test_a_certificate_that_ends_ends_the_offer_and_one_that_is_renewed_brings_it_back(
    matching: Harness,
) -> None:
    await matching.receives(posted(certificates=("health",)), checked_in(certificates=("health",)))
    await run(matching)
    offer = await offer_of(matching)
    await matching.receives(changed())
    assert problem(await accept(matching, offer)) == (409, "offer-ended")
    outcome = await run(matching)
    assert (outcome.retired, outcome.offers) == (1, 0)
    matching.clock.advance(seconds=1)
    await matching.receives(changed(2, certificates=("health",)))
    assert (await run(matching)).offers == 1
    assert (await accept(matching, await offer_of(matching))).status_code == 200
    assert timedelta(seconds=1) == matching.clock.now - offer.made_at
