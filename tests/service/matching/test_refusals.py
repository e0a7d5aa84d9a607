"""What the market does not do: offers and acceptances that come too late, twice, or to the wrong person."""

from datetime import timedelta

import httpx
import pytest

from services.matching.store import Commitments, Offer, Placement, Seat
from shared.contracts.matching import OfferExpired, OfferMade, PlacementMade
from shared.testing import Harness
from tests.service.matching.kit import (
    YUELU,
    accept,
    amended,
    at,
    checked_in,
    closed,
    offer_of,
    offered,
    posted,
    problem,
    run,
    terms,
)

MOMENT = timedelta(milliseconds=1)


async def test_an_offer_stands_to_its_last_millisecond(matching: Harness) -> None:
    offer = await offered(matching)
    matching.clock.now = offer.expires_at - MOMENT
    assert (await accept(matching, offer)).status_code == 200


async def test_an_offer_is_over_at_the_moment_it_expires_also_when_its_timer_is_late(matching: Harness) -> None:
    offer = await offered(matching)
    matching.clock.now = offer.expires_at
    answer = await accept(matching, offer)
    assert problem(answer) == (409, "offer-expired")
    assert answer.json()["facts"] == {"expires_at": offer.expires_at.isoformat()}
    await matching.later(seconds=0)
    (ended,) = await matching.published(OfferExpired)
    assert ended.reason == "time"
    assert problem(await accept(matching, offer)) == (409, "offer-expired")
    # Who let the time pass is not asked again, and is free for other gigs.
    assert (await run(matching)).offers == 0
    await matching.receives(posted("gig-2"))
    assert (await run(matching)).offers == 1


@pytest.mark.feature("F35")
async def test_a_crowd_of_offers_that_run_out_ends_in_one_unit_but_for_those_that_were_answered(
    matching: Harness,
) -> None:
    await matching.receives(posted(headcount=30), *(checked_in(f"worker-{n}") for n in range(30)))
    await run(matching)
    for worker in ("worker-3", "worker-4"):
        assert (await accept(matching, await offer_of(matching, worker))).status_code == 200
    assert await matching.runtime.store.db["_timers"].count_documents({}) == 1
    await matching.later(seconds=60)
    ended = await matching.published(OfferExpired)
    assert {event.reason for event in ended} == {"time"}
    assert {event.worker_id for event in ended} == {f"worker-{n}" for n in range(30) if n not in (3, 4)}
    assert await matching.runtime.store.db["_timers"].count_documents({}) == 0


async def test_a_full_gig(matching: Harness) -> None:
    await matching.receives(posted(), checked_in("worker-1"), checked_in("worker-2"))
    await run(matching)
    await accept(matching, await offer_of(matching, "worker-1"))
    late = await offer_of(matching, "worker-2")
    assert problem(await accept(matching, late)) == (409, "gig-full")
    await run(matching)
    assert problem(await accept(matching, late)) == (409, "gig-full")
    chinese = await accept(matching, late, accept_language="zh")
    assert chinese.json()["detail"] == "该岗位名额已满。"
    assert len(await matching.published(PlacementMade)) == 1


async def test_a_closed_gig(matching: Harness) -> None:
    offer = await offered(matching)
    await matching.receives(closed())
    assert problem(await accept(matching, offer)) == (409, "gig-closed")
    assert (await run(matching)).retired == 1
    assert problem(await accept(matching, offer)) == (409, "gig-closed")
    assert await matching.all(Seat) == []
    (ended,) = await matching.published(OfferExpired)
    assert ended.reason == "closed"


@pytest.mark.feature("F4")
async def test_no_offer_is_made_of_a_gig_past_its_validity_though_nobody_said_it_closed(matching: Harness) -> None:
    await matching.receives(posted(start=5, end=6, valid_until=at(1)), checked_in())
    matching.clock.now = at(1) - MOMENT
    outcome = await run(matching)
    assert outcome.offers == 1
    offer = await offer_of(matching)
    assert offer.expires_at == offer.terms.valid_until
    matching.clock.advance(milliseconds=1)
    assert problem(await accept(matching, offer)) == (409, "offer-expired")
    await matching.receives(checked_in("worker-2"))
    outcome = await run(matching)
    assert (outcome.offers, outcome.retired) == (0, 1)
    assert problem(await accept(matching, offer)) == (409, "gig-closed")


