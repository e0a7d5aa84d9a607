"""The live market: one window after another in each district whose partitions this process holds.

A window first ends the offers that no longer stand, then matches who is free with what has room and makes offers.
Whoever holds a district's partition saves the others work, no more: each unit checks again what it writes, and two
windows of one district at a time do no harm.
"""

import asyncio
import random
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from functools import partial
from typing import NamedTuple

import structlog
from opentelemetry import propagate, trace
from opentelemetry.trace import Link, Span, SpanKind, Tracer
from pymongo.errors import PyMongoError

from services.matching import crews, deals, engine, record, snapshot, store
from services.matching.domain import ExpiryReason, fits, offer_fate
from services.matching.engine import Offers
from services.matching.rules import Rules
from services.matching.snapshot import Snapshot
from services.matching.store import Commitments, Gig, Offer, OpenOffer, Placement, Seat, Waiting, Window
from shared import clock
from shared.contracts.matching import OfferMade, Reason
from shared.contracts.posting import GigPosted
from shared.contracts.workers import WorkerCheckedIn
from shared.exemplars import exemplar
from shared.service import Runtime
from shared.store import Contended, DatabaseDown, Store
from shared.telemetry import METRICS, span_from
from shared.unit import Unit, at_once

log = structlog.get_logger()

TOPICS = (GigPosted.topic, WorkerCheckedIn.topic)
"""Keyed by district: whoever holds a district's partition of both serves it."""

CHUNK = 200
"""Offers of one unit: a transaction stays far below a thousand documents."""

FEW = 50
"""So many offers are no work to share out."""

LANES = 2
"""So many units write a window's offers at a time."""

THREAD_PAIRS = 50_000
"""Above so many pairs the engine runs in a thread, so that the process goes on answering."""

TICK_SECONDS = 1.0
"""How often a process looks for what others changed in its districts."""

QUIET = 10
"""A window that nobody asked for comes at most every so many times of what the last one took."""

GATHER_SECONDS = 0.5
"""A window waits so long at most for what already stands in the log: a burst is one window's work and not two's."""

REST = 0.3
"""The least pause after a window, as a part of what it took."""

AT_ONCE, LARGE_AT_ONCE = 8, 2
"""Windows of a process at a time. A small one mostly waits for the database; a large one is memory and processors."""


class Outcome(NamedTuple):
    """What a window did. `more`: there was more than one window does; `large`: so many that it was work to match."""

    offers: int
    placements: int
    retired: int
    more: bool
    rules: Rules
    large: bool = False


class Proposal(NamedTuple):
    """An offer as the engine wants it, with what it was founded on."""

    gig_id: str
    edition: int
    employer_id: str
    presence_id: str
    presence_version: int
    worker_id: str
    automatic: bool
    reasons: list[Reason]


Make = Callable[..., Awaitable[list[tuple[Offer, Placement | None]]]]


async def window(db: Store, tracer: Tracer, district: str, *, seed: int | None = None) -> Outcome:
    """One window of a district. The seed draws its ties; a new one is drawn if none is given."""
    seed = secrets.randbits(63) if seed is None else seed
    reading = db.reading()
    gathering, open_, offered, rules = await at_once(
        store.gathering_in(reading, district),
        store.seats_open_in(reading, district),
        store.offers_open_in(reading, district),
        store.RULES.of(reading, district),
    )
    decided = await crews.decide_whole(db, reading, gathering)
    retired = await _retire(db, reading, offered)
    if decided or retired:
        reading = db.reading()
        open_, offered = await at_once(store.seats_open_in(reading, district), store.offers_open_in(reading, district))
    offers_by_gig = Counter(offer.gig_id for offer in offered)
    seen = await snapshot.read(reading, district, rules, seed, seats=open_, offers=offers_by_gig)
    if seen is None:
        return Outcome(0, 0, retired, False, rules)
    as_used = rules.model_copy(update={"exposure": seen.exposure})
    offers, inputs = await _matched(seen, as_used, seed)
    wanted = _proposals(seen, offers)
    made: list[tuple[Offer, Placement | None]] = []
    if wanted:
        kept = record.of(seen, inputs, district, as_used, seed, reading.now)
        make = partial(_make, tracer=tracer, district=district, rules=rules, kept=kept)
        made = await _made(db, make, wanted, kept)
    for offer, placement in made:
        if offer.first:
            METRICS.time_to_offer.labels(district).observe(offer.delay_ms / 1000, exemplar(offer.trace))
        if placement and placement.status == "placed":
            deals.measure(placement, offer.trace)
    more = bool(made) and (seen.cut or offers.full)
    placed = sum(placement is not None for _, placement in made)
    return Outcome(len(made), placed, retired, more, rules, _large(seen))


