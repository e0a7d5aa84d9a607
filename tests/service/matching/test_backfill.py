"""A seat whose worker did not come is offered again while that is of use (F23)."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.matching.store import Commitments, Gig, Offer, Placement, Seat
from shared.contracts.matching import OfferMade, PlacementCancelled, PlacementMade
from shared.contracts.posting import GigClosed
from shared.contracts.rights import ShiftMissed
from shared.testing import Harness
from tests.service.matching.kit import FURONG, accept, checked_in, closed, offer_of, offered, problem, run

pytestmark = pytest.mark.feature("F23")

GRACE = timedelta(minutes=10)


def missed(placement: Placement) -> ShiftMissed:
    names = {"worker_id", "employer_id", "gig_id", "district"}
    at = placement.terms.period.start + GRACE
    return ShiftMissed(placement_id=placement.id, at=at, **placement.model_dump(include=names))


EXPIRED = GigClosed(gig_id="gig-1", district=FURONG, reason="expired")


async def not_come(matching: Harness, **changes: Any) -> Placement:
    """Placed for a shift in 2 h that lasts 4; its post expires at the start; 10 minutes later nobody is there."""
    await accept(matching, await offered(matching, **changes))
    (placement,) = await matching.all(Placement)
    matching.clock.now = placement.terms.period.start
    await matching.receives(EXPIRED)
    matching.clock.advance(minutes=10)
    return placement


async def substitute(matching: Harness, worker: str = "worker-2") -> Offer | None:
    await matching.receives(checked_in(worker))
    await run(matching)
    return next((offer for offer in await matching.all(Offer) if offer.worker_id == worker and offer.open), None)


async def test_the_seat_goes_to_somebody_else_in_the_next_window(matching: Harness) -> None:
    first = await not_come(matching)
    assert await substitute(matching) is None
    await matching.receives(missed(first))
    (said,) = await matching.published(PlacementCancelled)
    assert (said.placement_id, said.by, said.reason, said.late) == (first.id, "market", "no-show", False)
    (commitments,) = [one for one in await matching.all(Commitments) if one.id == "worker-1"]
    assert commitments.periods == []

    now = matching.clock.now
    assert (await run(matching)).offers == 1
    offer = await offer_of(matching, "worker-2")
    made = (await matching.published(OfferMade))[-1]
    assert (made.expires_at, made.arrive_by) == (now + timedelta(seconds=60), now + timedelta(minutes=46))
    assert (await accept(matching, offer)).json()["status"] == "placed"
    placement = (await matching.published(PlacementMade))[-1]
    assert (placement.worker_id, placement.seat, placement.arrive_by) == ("worker-2", 1, made.arrive_by)
    assert placement.terms == first.terms


async def test_it_is_heard_once_and_the_same_worker_is_not_asked_again(matching: Harness) -> None:
    first = await not_come(matching)
    await matching.receives(missed(first))
    await matching.receives(missed(first))
    assert len(await matching.published(PlacementCancelled)) == 1
    assert await substitute(matching, "worker-1") is None


async def test_a_placement_that_was_cancelled_in_time_is_not_cancelled_again(matching: Harness) -> None:
    await accept(matching, await offered(matching))
    (placement,) = await matching.all(Placement)
    headers = matching.as_("worker", "worker-1")
    await matching.http.post(f"/placements/{placement.id}/cancel", headers=headers)
    await matching.receives(missed(placement))
    assert [said.by for said in await matching.published(PlacementCancelled)] == ["worker"]


@pytest.mark.parametrize(("left", "offers"), [(timedelta(minutes=60, seconds=1), 1), (timedelta(minutes=60), 0)])
async def test_it_is_offered_while_the_shift_has_an_hour_to_go_to_the_second(
    matching: Harness, left: timedelta, offers: int
) -> None:
    first = await not_come(matching)
    await matching.receives(missed(first))
    matching.clock.now = first.terms.period.end - left
    await matching.receives(checked_in("worker-2"))
    assert (await run(matching)).offers == offers
    if offers:  # and it ends then, however long an offer stands
        assert (await offer_of(matching, "worker-2")).expires_at == first.terms.period.end - timedelta(minutes=60)


async def test_what_nobody_took_is_gone_when_it_is_too_late(matching: Harness) -> None:
    first = await not_come(matching)
    await matching.receives(missed(first))
    assert [seat.open for seat in await matching.all(Seat)] == [True]
    await matching.later(hours=2, minutes=49, seconds=59)
    assert len(await matching.all(Seat)) == 1
    await matching.later(seconds=1)
    assert await matching.all(Seat) == []


async def test_its_employer_ends_the_search_and_what_is_offered_ends_with_it(matching: Harness) -> None:
    first = await not_come(matching)
    await matching.receives(missed(first))
    offer = await substitute(matching)
    assert offer is not None

    async def end(employer: str) -> int:
        headers = matching.as_("employer", employer)
        return (await matching.http.post("/gigs/gig-1/backfill/end", headers=headers)).status_code

    assert await end("somebody else") == 404
    assert (await run(matching)).retired == 0
    assert await end(first.employer_id) == 204
    assert await matching.all(Seat) == []
    assert problem(await accept(matching, offer))[0] == 409
    assert (await run(matching)).retired == 1
    assert await substitute(matching, "worker-3") is None
    assert await end(first.employer_id) == 204  # nobody is looked for: nothing happens
    await matching.later(hours=3)
    assert await matching.dead() == []


async def test_who_cannot_be_there_in_time_is_not_asked(matching: Harness) -> None:
    first = await not_come(matching)
    await matching.receives(missed(first), checked_in("far", north_m=11_500, reach_m=50_000))
    assert (await run(matching)).offers == 0  # 45 minutes by bicycle are 11,250 m
    await matching.receives(checked_in("near", north_m=10_500, reach_m=50_000))
    assert (await run(matching)).offers == 1


async def test_seats_that_never_were_taken_are_not_offered_once_the_shift_has_begun(matching: Harness) -> None:
    first = await not_come(matching, headcount=3)
    await matching.receives(missed(first), checked_in("worker-2"), checked_in("worker-3"))
    assert [seat.number for seat in await matching.all(Seat) if seat.open] == [first.seat]
    outcome = await run(matching)
    await accept(matching, await offer_of(matching, "worker-2"))
    assert outcome.offers == 2  # two may be asked for the one seat, as for any
    late = await accept(matching, await offer_of(matching, "worker-3"))
    assert problem(late) == (409, "gig-full")


async def test_a_gig_whose_validity_goes_on_is_not_open_to_others_either(matching: Harness) -> None:
    end = matching.clock.now + timedelta(hours=5)
    await accept(matching, await offered(matching, headcount=2, valid_until=end))
    (first,) = await matching.all(Placement)
    matching.clock.now = first.terms.period.start + GRACE
    await matching.receives(missed(first), checked_in("worker-2"), checked_in("worker-3"), checked_in("worker-4"))
    assert (await run(matching)).offers == 3
    assert (await accept(matching, await offer_of(matching, "worker-2"))).status_code == 200
    assert problem(await accept(matching, await offer_of(matching, "worker-3"))) == (409, "gig-full")


@pytest.mark.parametrize("before", [True, False])
async def test_a_gig_that_its_employer_closed_gets_no_substitute(matching: Harness, before: bool) -> None:
    await accept(matching, await offered(matching))
    (first,) = await matching.all(Placement)
    matching.clock.now = first.terms.period.start + GRACE
    for event in (closed(), missed(first)) if before else (missed(first), closed()):
        await matching.receives(event)
    assert await matching.all(Seat) == []
    assert await substitute(matching) is None


async def test_a_substitute_may_still_cancel_before_they_are_expected(matching: Harness) -> None:
    first = await not_come(matching)
    await matching.receives(missed(first), checked_in("worker-2"))
    await run(matching)
    answer = await accept(matching, await offer_of(matching, "worker-2"))
    url, headers = f"/placements/{answer.json()['placement_id']}/cancel", matching.as_("worker", "worker-2")
    placement = await matching.get(Placement, answer.json()["placement_id"])
    assert placement is not None
    assert placement.arrive_by is not None
    matching.clock.now = placement.arrive_by - timedelta(seconds=1)
    cancelled = (await matching.http.post(url, headers=headers)).json()
    assert (cancelled["status"], cancelled["late"]) == ("cancelled", True)
    third = await substitute(matching, "worker-3")
    assert third is not None
    await accept(matching, third)
    (last,) = [one for one in await matching.all(Placement) if one.worker_id == "worker-3"]
    matching.clock.now = last.begins
    late = await matching.http.post(f"/placements/{last.id}/cancel", headers=matching.as_("worker", "worker-3"))
    assert problem(late) == (409, "shift-started")


async def test_an_employer_that_confirms_does_so_for_a_substitute_too(matching: Harness) -> None:
    await accept(matching, await offered(matching, hiring="confirm"))
    (first,) = await matching.all(Placement)
    employer = matching.as_("employer", "employer-1")
    await matching.http.post(f"/placements/{first.id}/confirm", headers=employer)
    matching.clock.now = first.terms.period.start + GRACE
    await matching.receives(EXPIRED, missed(first))
    offer = await substitute(matching)
    assert offer is not None
    assert offer.arrive_by is not None
    await accept(matching, offer)
    (second,) = [one for one in await matching.all(Placement) if one.worker_id == "worker-2"]
    assert second.confirm_by == matching.clock.now + timedelta(minutes=15)
    assert second.arrive_by == offer.arrive_by + timedelta(minutes=15)
    await matching.later(minutes=15)
    lapsed = await matching.get(Placement, second.id)
    gig = await matching.get(Gig, "gig-1")
    assert lapsed is not None
    assert gig is not None
    assert lapsed.status == "lapsed"
    assert [(seat.open, seat.until) for seat in await matching.all(Seat)] == [(True, _utc(gig.backfill_until))]


def _utc(moment: datetime | None) -> datetime:
    assert moment is not None
    return moment
