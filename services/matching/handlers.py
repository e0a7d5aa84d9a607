"""What the market notes when gigs and people come, change and go, and what it does when a time has come.

Handlers note facts; the district's next window (market.py) draws what follows for its offers.
"""

from opentelemetry import propagate

from services.matching import crews, deals, domain, store
from services.matching.personal import PERSONAL
from services.matching.store import Block, Commitments, Gig, Placement, Profile, Seat, Waiting
from shared.contracts.identity import AccountErased
from shared.contracts.matching import PlacementCancelled, PlacementMade
from shared.contracts.posting import GigAmended, GigClosed, GigPosted
from shared.contracts.rights import ShiftMissed
from shared.contracts.workers import (
    PairBlocked,
    PairUnblocked,
    WorkerChanged,
    WorkerCheckedIn,
    WorkerCheckedOut,
    WorkerProfile,
    WorkerRegistered,
)
from shared.personal import erase, forget_kept
from shared.problems import Conflict, Text
from shared.reactions import Reactions
from shared.rules import COUNTRY
from shared.sealed import PersonKey, erased
from shared.unit import Timer, Unit

react = Reactions()

RECORDS_END = "records-end"

UNKNOWN_GIG = Text("A gig was closed that was never posted here.", "收到未发布岗位的关闭通知。")


# --- gigs ------------------------------------------------------------------------------------------------------------


@react.to(GigPosted, needs=lambda event: [(Gig, event.gig_id)])
async def open_gig(event: GigPosted, unit: Unit) -> None:
    await _hold(event, unit)


@react.to(GigAmended, needs=lambda event: [(Gig, event.gig_id)])
async def amend_gig(event: GigAmended, unit: Unit) -> None:
    await _hold(event, unit)


@react.to(GigClosed, needs=lambda event: [(Gig, event.gig_id)])
async def close_gig(event: GigClosed, unit: Unit) -> None:
    """Take its open seats away: nobody can accept what has no seat. Placements keep theirs.

    One whose time is over keeps those of people who did not come, for a substitute.
    """
    gig = await unit.get(Gig, event.gig_id)
    if gig is None:
        raise Conflict("unknown-gig", UNKNOWN_GIG)
    if gig.closed:
        return
    gig.closed = event.reason
    unit.save(gig)
    for seat in await store.seats_of(unit, gig.id):
        if seat.open and not (gig.takes(unit.now) and unit.now < seat.until):
            unit.delete(seat)
    await crews.end(unit, gig, called_off=gig.closed != "expired")
    unit.nudge(gig.district)


async def _hold(event: GigPosted | GigAmended, unit: Unit) -> None:
    """Keep the gig's terms, given whole by either event, and as many seats as they say."""
    gig = await unit.get(Gig, event.gig_id)
    seats: list[Seat] = []
    if gig is None:
        gig = Gig(id=event.gig_id, district=event.district, terms=event.terms, at=unit.now)
    elif gig.closed or gig.crew == "failed" or gig.terms == event.terms:
        return
    else:
        seats = await store.seats_of(unit, gig.id)
        gig.edition += not domain.same_but_for_headcount(gig.terms, event.terms)
    gig.terms, gig.at, gig.trace = event.terms, unit.now, _trace()
    crews.begin(unit, gig)
    unit.save(gig)
    set_seats(gig, {seat.number: seat for seat in seats}, unit)
    unit.nudge(gig.district)


def set_seats(gig: Gig, seats: dict[int, Seat], unit: Unit) -> None:
    """Add and remove open seats, given by number, so that the gig has as many as its headcount."""
    open_ = {number for number, seat in seats.items() if seat.open}
    add, remove = domain.plan_seats(open_, seats.keys() - open_, gig.terms.headcount)
    for number in remove:
        unit.delete(seats[number])
        if before := seats[number].after:
            gig.freed[str(number)] = before
    for number in add:
        id = store.seat_id(gig.id, number)
        after = gig.freed.pop(str(number), None)
        unit.save(Seat(id=id, gig_id=gig.id, number=number, district=gig.district, until=gig.ends, after=after))
    if add or remove:
        unit.save(gig)
    for number in open_.difference(remove):
        if seats[number].until != gig.ends:
            seats[number].until = gig.ends
            unit.save(seats[number])


# --- people ----------------------------------------------------------------------------------------------------------


@react.to(
    WorkerCheckedIn,
    needs=lambda event: [
        (Waiting, event.presence_id),
        (Profile, event.worker_id),
        (Commitments, event.worker_id),
        (PersonKey, event.worker_id),
    ],
)
async def let_in(event: WorkerCheckedIn, unit: Unit) -> None:
    if await unit.get(Waiting, event.presence_id) or await erased(unit, event.worker_id):
        return
    newest = await _newest_profile(event.worker_id, event.profile, unit)
    today, commitments = domain.local_day(event.at, store.zone()), await deals.commitments_of(unit, event.worker_id)
    newest.days = domain.lately(newest.days, today)
    waiting = Waiting(
        id=event.presence_id,
        profile=newest.profile,
        days=domain.days_for_nothing(newest.days, commitments.turns.values(), commitments.declined, today),
        trace=_trace(),
        **event.model_dump(include={"checkin_id", "worker_id", "district", "cell", "at", "until"}),
    )
    unit.save(waiting)
    unit.nudge(event.district)


@react.to(WorkerCheckedOut, needs=lambda event: [(Waiting, event.presence_id), (Commitments, event.worker_id)])
async def let_out(event: WorkerCheckedOut, unit: Unit) -> None:
    """Whoever holds an offer is offered nothing else, so that only the end of theirs is news to anybody."""
    waiting = await unit.get(Waiting, event.presence_id)
    if waiting:
        unit.delete(waiting)
        if (await deals.commitments_of(unit, event.worker_id)).offer_id:
            unit.nudge(event.district)


