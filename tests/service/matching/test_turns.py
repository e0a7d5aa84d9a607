"""Days on which somebody waited for nothing are remembered until they have had their turn."""

import math
from collections import Counter

import numpy as np
import pytest

from bench.matching.fairness import gini
from services.matching.store import Offer, Placement, Waiting
from shared.auth import Role
from shared.testing import Harness
from tests.service.matching.kit import accept, checked_in, offer_of, posted, rule, run

PEOPLE, SEATS, DAYS = 20, 8, 30


async def comes(matching: Harness, day: int, *workers: str, automatic: bool = False) -> None:
    await matching.receives(
        *(checked_in(who, checkin=f"{who}-{day}", until=3, accepts_automatically=automatic) for who in workers)
    )


async def days_of(matching: Harness, checkin: str) -> int:
    (waiting,) = [waiting for waiting in await matching.all(Waiting) if waiting.checkin_id == checkin]
    return waiting.days


async def thirty_days(matching: Harness) -> tuple[float, int]:
    """The Gini of how often each was placed, and the longest run of days on which somebody was not."""
    people = [f"worker-{number:02}" for number in range(PEOPLE)]
    placed, without, longest = Counter[str](), Counter[str](), 0
    for day in range(DAYS):
        await matching.receives(*(posted(f"gig-{day}-{seat}", start=1, end=4) for seat in range(SEATS)))
        await comes(matching, day, *people, automatic=True)
        assert (await run(matching, seed=day)).placements == SEATS
        today = {who.worker_id for who in await matching.all(Placement) if who.gig_id.startswith(f"gig-{day}-")}
        placed.update(today)
        for who in people:
            without[who] = 0 if who in today else without[who] + 1
            longest = max(longest, without[who])
        matching.clock.advance(days=1)
    return gini(np.array([float(placed[who]) for who in people])), longest


@pytest.mark.feature("F36")
async def test_in_thirty_days_on_the_market_all_have_their_turns(matching: Harness) -> None:
    spread, longest = await thirty_days(matching)
    assert spread <= 0.15
    assert longest <= math.ceil(PEOPLE / SEATS) - 1


async def test_without_that_memory_some_wait_longer(matching: Harness) -> None:
    """So that the days, and not chance, are what bounds the wait."""
    await rule(matching, days_without=0)
    _, longest = await thirty_days(matching)
    assert longest > math.ceil(PEOPLE / SEATS) - 1


async def test_a_day_counts_once_and_not_before_it_is_over(matching: Harness) -> None:
    for hour in (0, 1):
        await comes(matching, hour, "worker-1")
        assert await days_of(matching, f"worker-1-{hour}") == 0
        matching.clock.advance(hours=1)
    matching.clock.advance(days=1)
    await comes(matching, 2, "worker-1")
    assert await days_of(matching, "worker-1-2") == 1


async def test_days_are_forgotten_after_a_month(matching: Harness) -> None:
    await comes(matching, 0, "worker-1")
    matching.clock.advance(days=30)
    await comes(matching, 30, "worker-1")
    assert await days_of(matching, "worker-1-30") == 1
    matching.clock.advance(days=1)
    await comes(matching, 31, "worker-1")
    assert await days_of(matching, "worker-1-31") == 1


async def test_a_day_with_an_offer_turned_down_was_not_for_nothing(matching: Harness) -> None:
    for day, gig in enumerate(("gig-1", "gig-2", "")):
        await comes(matching, day, "worker-1")
        if gig:
            await matching.receives(posted(gig))
            await run(matching)
        if gig == "gig-1":
            offer = await offer_of(matching)
            answer = await matching.http.post(f"/offers/{offer.id}/decline", headers=matching.as_("worker", "worker-1"))
            assert answer.is_success
        await matching.later(minutes=1)  # the second offer is let pass
        matching.clock.advance(days=1)
    await comes(matching, 3, "worker-1")
    assert [offer.ended for offer in await matching.all(Offer)] == ["declined", "expired"]
    assert await days_of(matching, "worker-1-3") == 1


@pytest.mark.parametrize(("by", "days"), [("worker", 0), ("employer", 1)])
async def test_a_placement_that_the_employer_called_off_was_no_turn(matching: Harness, by: Role, days: int) -> None:
    await comes(matching, 0, "worker-1")
    matching.clock.advance(days=1)
    await comes(matching, 1, "worker-1")
    await matching.receives(posted())
    await run(matching)
    placement = (await accept(matching, await offer_of(matching))).json()["placement_id"]
    headers = matching.as_(by, f"{by}-1")
    assert (await matching.http.post(f"/placements/{placement}/cancel", headers=headers)).is_success
    await comes(matching, 2, "worker-1")
    assert await days_of(matching, "worker-1-2") == days
