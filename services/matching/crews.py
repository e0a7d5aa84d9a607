"""Crews: people who work together or not at all (decision 71).

Whoever accepts holds a seat. The gig's one document decides: `gathering` becomes `whole` or `failed` in one unit, and
never changes again. What follows for each seat is done after that, in as many units as it takes, by a durable timer.
"""

from collections.abc import Iterable
from functools import partial

from services.matching import deals, store
from services.matching.store import Commitments, Gig, Offer, Placement, Seat
from shared.store import Store
from shared.unit import Unit

CREW = "crew"

CHUNK = 200
"""Seats of one unit: a transaction stays far below a thousand documents."""


def begin(unit: Unit, gig: Gig) -> None:
    """A gig's crew is looked for, until the gig's time is over."""
    if gig.crew is None and gig.terms.crew:
        gig.crew = "gathering"
    if gig.crew == "gathering":
        unit.set_timer(CREW, gig.id, gig.ends)


async def decide_whole(db: Store, reading: Unit, gathering: Iterable[Gig]) -> bool:
    """Decide on those crews that are whole now; whether there was one."""
    decided = False
    for gig in gathering:
        if await _is_whole(reading, gig):
            await db.transact(partial(_decide_if_whole, gig_id=gig.id))
            decided = True
    return decided


async def _decide_if_whole(unit: Unit, *, gig_id: str) -> None:
    gig = await unit.get(Gig, gig_id)
    if gig and gig.crew == "gathering" and await _is_whole(unit, gig):
        await _decide(unit, gig, whole=True)


async def end(unit: Unit, gig: Gig, *, called_off: bool = False) -> None:
    """The time to come together is over; or it was `called_off`, and then it is of no account how many came."""
    if gig.crew == "gathering":
        await _decide(unit, gig, whole=not called_off and await _is_whole(unit, gig))


async def _is_whole(unit: Unit, gig: Gig) -> bool:
    return gig.terms.crew is not None and await store.held_count(unit, gig.id) >= gig.terms.crew.least


async def _decide(unit: Unit, gig: Gig, *, whole: bool) -> None:
    """Decide once. It writes the gig, which whoever gives a seat back writes too, and every open seat, one of which
    whoever accepts writes: so the crew that was counted is the crew, and nobody joins a decided one unseen."""
    gig.crew = "whole" if whole else "failed"
    unit.save(gig)
    for seat in await store.seats_of(unit, gig.id):
        if seat.open and whole:
            unit.save(seat)
        elif seat.open:
            unit.delete(seat)
    unit.set_timer(CREW, gig.id, unit.now)
    unit.nudge(gig.district)


async def carry_out(unit: Unit, gig: Gig) -> None:
    """Place some of those who hold a seat of a crew that is decided on, or let them go; then the next, till none is."""
    holders = await store.held(unit, gig.id, limit=CHUNK)
    await unit.load(Commitments, [each.worker_id for each in holders])
    if gig.crew == "whole":
        rules = await store.RULES.of(unit, gig.district)
        for each in holders:
            deals.announce(unit, each, await deals.commitments_of(unit, each.worker_id), rules)
    else:
        await unit.load(Offer, [each.offer_id for each in holders])
        await unit.load(Seat, [store.seat_id(gig.id, each.seat) for each in holders])
        for each in holders:
            await _let_go(unit, each)
    if len(holders) == CHUNK:
        unit.set_timer(CREW, gig.id, unit.now)


async def _let_go(unit: Unit, placement: Placement) -> None:
    """The worker and their hours are free again; the seat is gone with its gig."""
    placement.status = "lapsed"
    unit.save(placement)
    commitments = await deals.commitments_of(unit, placement.worker_id)
    commitments.drop(placement.id)
    unit.save(commitments)
    seat = await unit.get(Seat, store.seat_id(placement.gig_id, placement.seat))
    if seat and seat.placement_id == placement.id:
        unit.delete(seat)
    if offer := await unit.get(Offer, placement.offer_id):
        offer.ended, offer.reason = "expired", "crew"
        unit.save(offer)
        unit.publish(deals.ended(offer))