# --- offers that no longer stand -------------------------------------------------------------------------------------


async def _retire(db: Store, reading: Unit, offered: Sequence[OpenOffer]) -> int:
    """End those of these offers whose gig was closed, amended or filled, or whose worker left or no longer fits.

    Returns how many.
    """
    doomed = list(await _doomed(reading, offered))
    return sum(
        [await db.transact(partial(_end, ids=doomed[first : first + CHUNK])) for first in range(0, len(doomed), CHUNK)]
    )


async def _end(unit: Unit, *, ids: Sequence[str]) -> int:
    offers = {offer.id: offer for offer in await deals.open_offers(unit, ids)}
    doomed = await _doomed(unit, list(offers.values()))
    for id, reason in doomed.items():
        await deals.expire(unit, offers[id], reason)
    return len(doomed)


async def _doomed(unit: Unit, offers: Sequence[OpenOffer | Offer]) -> dict[str, ExpiryReason]:
    """Which of these open offers can no longer stand, and why."""
    if not offers:
        return {}
    ids = {offer.gig_id for offer in offers}
    gigs, seats, present, blocked = await at_once(
        store.gigs(unit, ids),
        store.seats_open(unit, ids),
        store.present(unit, [offer.presence_id for offer in offers]),
        store.blocked_pairs(unit, {offer.employer_id for offer in offers}),
    )
    misfits = await _misfits(unit, [o for o in offers if present.get(o.presence_id, 0) > o.profile_revision], gigs)
    fates = {
        offer.id: offer_fate(
            takes=gigs[offer.gig_id].takes(unit.now),
            same_terms=gigs[offer.gig_id].edition == offer.edition,
            seats_left=seats.get(offer.gig_id, 0),
            present=offer.presence_id in present
            and offer.id not in misfits
            and (gigs[offer.gig_id].terms.employer_id, offer.worker_id) not in blocked,
        )
        for offer in offers
    }
    return {id: reason for id, reason in fates.items() if reason}


async def _misfits(unit: Unit, offers: Sequence[OpenOffer | Offer], gigs: Mapping[str, Gig]) -> set[str]:
    """Which of these offers, to people whose profile has changed since, no longer fit it."""
    if not offers:
        return set()
    profiles = await store.newest_profiles(unit, [offer.worker_id for offer in offers])
    rules = await store.RULES.of(unit, gigs[offers[0].gig_id].district)
    return {
        offer.id
        for offer in offers
        if not fits(profiles[offer.worker_id], gigs[offer.gig_id].terms, offer.distance_m, rules, store.zone())
    }


# --- new offers ------------------------------------------------------------------------------------------------------


async def _matched(seen: Snapshot, rules: Rules, seed: int) -> tuple[Offers, bytes]:
    """The engine's offers, and the inputs that it had, packed."""

    def work() -> tuple[Offers, bytes]:
        offers = engine.match(seen.gigs, seen.people, seen.busy, seen.caps, seen.refused, rules, seed)
        return offers, record.packed(seen) if offers.gig.size else b""

    return await asyncio.to_thread(work) if _large(seen) else work()


def _large(seen: Snapshot) -> bool:
    return len(seen.gig_rows) * len(seen.person_rows) > THREAD_PAIRS