@pytest.mark.feature("F4")
@pytest.mark.parametrize(("late", "offers"), [(-MOMENT, 1), (timedelta(0), 0), (timedelta(hours=3), 0)])
async def test_no_offer_is_made_of_a_gig_that_was_heard_of_after_its_validity(
    matching: Harness, late: timedelta, offers: int
) -> None:
    """The consumers were down across the deadline: all that was said meanwhile comes at once; no timer has fired."""
    gig, here, amendment = (
        posted(start=5, end=9, valid_until=at(1)),
        checked_in(),
        amended("gig-1", terms(start=5, end=9, valid_until=at(1), fen=2_500)),
    )
    matching.clock.now = at(1) + late
    await matching.receives(gig, amendment, here)
    assert (await run(matching)).offers == offers
    assert len(await matching.published(OfferMade)) == offers
    await matching.receives(closed())
    await matching.receives(checked_in("worker-2"))
    assert (await run(matching)).offers == 0


@pytest.mark.feature("F4")
async def test_an_offer_answered_when_the_consumers_are_back_is_no_placement_of_an_expired_gig(
    matching: Harness,
) -> None:
    await matching.receives(posted(start=5, end=9, valid_until=at(1)), checked_in())
    matching.clock.now = at(1) - MOMENT
    await run(matching)
    offer = await offer_of(matching)
    matching.clock.now = at(3)
    assert problem(await accept(matching, offer)) == (409, "offer-expired")
    await matching.later(seconds=1)
    await matching.receives(closed(), checked_in("worker-2"))
    assert (await run(matching)).offers == 0
    assert len(await matching.published(OfferMade)) == 1
    assert await matching.published(PlacementMade) == []


async def test_a_gig_that_has_started_takes_nobody(matching: Harness) -> None:
    await matching.receives(posted(start=1, end=6, valid_until=at(5)))
    matching.clock.advance(hours=1)
    await matching.receives(checked_in())
    assert (await run(matching)).offers == 0


async def test_a_shift_that_overlaps_a_promise(matching: Harness) -> None:
    """A promise may come after the offer: made here, since a worker has one offer at a time."""
    offer = await offered(matching, start=2, end=6)
    promised = terms().period

    async def promise(unit: object) -> None:
        commitments = await unit.get(Commitments, "worker-1")  # type: ignore[attr-defined]
        commitments.add(promised.model_copy(update={"start": at(5), "end": at(7)}), "elsewhere", "employer-2", at(0))
        unit.save(commitments)  # type: ignore[attr-defined]

    await matching.runtime.store.transact(promise)
    answer = await accept(matching, offer)
    assert problem(answer) == (409, "shift-overlap")
    assert answer.json()["facts"] == {"start": at(5).isoformat(), "end": at(7).isoformat()}
    (seat,) = await matching.all(Seat)
    assert seat.open


async def test_new_terms_end_an_offer_of_the_old_ones(matching: Harness) -> None:
    offer = await offered(matching)
    await matching.receives(amended("gig-1", terms(fen=2400)))
    answer = await accept(matching, offer)
    assert (problem(answer), answer.json()["facts"]) == ((409, "offer-ended"), {"reason": "amended"})
    outcome = await run(matching)
    assert (outcome.retired, outcome.offers) == (1, 1)
    assert (await offer_of(matching)).terms.pay.amount_fen == 2400


async def test_an_offer_that_was_declined_cannot_be_accepted(matching: Harness) -> None:
    offer = await offered(matching)
    await matching.http.post(f"/offers/{offer.id}/decline", headers=matching.as_("worker", "worker-1"))
    answer = await accept(matching, offer)
    assert (problem(answer), answer.json()["facts"]) == ((409, "offer-ended"), {"reason": "declined"})


async def test_an_offer_that_was_accepted_cannot_be_declined(matching: Harness) -> None:
    offer = await offered(matching)
    await accept(matching, offer)
    answer = await matching.http.post(f"/offers/{offer.id}/decline", headers=matching.as_("worker", "worker-1"))
    assert (problem(answer), answer.json()["facts"]) == ((409, "offer-ended"), {"reason": "accepted"})


async def test_accepting_twice_is_accepting_once(matching: Harness) -> None:
    offer = await offered(matching, headcount=2)
    first, second = await accept(matching, offer), await accept(matching, offer)
    assert first.json() == second.json()
    keyed = [await accept(matching, offer, idempotency_key="one") for _ in range(2)]
    assert [answer.json() for answer in keyed] == [first.json(), first.json()]
    assert len(await matching.published(PlacementMade)) == 1


async def test_an_offer_is_its_workers_alone(matching: Harness) -> None:
    offer = await offered(matching)
    for verb in ("accept", "decline"):
        url = f"/offers/{offer.id}/{verb}"
        assert (await matching.http.post(url)).status_code == 401
        assert (await matching.http.post(url, headers=matching.as_("worker", "worker-2"))).status_code == 404
        assert (await matching.http.post(url, headers=matching.as_("employer", "employer-1"))).status_code == 403
    assert (await offer_of(matching)).open


