"""A gig becomes a placement: offers made, accepted, declined, confirmed, cancelled."""

from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from services.matching.store import Commitments, Placement, Seat
from shared.contracts.matching import (
    ConfirmationLapsed,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    PlacementCancelled,
    PlacementMade,
)
from shared.testing import Harness
from tests.service.matching.kit import (
    accept,
    amended,
    checked_in,
    checked_out,
    offer_of,
    offered,
    posted,
    problem,
    run,
    terms,
)


@pytest.mark.feature("F1")
async def test_a_gig_and_a_check_in_lead_to_an_offer_and_an_acceptance_to_a_placement(matching: Harness) -> None:
    await matching.receives(posted(), checked_in())
    outcome = await run(matching)
    assert (outcome.offers, outcome.placements) == (1, 0)
    (said,) = await matching.published(OfferMade)
    assert (said.gig_id, said.worker_id, said.weights) == ("gig-1", "worker-1", "default-4")
    assert said.expires_at - said.made_at == timedelta(seconds=60)
    assert said.terms == terms()

    matching.clock.advance(seconds=5)
    answer = await accept(matching, await offer_of(matching))
    assert answer.status_code == 200
    (made,) = await matching.published(PlacementMade)
    assert answer.json() == {"placement_id": made.placement_id, "seat": 1, "status": "placed"}
    assert (made.offer_id, made.seat, made.worker_id, made.terms) == (said.offer_id, 1, "worker-1", said.terms)
    (seat,) = await matching.all(Seat)
    assert (seat.open, seat.placement_id) == (False, made.placement_id)