def _proposals(seen: Snapshot, offers: Offers) -> list[Proposal]:
    """The engine's offers, each with its reasons."""
    found = []
    for row, (gig_at, person_at) in enumerate(zip(offers.gig.tolist(), offers.person.tolist(), strict=True)):
        gig, person = seen.gig_rows[gig_at], seen.person_rows[person_at]
        figures = {
            "distance-m": offers.distance_m[row],
            "pay-fen-per-hour": seen.gigs.pay[gig_at],
            "fit": round(float(offers.fit[row]), 4),
            "waited-s": seen.people.waited_s[person_at],
            "days-for-nothing": seen.people.days[person_at],
            "hardship": round(float(offers.hardship[row]), 4),
            "score": offers.score[row],
        }
        found.append(
            Proposal(
                gig_id=gig.id,
                edition=gig.edition,
                employer_id=gig.terms.employer_id,
                presence_id=person["_id"],
                presence_version=person["version"],
                worker_id=person["worker_id"],
                automatic=person["profile"]["accepts_automatically"],
                reasons=[Reason(code=code, value=float(value)) for code, value in figures.items()],
            )
        )
    return found


async def _keep(unit: Unit, *, kept: Window) -> None:
    unit.save(kept.model_copy())  # the unit may run again, and a saved document is no new one any more


async def _made(
    db: Store, make: Make, proposals: Sequence[Proposal], kept: Window
) -> list[tuple[Offer, Placement | None]]:
    """Keep a window's record and make its offers: a few in the unit of the record, and more in chunks, in two lanes, so
    that the database works on one while the next is written. All of a gig's are in one lane: two units that change one
    gig at a time are one too many."""
    if len(proposals) <= FEW:

        async def all_in_one(unit: Unit) -> list[tuple[Offer, Placement | None]]:
            await _keep(unit, kept=kept)
            return await make(unit, proposals=proposals)

        return await db.transact(all_in_one)
    await db.transact(partial(_keep, kept=kept))

    async def lane(own: Sequence[Proposal]) -> list[tuple[Offer, Placement | None]]:
        made = []
        for first in range(0, len(own), CHUNK):
            made += await db.transact(partial(make, proposals=own[first : first + CHUNK]))
        return made

    number = {id: place for place, id in enumerate(dict.fromkeys(proposal.gig_id for proposal in proposals))}
    lanes = [[each for each in proposals if number[each.gig_id] % LANES == which] for which in range(LANES)]
    done = await asyncio.gather(*map(lane, lanes), return_exceptions=True)
    for failed in done:
        if isinstance(failed, BaseException):
            raise failed
    return [pair for made in done if not isinstance(made, BaseException) for pair in made]


async def _make(
    unit: Unit, *, tracer: Tracer, district: str, rules: Rules, kept: Window, proposals: Sequence[Proposal]
) -> list[tuple[Offer, Placement | None]]:
    """Make those of the proposed offers that still hold. Who accepts automatically is placed at once.

    `kept` is the record of their window.
    """
    gig_ids = list(dict.fromkeys(proposal.gig_id for proposal in proposals))
    _, seats, offered, refused, blocked = await at_once(
        unit.load_each(
            {
                Gig: gig_ids,
                Waiting: [proposal.presence_id for proposal in proposals],
                Commitments: [proposal.worker_id for proposal in proposals],
            }
        ),
        store.seats_open(unit, gig_ids),
        store.offers_open(unit, district, gig_ids),
        store.refused_pairs(unit, gig_ids),
        store.blocked_pairs(unit, {proposal.employer_id for proposal in proposals}),
    )
    spare = await _spare_seats(unit, [proposal.gig_id for proposal in proposals if proposal.automatic], seats)
    made: list[tuple[Offer, Placement | None]] = []
    for proposal in proposals:
        gig, waiting = await unit.get(Gig, proposal.gig_id), await unit.get(Waiting, proposal.presence_id)
        commitments = await deals.commitments_of(unit, proposal.worker_id)
        if gig is None or waiting is None or not _holds(proposal, gig, waiting, commitments, rules, unit.now):
            continue
        room = seats.get(gig.id, 0) * rules.exposure
        if offered.get(gig.id, 0) >= room or (gig.id, waiting.worker_id) in refused:
            continue
        if (gig.terms.employer_id, waiting.worker_id) in blocked:
            continue
        with _span(tracer, gig, waiting):
            offer = _offer(unit, gig, waiting, commitments, proposal.reasons, rules, kept)
            unit.publish(_said(offer))
            placement = None
            if proposal.automatic and spare[gig.id]:
                seats[gig.id] -= 1
                confirm_by = deals.confirmation_due(offer, gig, rules, unit.now)
                seat, last = spare[gig.id].pop(), not spare[gig.id]
                placement = deals.take(unit, offer, gig, seat, commitments, rules, confirm_by, last=last)
            else:
                offered[gig.id] = offered.get(gig.id, 0) + 1
                commitments.offer_id = offer.id
                unit.save(offer)
            unit.save(commitments)
            unit.save(gig)
        made.append((offer, placement))
    _set_expiry(unit, [offer for offer, _ in made if offer.open])
    return made