async def test_a_placement_is_its_two_parties_alone(matching: Harness) -> None:
    await accept(matching, await offered(matching))
    (placement,) = await matching.all(Placement)
    read, cancel = f"/placements/{placement.id}", f"/placements/{placement.id}/cancel"
    for caller in (matching.as_("worker", "worker-2"), matching.as_("employer", "employer-2")):
        assert (await matching.http.get(read, headers=caller)).status_code == 404
        assert (await matching.http.post(cancel, headers=caller)).status_code == 404
        assert (await matching.http.get("/placements", headers=caller)).json()["items"] == []
    assert (await matching.http.get(read, headers=matching.as_("clerk", "clerk-1"))).status_code == 403
    assert (await matching.http.get(read)).status_code == 401
    # An id that both roles could have gives a worker no employer's rights.
    assert (await matching.http.get(read, headers=matching.as_("worker", "employer-1"))).status_code == 404
    assert (await matching.http.get(read, headers=matching.as_("employer", "employer-1"))).status_code == 200
    url = "/gigs/gig-1/placements"
    assert (await matching.http.get(url, headers=matching.as_("employer", "employer-2"))).status_code == 404
    assert (await matching.http.get(url, headers=matching.as_("worker", "worker-1"))).status_code == 403
    own = await matching.http.get(url, headers=matching.as_("employer", "employer-1"))
    assert [item["placement_id"] for item in own.json()["items"]] == [placement.id]


@pytest.mark.parametrize(
    ("gig", "worker"),
    [
        ({"skills": ("driving",)}, {}),
        ({"certificates": ("health",)}, {"skills": ("health",)}),
        ({"north_m": 6000}, {"reach_m": 5000}),
        ({"fen": 1999}, {"floor_fen_per_hour": 2000}),
        ({"night_work": True}, {"minor": True}),
        ({"start": 0.25, "end": 4, "north_m": 4500}, {}),
    ],
    ids=["skill", "certificate", "reach", "floor", "minor at night", "cannot be there in time"],
)
async def test_a_hard_rule_keeps_a_gig_from_a_worker(
    matching: Harness, gig: dict[str, object], worker: dict[str, object]
) -> None:
    await matching.receives(posted(**gig), checked_in(**worker))  # type: ignore[arg-type]
    assert (await run(matching)).offers == 0
    await matching.receives(posted("within-the-rules"))
    assert (await run(matching)).offers == 1


@pytest.mark.feature("F35")
async def test_a_seat_has_at_most_three_open_offers(matching: Harness) -> None:
    await matching.receives(posted(headcount=2), *(checked_in(f"worker-{n}") for n in range(9)))
    assert (await run(matching)).offers == 6
    assert (await run(matching)).offers == 0
    offer = next(offer for offer in await matching.all(Offer) if offer.open)
    await matching.http.post(f"/offers/{offer.id}/decline", headers=matching.as_("worker", offer.worker_id))
    assert (await run(matching)).offers == 1


async def test_a_worker_has_one_open_offer_across_districts(matching: Harness) -> None:
    both = [checked_in(district=district, checkin="one") for district in ("430102", YUELU)]
    await matching.receives(posted(), posted("gig-2", district=YUELU), *both)
    assert (await run(matching)).offers + (await run(matching, YUELU)).offers == 1


async def test_fields_that_are_wrong_are_named(matching: Harness) -> None:
    caller = matching.as_("worker", "worker-1")
    for query, field in (({"limit": "0"}, "limit"), ({"after": "nonsense"}, "after")):
        answer = await matching.http.get("/offers", params=query, headers=caller)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_lists_go_page_by_page_with_open_offers_first(matching: Harness) -> None:
    caller = matching.as_("worker", "worker-1")
    for number in range(3):
        offer = await offered(matching, gig=f"gig-{number}") if number == 0 else None
        if offer is None:
            await matching.receives(posted(f"gig-{number}"))
            await run(matching)
            offer = await offer_of(matching)
        if number < 2:
            await matching.http.post(f"/offers/{offer.id}/decline", headers=caller)
    seen: list[tuple[str, str]] = []
    after: str | None = None
    while True:
        page: httpx.Response = await matching.http.get(
            "/offers", params={"limit": 1, **({"after": after} if after else {})}, headers=caller
        )
        seen += [(item["gig_id"], item["state"]) for item in page.json()["items"]]
        after = page.json()["next"]
        if after is None:
            break
    assert seen == [("gig-2", "open"), ("gig-1", "declined"), ("gig-0", "declined")]