@pytest.mark.feature("F27")
async def test_an_offer_carries_its_reasons_with_their_figures(matching: Harness) -> None:
    await matching.receives(checked_in(north_m=0, tier=3, skills=("sorting", "driving")))
    matching.clock.advance(minutes=30)
    await matching.receives(posted(north_m=900, skills=("sorting",)))
    await run(matching)
    (said,) = await matching.published(OfferMade)
    figures = {reason.code: reason.value for reason in said.reasons}
    assert set(figures) == {
        "distance-m",
        "pay-fen-per-hour",
        "fit",
        "waited-s",
        "days-for-nothing",
        "hardship",
        "score",
    }
    # The worker's place is the middle of a cell whose edge is about 200 m.
    assert figures["distance-m"] == pytest.approx(900, abs=250)
    assert (figures["pay-fen-per-hour"], figures["waited-s"]) == (2500, 1800)
    assert figures["fit"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["hardship"] == 0.02


async def test_who_accepts_automatically_is_placed_in_the_window(matching: Harness) -> None:
    await matching.receives(posted(), checked_in(accepts_automatically=True))
    outcome = await run(matching)
    assert (outcome.offers, outcome.placements) == (1, 1)
    (made,) = await matching.published(PlacementMade)
    (said,) = await matching.published(OfferMade)
    assert made.offer_id == said.offer_id
    # The offer was answered: no timer is left to end it.
    await matching.later(minutes=2)
    assert await matching.published(OfferExpired) == []


async def test_who_accepts_automatically_takes_no_seat_that_was_first_offered_to_another(matching: Harness) -> None:
    await matching.receives(checked_in("asked"))
    matching.clock.advance(minutes=5)
    await matching.receives(posted(), checked_in("automatic", accepts_automatically=True))
    assert (await run(matching)).placements == 0
    first = await offer_of(matching, "asked")
    assert (await run(matching)).offers == 0
    await matching.http.post(f"/offers/{first.id}/decline", headers=matching.as_("worker", "asked"))
    assert (await run(matching)).placements == 1


async def test_a_placement_is_measured_once(matching: Harness) -> None:
    def measured() -> tuple[float, float]:
        name, district = "kuaizhao_time_to_placement_seconds", {"district": "430102"}
        count, total = (REGISTRY.get_sample_value(f"{name}_{part}", district) or 0.0 for part in ("count", "sum"))
        return count, total

    offer = await offered(matching)
    matching.clock.advance(seconds=5)
    count, total = measured()
    for _ in range(3):
        assert (await accept(matching, offer, idempotency_key="one")).status_code == 200
    assert (await accept(matching, offer)).status_code == 200
    assert measured() == (count + 1, total + 5)


async def test_a_declined_gig_is_not_offered_again_but_goes_to_another(matching: Harness) -> None:
    offer = await offered(matching)
    answer = await matching.http.post(f"/offers/{offer.id}/decline", headers=matching.as_("worker", "worker-1"))
    assert (answer.status_code, answer.json()["state"]) == (200, "declined")
    assert len(await matching.published(OfferDeclined)) == 1
    assert (await run(matching)).offers == 0
    await matching.receives(checked_in("worker-2"))
    assert (await run(matching)).offers == 1
    assert (await offer_of(matching, "worker-2")).gig_id == "gig-1"
    again = await matching.http.post(f"/offers/{offer.id}/decline", headers=matching.as_("worker", "worker-1"))
    assert again.status_code == 200
    assert len(await matching.published(OfferDeclined)) == 1


async def test_the_last_seat_ends_the_gigs_other_offers(matching: Harness) -> None:
    await matching.receives(posted(), checked_in("worker-1"), checked_in("worker-2"), checked_in("worker-3"))
    assert (await run(matching)).offers == 3
    await accept(matching, await offer_of(matching, "worker-2"))
    assert (await run(matching)).retired == 2
    ended = await matching.published(OfferExpired)
    assert sorted((event.worker_id, event.reason) for event in ended) == [
        ("worker-1", "filled"),
        ("worker-3", "filled"),
    ]
    # Both are free for another gig.
    await matching.receives(posted("gig-2"))
    assert (await run(matching)).offers == 2


async def test_who_checks_out_has_no_offer_any_more(matching: Harness) -> None:
    await offered(matching)
    await matching.receives(checked_out())
    assert (await run(matching)).retired == 1
    (ended,) = await matching.published(OfferExpired)
    assert ended.reason == "gone"


async def test_a_placement_ends_the_check_ins_before_it(matching: Harness) -> None:
    offer = await offered(matching)
    await accept(matching, offer)
    await matching.receives(posted("gig-2", start=8, end=10))
    assert (await run(matching)).offers == 0
    matching.clock.advance(minutes=1)
    await matching.receives(checked_in(checkin="second"))
    assert (await run(matching)).offers == 1


@pytest.mark.feature("F2")
async def test_shifts_that_touch_may_both_be_taken(matching: Harness) -> None:
    morning = await offered(matching, start=2, end=6)
    assert (await accept(matching, morning)).status_code == 200
    matching.clock.advance(seconds=1)
    noon, evening = morning.terms.period.end, morning.terms.period.end + timedelta(hours=4)
    afternoon = terms().period.model_copy(update={"start": noon, "end": evening})
    await matching.receives(posted("gig-2", period=afternoon), checked_in(checkin="second"))
    await run(matching)
    assert (await accept(matching, await offer_of(matching))).status_code == 200
    (promised,) = await matching.all(Commitments)
    assert [period.start for period in promised.periods] == [morning.terms.period.start, noon]


async def test_a_gig_that_overlaps_a_promise_is_not_offered(matching: Harness) -> None:
    await accept(matching, await offered(matching, start=2, end=6))
    matching.clock.advance(seconds=1)
    await matching.receives(posted("gig-2", start=5, end=9), checked_in(checkin="second"))
    assert (await run(matching)).offers == 0


@pytest.mark.parametrize("side", ["worker", "employer"])
async def test_a_cancelled_placement_frees_its_seat_and_its_time(matching: Harness, side: str) -> None:
    await accept(matching, await offered(matching))
    (placement,) = await matching.all(Placement)
    caller = matching.as_("worker", "worker-1") if side == "worker" else matching.as_("employer", "employer-1")
    answer = await matching.http.post(f"/placements/{placement.id}/cancel", headers=caller)
    assert (answer.status_code, answer.json()["status"], answer.json()["cancelled_by"]) == (200, "cancelled", side)
    (said,) = await matching.published(PlacementCancelled)
    assert (said.placement_id, said.seat, said.by) == (placement.id, 1, side)
    (seat,) = await matching.all(Seat)
    (promised,) = await matching.all(Commitments)
    assert (seat.open, seat.placement_id, promised.periods) == (True, None, [])
    # The seat goes to somebody else, not to the same worker again.
    matching.clock.advance(seconds=1)
    await matching.receives(checked_in("worker-1", checkin="second"), checked_in("worker-2"))
    assert (await run(matching)).offers == 1
    assert (await offer_of(matching, "worker-2")).gig_id == "gig-1"
    twice = await matching.http.post(f"/placements/{placement.id}/cancel", headers=caller)
    assert problem(twice) == (409, "placement-ended")


async def _cancelled(matching: Harness, worker: str = "worker-1") -> str:
    """The one placement of a worker that stands is cancelled by them; its id."""
    (placement,) = [p for p in await matching.all(Placement) if p.worker_id == worker and p.stands]
    answer = await matching.http.post(f"/placements/{placement.id}/cancel", headers=matching.as_("worker", worker))
    assert answer.status_code == 200
    matching.clock.advance(seconds=1)
    return placement.id


async def _after(matching: Harness, placement: str) -> set[str]:
    """The placements whose events stand in the log before this one is said."""
    (row,) = await matching.runtime.store.db["_outbox"].find({"stream": f"matching.placement:{placement}"}).to_list()
    return {stream.removeprefix("matching.placement:") for stream in row["after"]}


async def test_a_seat_is_said_to_be_free_before_it_is_said_to_be_taken_again(matching: Harness) -> None:
    """Two processes publish; a reader who counts seats must never count more than there are."""
    await accept(matching, await offered(matching))
    first = await _cancelled(matching)
    # The open seat is taken away and given again in between.
    await matching.receives(amended("gig-1", terms(headcount=0)), amended("gig-1", terms()), checked_in("worker-2"))
    await run(matching)
    second = (await accept(matching, await offer_of(matching, "worker-2"))).json()["placement_id"]
    assert await _after(matching, second) == {first}


async def test_a_worker_is_said_to_be_free_before_they_are_said_to_be_busy_at_the_same_hours(matching: Harness) -> None:
    await accept(matching, await offered(matching))
    first = await _cancelled(matching)
    morning, evening = posted("gig-2", start=3, end=5), posted("gig-3", start=10, end=12)
    await matching.receives(morning, checked_in(checkin="second"))
    await run(matching)
    second = (await accept(matching, await offer_of(matching))).json()["placement_id"]
    assert await _after(matching, second) == {first}
    matching.clock.advance(seconds=1)
    await matching.receives(evening, checked_in(checkin="third", until=12))
    await run(matching)
    third = (await accept(matching, await offer_of(matching))).json()["placement_id"]
    assert await _after(matching, third) == set()


async def test_a_placement_cannot_be_cancelled_once_its_shift_has_begun(matching: Harness) -> None:
    await accept(matching, await offered(matching))
    (placement,) = await matching.all(Placement)
    matching.clock.now = placement.terms.period.start
    answer = await matching.http.post(f"/placements/{placement.id}/cancel", headers=matching.as_("worker", "worker-1"))
    assert problem(answer) == (409, "shift-started")


class TestConfirmation:
    """Gigs whose employer confirms."""

    async def accepted(self, matching: Harness) -> Placement:
        offer = await offered(matching, hiring="confirm")
        answer = await accept(matching, offer)
        assert answer.json()["status"] == "awaiting-confirmation"
        assert await matching.published(PlacementMade) == []
        (placement,) = await matching.all(Placement)
        return placement

    async def test_a_placement_is_made_when_the_employer_confirms(self, matching: Harness) -> None:
        placement = await self.accepted(matching)
        assert placement.confirm_by == placement.at + timedelta(minutes=15)
        matching.clock.now = placement.confirm_by - timedelta(milliseconds=1)
        url, employer = f"/placements/{placement.id}/confirm", matching.as_("employer", "employer-1")
        assert (await matching.http.post(url, headers=matching.as_("worker", "worker-1"))).status_code == 403
        assert (await matching.http.post(url, headers=matching.as_("employer", "other"))).status_code == 404
        answer = await matching.http.post(url, headers=employer)
        assert (answer.status_code, answer.json()["status"]) == (200, "placed")
        (made,) = await matching.published(PlacementMade)
        assert made.placement_id == placement.id
        assert problem(await matching.http.post(url, headers=employer)) == (409, "not-awaiting")
        await matching.later(minutes=20)
        (placement,) = await matching.all(Placement)
        assert placement.status == "placed"

    async def test_a_missing_confirmation_frees_the_seat_once(self, matching: Harness) -> None:
        placement = await self.accepted(matching)
        assert placement.confirm_by is not None
        matching.clock.now = placement.confirm_by
        late = await matching.http.post(
            f"/placements/{placement.id}/confirm", headers=matching.as_("employer", "employer-1")
        )
        assert problem(late) == (409, "confirmation-late")
        await matching.later(seconds=0)
        await matching.later(minutes=20)
        (lapsed,) = await matching.all(Placement)
        (seat,) = await matching.all(Seat)
        (ended,) = await matching.published(OfferExpired)
        assert (lapsed.status, seat.open, ended.reason) == ("lapsed", True, "unconfirmed")
        (said,) = await matching.published(ConfirmationLapsed)
        assert (said.placement_id, said.employer_id, said.gig_id) == (placement.id, "employer-1", placement.gig_id)
        assert await matching.published(PlacementMade) == []

    @pytest.mark.parametrize(("side", "event"), [("worker", OfferDeclined), ("employer", OfferExpired)])
    async def test_either_side_may_withdraw_before_it(
        self, matching: Harness, side: str, event: type[OfferDeclined | OfferExpired]
    ) -> None:
        placement = await self.accepted(matching)
        caller = matching.as_("worker", "worker-1") if side == "worker" else matching.as_("employer", "employer-1")
        answer = await matching.http.post(f"/placements/{placement.id}/cancel", headers=caller)
        assert answer.status_code == 200
        assert len(await matching.published(event)) == 1
        assert await matching.published(PlacementCancelled) == []
        await matching.later(minutes=20)
        assert await matching.published(ConfirmationLapsed) == []
        (kept,) = await matching.all(Placement)
        assert kept.status == "cancelled"


async def test_two_confirmed_gigs_at_one_time_cannot_both_await(matching: Harness) -> None:
    await accept(matching, await offered(matching, hiring="confirm"))
    await matching.receives(posted("gig-2", start=3, end=5))
    assert (await run(matching)).offers == 0
    await matching.receives(posted("gig-3", start=6, end=7))
    assert (await run(matching)).offers == 1
