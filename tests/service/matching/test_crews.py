"""Crews are confirmed together or not at all, whatever happens in the middle (F39)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.matching import crews
from services.matching.store import Commitments, Gig, Placement, Seat
from shared.contracts.matching import OfferDeclined, OfferExpired, PlacementCancelled, PlacementMade
from shared.contracts.posting import GigClosed
from shared.contracts.terms import Crew
from shared.testing import Harness
from tests.service.matching.kit import FURONG, accept, checked_in, closed, offer_of, posted, problem, run

pytestmark = pytest.mark.feature("F39")


async def gathering(matching: Harness, *, headcount: int = 3, least: int | None = None, **changes: Any) -> None:
    """A crew gig in 2 h, and as many people as it wants, each with an offer."""
    crew = Crew(least=least or headcount)
    await matching.receives(
        posted(headcount=headcount, crew=crew, **changes), *(checked_in(f"worker-{n}") for n in range(headcount))
    )
    await run(matching)


async def accepted(matching: Harness, *workers: int) -> None:
    for n in workers:
        answer = await accept(matching, await offer_of(matching, f"worker-{n}"))
        assert answer.json()["status"] == "held"


async def settled(matching: Harness) -> None:
    """A window, and every timer that is due."""
    await run(matching)
    await matching.later(seconds=0)


async def statuses(matching: Harness) -> list[str]:
    return sorted(placement.status for placement in await matching.all(Placement))


async def test_who_accepts_holds_a_seat_and_all_are_placed_when_the_crew_is_whole(matching: Harness) -> None:
    await gathering(matching)
    await accepted(matching, 0, 1)
    await settled(matching)
    assert await statuses(matching) == ["held", "held"]
    assert await matching.published(PlacementMade) == []
    await accepted(matching, 2)
    await settled(matching)
    assert await statuses(matching) == ["placed"] * 3
    assert sorted(made.seat for made in await matching.published(PlacementMade)) == [1, 2, 3]
    await matching.later(hours=3)
    assert len(await matching.published(PlacementMade)) == 3


@pytest.mark.parametrize(("least", "outcome"), [(2, ["placed", "placed"]), (3, ["lapsed", "lapsed"])])
async def test_part_of_the_headcount_is_enough_when_the_employer_says_so(
    matching: Harness, least: int, outcome: list[str]
) -> None:
    await gathering(matching, least=least)
    await accepted(matching, 0, 1)
    await settled(matching)
    await matching.later(hours=2)
    assert await statuses(matching) == outcome


async def test_who_joins_a_crew_that_is_whole_is_placed_at_once(matching: Harness) -> None:
    await gathering(matching, least=2)
    await accepted(matching, 0, 1)
    await settled(matching)
    assert (await accept(matching, await offer_of(matching, "worker-2"))).json()["status"] == "placed"


async def test_at_the_deadline_all_are_let_go_to_the_second_and_may_look_elsewhere(matching: Harness) -> None:
    await gathering(matching)
    await accepted(matching, 0, 1)
    await matching.later(hours=1, minutes=59, seconds=59)
    assert await statuses(matching) == ["held", "held"]
    await matching.later(seconds=1)
    assert await statuses(matching) == ["lapsed", "lapsed"]
    assert await matching.published(PlacementMade) == []
    ended = [said for said in await matching.published(OfferExpired) if said.detail == "crew"]
    assert sorted((said.worker_id, said.reason) for said in ended) == [
        ("worker-0", "unconfirmed"),
        ("worker-1", "unconfirmed"),
    ]
    assert [one.periods for one in await matching.all(Commitments)] == [[], [], []]
    assert await matching.all(Seat) == []


@pytest.mark.parametrize("reason", ["employer", "expired"])
async def test_a_gig_that_is_closed_before_its_crew_is_whole_lets_all_go(matching: Harness, reason: Any) -> None:
    await gathering(matching)
    await accepted(matching, 0, 1)
    await matching.receives(GigClosed(gig_id="gig-1", district=FURONG, reason=reason))
    await settled(matching)
    assert await statuses(matching) == ["lapsed", "lapsed"]


async def test_a_crew_whose_last_came_as_its_time_ended_runs(matching: Harness) -> None:
    """No window had seen that it is whole: the end of its time counts too."""
    await gathering(matching)
    await accepted(matching, 0, 1, 2)
    await matching.later(hours=2)
    assert await statuses(matching) == ["placed"] * 3


async def test_once_it_is_decided_closing_changes_nothing(matching: Harness) -> None:
    await gathering(matching, least=2)
    await accepted(matching, 0, 1)
    await run(matching)
    await matching.receives(closed())
    await matching.later(seconds=0)
    assert await statuses(matching) == ["placed"] * 2


async def test_who_holds_a_seat_may_give_it_back_and_the_crew_is_not_whole(matching: Harness) -> None:
    await gathering(matching)
    await accepted(matching, 0, 1, 2)
    (held, *_) = [one for one in await matching.all(Placement) if one.worker_id == "worker-1"]
    headers = matching.as_("worker", "worker-1")
    answer = (await matching.http.post(f"/placements/{held.id}/cancel", headers=headers)).json()
    assert (answer["status"], answer["late"]) == ("cancelled", False)
    await settled(matching)
    assert await statuses(matching) == ["cancelled", "held", "held"]
    assert len(await matching.published(OfferDeclined)) == 1


async def test_who_gives_back_a_seat_of_a_whole_crew_cancels_a_placement(matching: Harness) -> None:
    """Also before it was announced: the decision has made it one."""
    await gathering(matching)
    await accepted(matching, 0, 1, 2)
    await run(matching)
    assert await statuses(matching) == ["held"] * 3
    (held, *_) = [one for one in await matching.all(Placement) if one.worker_id == "worker-1"]
    headers = matching.as_("worker", "worker-1")
    answer = (await matching.http.post(f"/placements/{held.id}/cancel", headers=headers)).json()
    assert (answer["status"], answer["late"]) == ("cancelled", True)
    await settled(matching)
    assert await statuses(matching) == ["cancelled", "placed", "placed"]
    said = [event for event in await matching.published() if isinstance(event, PlacementMade | PlacementCancelled)]
    assert [type(event) for event in said if event.placement_id == held.id] == [PlacementMade, PlacementCancelled]


async def test_a_process_that_dies_in_the_middle_leaves_no_half_crew(
    matching: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gathering(matching, headcount=5)
    await accepted(matching, *range(5))
    monkeypatch.setattr(crews, "CHUNK", 2)
    await run(matching)
    await matching.runtime.timers.fire_due()
    assert await statuses(matching) == ["held"] * 3 + ["placed"] * 2  # the process died here
    assert [gig.crew for gig in await matching.all(Gig)] == ["whole"]
    await matching.later(hours=2)  # another goes on, also after the deadline
    assert await statuses(matching) == ["placed"] * 5
    assert len(await matching.published(PlacementMade)) == 5


async def test_acceptances_withdrawals_and_the_deadline_at_once_never_split_a_crew(matching: Harness) -> None:
    for n in range(6):
        gig = f"gig-{n}"
        await matching.receives(posted(gig, headcount=3, crew=Crew(least=3), start=1, end=2))
        await matching.receives(*(checked_in(f"worker-{n}-{place}") for place in range(3)))
        await run(matching)
        offers = [await offer_of(matching, f"worker-{n}-{place}") for place in range(3)]
        first = (await accept(matching, offers[0])).json()["placement_id"]
        await accept(matching, offers[1])
        headers = matching.as_("worker", offers[0].worker_id)
        work: list[Any] = [
            accept(matching, offers[2]),
            run(matching),
            matching.http.post(f"/placements/{first}/cancel", headers=headers) if n % 2 else run(matching),
        ]
        await asyncio.gather(*work)
        await settled(matching)
        matching.clock.now = offers[0].terms.valid_until - timedelta(seconds=1)
        await matching.later(seconds=1)
        decided = await matching.get(Gig, gig)
        assert decided is not None
        mine = [one for one in await matching.all(Placement) if one.gig_id == gig]
        made = [said for said in await matching.published(PlacementMade) if said.gig_id == gig]
        assert decided.crew in ("whole", "failed")
        assert len(made) == (3 if decided.crew == "whole" else 0)
        assert not [one for one in mine if one.status == "held"]


async def test_two_hundred_seats_fill_and_are_placed_together(matching: Harness) -> None:
    seats = 200
    crew = Crew(least=seats)
    automatic = [checked_in(f"worker-{n}", accepts_automatically=True) for n in range(seats)]
    await matching.receives(posted(headcount=seats, crew=crew), *automatic)
    while (await run(matching)).offers:
        pass
    await settled(matching)
    assert await statuses(matching) == ["placed"] * seats
    made = await matching.published(PlacementMade)
    assert sorted(said.seat for said in made) == list(range(1, seats + 1))


async def test_an_offer_of_a_crew_that_failed_can_no_longer_be_accepted(matching: Harness) -> None:
    await gathering(matching)
    await accepted(matching, 0)
    offer = await offer_of(matching, "worker-1")
    await matching.receives(closed())
    assert problem(await accept(matching, offer)) == (409, "gig-closed")