def _set_expiry(unit: Unit, offers: Sequence[Offer]) -> None:
    """One timer for all that end together: a crowd's offers run out at once, and one unit ends them."""
    ends = defaultdict[datetime, list[str]](list)
    for offer in offers:
        ends[offer.expires_at].append(offer.id)
    for end, ids in ends.items():
        unit.set_timer(deals.OFFER_EXPIRY, clock.new_id(), end, offers=ids)


def _holds(
    proposal: Proposal, gig: Gig, waiting: Waiting, commitments: Commitments, rules: Rules, now: datetime
) -> bool:
    """True while what a proposal was founded on is still so."""
    return (
        gig.takes(now)
        and gig.edition == proposal.edition
        and waiting.version == proposal.presence_version
        and now < waiting.until
        and commitments.offer_id is None
        and (commitments.placed_at is None or commitments.placed_at < waiting.at)
        and deals.hours_conflict(commitments, gig.terms, rules.hours, minor=waiting.profile.minor) is None
    )


async def _spare_seats(unit: Unit, gig_ids: Sequence[str], seats: Mapping[str, int]) -> dict[str, list[Seat]]:
    """Open seats for those who accept automatically, in no order that others know of. `seats` counts them by gig."""
    wanted = Counter(gig_ids)
    large = {id for id in wanted if seats.get(id, 0) > deals.CHOICE}
    spare = {id: await store.free_seats(unit, id, limit=max(wanted[id], deals.CHOICE)) for id in large}
    spare |= {id: [] for id in wanted.keys() - large}
    for seat in await store.all_free_seats(unit, wanted.keys() - large):
        spare[seat.gig_id].append(seat)
    for found in spare.values():
        random.shuffle(found)
    return spare


def _offer(
    unit: Unit,
    gig: Gig,
    waiting: Waiting,
    commitments: Commitments,
    reasons: list[Reason],
    rules: Rules,
    kept: Window,
) -> Offer:
    """An offer, not saved yet. It ends with its time, its gig's or the worker's presence, and carries its trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    first, commitments.offered_checkin = commitments.offered_checkin != waiting.checkin_id, waiting.checkin_id
    delay = unit.now - max(gig.at, waiting.at)
    expires_at = min(unit.now + rules.offer_stands, gig.open_until(unit.now) or unit.now, waiting.until)
    begun = unit.now >= gig.terms.period.start
    return Offer(
        id=clock.new_id(),
        gig_id=gig.id,
        edition=gig.edition,
        worker_id=waiting.worker_id,
        employer_id=gig.terms.employer_id,
        district=gig.district,
        presence_id=waiting.id,
        profile_revision=waiting.profile.revision,
        distance_m=next(reason.value for reason in reasons if reason.code == "distance-m"),
        terms=gig.terms,
        reasons=reasons,
        weights=rules.name,
        seed=kept.seed,
        window=kept.id,
        first=first,
        delay_ms=max(0, round(delay.total_seconds() * 1000)),
        checked_in_at=waiting.at,
        present_until=waiting.until,
        made_at=unit.now,
        expires_at=expires_at,
        arrive_by=expires_at + rules.backfill.arrive if begun else None,
        trace=carrier,
    )


def _said(offer: Offer) -> OfferMade:
    return OfferMade(
        offer_id=offer.id,
        reasons=tuple(offer.reasons),
        terms=offer.terms,
        **offer.model_dump(
            include={
                "gig_id",
                "worker_id",
                "employer_id",
                "district",
                "weights",
                "checked_in_at",
                "made_at",
                "expires_at",
                "arrive_by",
            }
        ),
    )


def _span(tracer: Tracer, gig: Gig, waiting: Waiting) -> AbstractContextManager[Span]:
    """A span that continues the trace of the later of the two causes, gig or check-in, and links to the other's."""
    earlier, later = (gig.trace, waiting.trace) if gig.at <= waiting.at else (waiting.trace, gig.trace)
    other = trace.get_current_span(propagate.extract(earlier)).get_span_context()
    links = (Link(other),) if other.is_valid else ()
    return span_from(tracer, "make offer", later, SpanKind.INTERNAL, {"kuaizhao.district": gig.district}, links)