@react.to(WorkerRegistered, needs=lambda event: [(Profile, event.worker_id), (PersonKey, event.worker_id)])
async def know_worker(event: WorkerRegistered, unit: Unit) -> None:
    """So that somebody may see what would fit before the first check-in."""
    if await erased(unit, event.worker_id):
        return
    await _newest_profile(event.worker_id, event.profile, unit)


@react.to(WorkerChanged, needs=lambda event: [(Profile, event.worker_id), (PersonKey, event.worker_id)])
async def change_worker(event: WorkerChanged, unit: Unit) -> None:
    if await erased(unit, event.worker_id):
        return
    newest = (await _newest_profile(event.worker_id, event.profile, unit)).profile
    for waiting in await store.presences_of(unit, event.worker_id):
        if waiting.profile != newest:
            waiting.profile = newest
            unit.save(waiting)
            unit.nudge(waiting.district)


@react.to(PairBlocked, needs=lambda event: [(Block, event.block_id)])
async def block_pair(event: PairBlocked, unit: Unit) -> None:
    """Their open offer ends with the next window; a placement that exists stays."""
    if await erased(unit, event.worker_id) or await erased(unit, event.employer_id):
        return
    block = await unit.get(Block, event.block_id)
    if block is None:
        block = Block(id=event.block_id, worker_id=event.worker_id, employer_id=event.employer_id, until=event.until)
    block.until = event.until
    unit.save(block)


@react.to(AccountErased)
async def forget(event: AccountErased, unit: Unit) -> None:
    """What is still open between them and the market ends first: an offer, and a placement nobody had heard of."""
    await deals.leave(unit, event.account_id)
    await erase(unit, PERSONAL, event.account_id)
    if event.role == "worker":
        rules = await store.RULES.of(unit, COUNTRY)
        unit.set_timer(RECORDS_END, event.account_id, unit.now + rules.records)


@react.to(PairUnblocked, needs=lambda event: [(Block, event.block_id)])
async def unblock_pair(event: PairUnblocked, unit: Unit) -> None:
    block = await unit.get(Block, event.block_id)
    if block:
        unit.delete(block)


async def _newest_profile(worker_id: str, said: WorkerProfile, unit: Unit) -> Profile:
    """What is known of a worker, with the newer profile of what an event says and what was known.

    Saved in either case: check-in and change come by different topics, and two units that both read it and then
    write elsewhere must not pass each other.
    """
    known = await unit.get(Profile, worker_id) or Profile(id=worker_id, profile=said)
    if said.revision >= known.profile.revision:
        known.profile = said
    unit.save(known)
    return known


# --- shifts ----------------------------------------------------------------------------------------------------------


@react.to(ShiftMissed, needs=lambda event: [(Placement, event.placement_id)])
async def refill(event: ShiftMissed, unit: Unit) -> None:
    """Rights alone knows who came; what it says cannot be overtaken by a start."""
    placement = await unit.get(Placement, event.placement_id)
    if placement and placement.status == "placed":
        await deals.replace(unit, placement)


# --- times -----------------------------------------------------------------------------------------------------------


@react.at(RECORDS_END)
async def forget_records(timer: Timer, unit: Unit) -> None:
    """The time of what was kept of an erased worker is over."""
    await forget_kept(unit, PERSONAL, timer.subject)


@react.at(deals.OFFER_EXPIRY)
async def expire_offers(timer: Timer, unit: Unit) -> None:
    await deals.expire_due(unit, timer.data["offers"])


@react.at(deals.CONFIRMATION)
async def end_confirmation(timer: Timer, unit: Unit) -> None:
    placement = await unit.get(Placement, timer.subject)
    if placement and placement.status == "awaiting-confirmation":
        await deals.lapse(unit, placement)


@react.at(crews.CREW)
async def see_to_crew(timer: Timer, unit: Unit) -> None:
    gig = await unit.get(Gig, timer.subject)
    if gig and gig.crew == "gathering":
        await crews.end(unit, gig)
    elif gig:
        await crews.carry_out(unit, gig)


@react.at(deals.ATTENDANCE)
async def ask_attendance(timer: Timer, unit: Unit) -> None:
    placement = await unit.get(Placement, timer.subject)
    if placement and placement.next_asking:
        await deals.ask(unit, placement)


@react.at(deals.EXCUSE)
async def decide_excuse(timer: Timer, unit: Unit) -> None:
    """No clerk decided in time: what is not refuted is taken as a worker said it, and not as an employer did."""
    placement = await unit.get(Placement, timer.subject)
    if placement and placement.excuse_state == "waiting":
        deals.decide_excuse(unit, placement, accepted=placement.cancelled_by == "worker")


@react.at(deals.BACKFILL_END)
async def end_backfill(timer: Timer, unit: Unit) -> None:
    gig = await unit.get(Gig, timer.subject)
    if gig:
        await deals.end_backfill(unit, gig)


def _trace() -> dict[str, str]:
    """The trace of what is being handled, so that the offer it leads to continues it."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


# --- after a restore -------------------------------------------------------------------------------------------------


@react.remembering(PlacementMade)
async def remember_placement(event: PlacementMade, unit: Unit) -> None:
    await deals.remember(unit, event)


@react.remembering(PlacementCancelled)
async def remember_cancellation(event: PlacementCancelled, unit: Unit) -> None:
    await deals.remember_end(unit, event)
