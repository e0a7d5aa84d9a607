"""Many at once: no seat is given twice, no worker is in two places."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from services.matching import deals
from services.matching.market import window
from services.matching.store import Commitments, Offer, Placement, Seat
from shared.contracts.matching import OfferMade, PlacementMade
from shared.contracts.workers import WorkerCheckedIn
from shared.problems import Conflict
from shared.store import Contended
from shared.testing import Harness
from shared.unit import Unit
from tests.service.matching.kit import (
    FURONG,
    YUELU,
    accept,
    amended,
    checked_in,
    closed,
    offer_of,
    offered,
    posted,
    rule,
    run,
    terms,
)


async def test_500_accept_10_seats_at_once(matching: Harness) -> None:
    """Over HTTP, as apps do it. That this also holds over several processes is shown in tests/integration."""
    await rule(matching, exposure=50)
    await matching.receives(posted(headcount=10), *(checked_in(f"worker-{n}") for n in range(500)))
    assert (await run(matching)).offers == 500
    offers = await matching.all(Offer)
    answers = await asyncio.gather(*(accept(matching, offer) for offer in offers))
    assert Counter(answer.status_code for answer in answers) == {200: 10, 409: 490}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"gig-full"}
    assert sorted(answer.json()["seat"] for answer in answers if answer.status_code == 200) == list(range(1, 11))
    placements = await matching.all(Placement)
    seats = await matching.all(Seat)
    assert {seat.placement_id for seat in seats} == {placement.id for placement in placements}
    assert len(await matching.published(PlacementMade)) == len(placements) == 10
    assert sum(len(one.periods) for one in await matching.all(Commitments)) == 10
    assert (await run(matching)).retired == 490


@pytest.mark.parametrize(("start", "placed"), [(5, 1), (6, 2)], ids=["overlapping", "touching"])
async def test_a_worker_takes_two_shifts_at_once(matching: Harness, start: int, placed: int) -> None:
    """The market offers one at a time, so the offers are put into the units: the commitments alone must hold."""
    first = await offered(matching, start=2, end=6)
    await matching.receives(posted("gig-2", start=start, end=8))
    second = first.model_copy(update={"id": "second", "version": 0, "gig_id": "gig-2", "terms": terms(start, 8)})

    async def take(offer: Offer) -> Placement | Conflict:
        try:
            return await matching.runtime.store.transact(lambda unit: deals.accept(unit, offer.model_copy(deep=True)))
        except Conflict as refused:
            return refused

    answers = await asyncio.gather(take(first), take(second))
    refused = [answer.code for answer in answers if isinstance(answer, Conflict)]
    assert refused == ["shift-overlap"] * (2 - placed)
    (promised,) = await matching.all(Commitments)
    assert len(promised.periods) == len(await matching.all(Placement)) == placed


async def test_two_windows_of_a_district_at_once_do_no_harm(matching: Harness) -> None:
    """As when a partition has two owners for a moment."""
    await matching.receives(posted(headcount=4), *(checked_in(f"worker-{n}") for n in range(10)))
    store, tracer = matching.runtime.store, matching.runtime.tracer
    await asyncio.gather(*(window(store, tracer, FURONG, seed=seed) for seed in range(4)))
    open_ = [offer for offer in await matching.all(Offer) if offer.open]
    assert len(open_) == 10
    assert len({offer.worker_id for offer in open_}) == 10
    assert len(await matching.published(OfferMade)) == 10


async def test_two_windows_at_once_keep_the_exposure(matching: Harness) -> None:
    """Each proposes other people for the same seats; the gig, which both save, lets one go first."""
    await matching.receives(posted(), *(checked_in(f"worker-{n}") for n in range(300)))
    store, tracer = matching.runtime.store, matching.runtime.tracer
    await asyncio.gather(*(window(store, tracer, FURONG, seed=seed) for seed in range(4)))
    assert len([offer for offer in await matching.all(Offer) if offer.open]) == 3


async def test_windows_of_two_districts_at_once_offer_a_worker_one_gig(matching: Harness) -> None:
    everywhere: list[WorkerCheckedIn] = [
        checked_in(f"worker-{n}", district=district, checkin=f"one-{n}")
        for n in range(20)
        for district in (FURONG, YUELU)
    ]
    await matching.receives(posted(headcount=20), posted("gig-2", district=YUELU, headcount=20), *everywhere)
    await asyncio.gather(run(matching, FURONG), run(matching, YUELU))
    open_ = [offer.worker_id for offer in await matching.all(Offer) if offer.open]
    assert len(open_) == len(set(open_)) == 20


@pytest.mark.parametrize("seats", [1, 5])
async def test_a_gig_that_closes_while_people_accept_has_no_open_seat_left(matching: Harness, seats: int) -> None:
    await rule(matching, exposure=50)
    await matching.receives(posted(headcount=seats), *(checked_in(f"worker-{n}") for n in range(20)))
    await run(matching)
    offers = await matching.all(Offer)
    answers, _, _ = await asyncio.gather(
        asyncio.gather(*(accept(matching, offer) for offer in offers)), matching.receives(closed()), run(matching)
    )
    taken = await matching.all(Seat)
    placed = [answer for answer in answers if answer.status_code == 200]
    assert all(not seat.open for seat in taken)
    assert len(taken) == len(placed) == len(await matching.all(Placement))
    await run(matching)
    assert not any(offer.open for offer in await matching.all(Offer))


async def test_cancellations_at_once_leave_as_many_seats_as_the_gig_has(matching: Harness) -> None:
    """Three of five seats are taken away meanwhile: freed seats count towards the new headcount."""
    await matching.receives(posted(headcount=5), *(checked_in(f"worker-{n}") for n in range(5)))
    await run(matching)
    for offer in await matching.all(Offer):
        assert (await accept(matching, offer)).status_code == 200
    await matching.receives(amended("gig-1", terms(headcount=2)))
    assert len(await matching.all(Seat)) == 5
    placements = await matching.all(Placement)
    employer = matching.as_("employer", "employer-1")
    answers = await asyncio.gather(
        *(matching.http.post(f"/placements/{placement.id}/cancel", headers=employer) for placement in placements)
    )
    assert {answer.status_code for answer in answers} == {200}
    seats = await matching.all(Seat)
    assert [seat.open for seat in seats] == [True, True]


async def test_an_offer_that_is_accepted_as_it_expires_ends_one_way(matching: Harness) -> None:
    offer = await offered(matching)
    matching.clock.now = offer.expires_at - timedelta(milliseconds=1)

    async def expire(unit: Unit) -> None:
        found = await unit.get(Offer, offer.id)
        if found and found.open:
            await deals.expire(unit, found, "time")

    answer, _ = await asyncio.gather(accept(matching, offer), matching.runtime.store.transact(expire))
    ended = await matching.get(Offer, offer.id)
    assert ended is not None
    assert (ended.ended == "accepted") == (answer.status_code == 200)
    (seat,) = await matching.all(Seat)
    assert seat.open == (answer.status_code == 409)


async def test_the_index_alone_keeps_a_second_open_offer_from_a_worker(matching: Harness) -> None:
    offer = await offered(matching)
    before = await offer_of(matching)
    twin = before.model_dump(exclude={"version"}) | {"id": "twin"}

    async def write(unit: Unit) -> None:
        unit.save(Offer(**twin))

    with pytest.raises(Contended):
        await matching.runtime.store.transact(write, within=0.1)
    assert [found.id for found in await matching.all(Offer)] == [offer.id]