# --- the loop --------------------------------------------------------------------------------------------------------


async def keep_matching(runtime: Runtime) -> None:
    """The service's loop: windows in each district that this process holds, for as long as the process lives."""
    await Market(runtime).run()


class Market:
    """Paces windows. A quiet district's window comes at once; a busy one's after a pause of `window_ms`, or longer
    where windows take long."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._bell = asyncio.Event()
        self._wanted: set[str] = set()
        self._serving: set[str] = set()
        self._quiet_until: dict[str, float] = {}
        self._turns, self._large_turns = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(LARGE_AT_ONCE)
        self._large: set[str] = set()
        """Districts whose last window was large."""

    async def run(self) -> None:
        self._runtime.nudged = self._hear
        looked = -TICK_SECONDS
        async with asyncio.TaskGroup() as districts:
            while True:
                if time.monotonic() - looked >= TICK_SECONDS:
                    await self._look()
                    looked = time.monotonic()
                for district in self._wanted - self._serving:
                    self._serving.add(district)
                    districts.create_task(self._serve(district))
                self._bell.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_SECONDS):
                        await self._bell.wait()

    def _hear(self, districts: set[str]) -> None:
        """Something changed in these districts."""
        self._wanted |= districts
        self._bell.set()

    async def _look(self) -> None:
        """What other processes changed is seen in the database alone; what cannot be seen now is at the next look."""
        now = time.monotonic()
        try:
            live = await store.live_districts(self._runtime.store.reading())
        except PyMongoError as error:
            log.warning("districts wait for the database", error=repr(error)[:300])
            return
        self._wanted |= {district for district in live if self._quiet_until.get(district, 0) <= now}

    def _holds(self, district: str) -> bool:
        return all(self._runtime.bus.owns(topic, district) for topic in TOPICS)

    async def _gather(self, district: str) -> None:
        """Wait for what stands in the log now, and not for what comes meanwhile."""
        stands = {topic: self._runtime.bus.stands(topic, district) for topic in TOPICS}
        end = time.monotonic() + GATHER_SECONDS

        def missing() -> bool:
            at = {topic: self._runtime.bus.stands(topic, district)[0] for topic in TOPICS}
            return any(at[topic] < last for topic, (_, last) in stands.items())

        while missing() and time.monotonic() < end:  # noqa: ASYNC110 - no bell rings when all is read
            await asyncio.sleep(GATHER_SECONDS / 20)

    async def _serve(self, district: str) -> None:
        """Windows of one district until nobody wants one."""
        # A task group cancels once, which is not enough (shared/tasks.py).
        while district in self._wanted and not self._runtime.stopping:
            self._wanted.discard(district)
            if not self._holds(district):
                break
            await self._gather(district)
            began = time.monotonic()
            pause = await self._window(district)
            spent = time.monotonic() - began
            self._quiet_until[district] = time.monotonic() + max(TICK_SECONDS, QUIET * spent)
            await asyncio.sleep(max(pause, REST * spent))
        self._serving.discard(district)

    async def _window(self, district: str) -> float:
        """One window; returns the least pause after it in seconds. What goes wrong in one district stays there."""
        try:
            async with self._large_turns if district in self._large else self._turns:
                outcome = await window(self._runtime.store, self._runtime.tracer, district)
        except (DatabaseDown, Contended, PyMongoError) as error:
            log.warning("window waits for the database", district=district, error=repr(error)[:300])
            self._wanted.add(district)
            return 1.0
        except Exception as error:
            log.error("window failed, will be tried again", district=district, exc_info=error)
            return 1.0
        (self._large.add if outcome.large else self._large.discard)(district)
        if outcome.more:
            self._wanted.add(district)
        return outcome.rules.window_ms / 1000
