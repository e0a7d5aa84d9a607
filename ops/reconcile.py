"""Drift between what services remember: found by comparing their databases, mended through the services' own rules.

Events, timers and counts cannot drift by themselves (docs/architecture.md). A database restored from an older copy, a
document changed by hand, a defect: those can. What is merely on its way is not drift. It is told apart by

- age: what crosses services counts only when it is older than `older_than`;
- the log: a service that has events of a topic still to hear is not measured by them (`behind`);
- outboxes and dead letters: what stands there is known to be late;
- a second look: what is not found again after a pause was in the middle of changing.

Mending runs in a unit of the service that is wrong, looks again inside it, and says what others must hear.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from services.matching import crews, deals, handlers
from services.matching import store as matching
from services.matching.domain import plan_seats
from services.posting import lifecycle
from services.posting import store as posting
from services.rights import attendance
from services.rights import handlers as rights_handlers
from services.rights import store as rights
from services.workers import market as presences
from services.workers import store as workers
from shared import clock
from shared.audit import audit
from shared.contracts.matching import PlacementMade
from shared.problems import Text
from shared.store import Store
from shared.unit import Database, Document, Unit

SERVICES = ("posting", "workers", "matching", "rights")
OLDER_THAN = timedelta(minutes=5)
PAUSE_SECONDS = 2.0
CHUNK = 1_000

Kind = Literal[
    "orphan-seat",
    "placement-without-agreement",
    "agreement-without-placement",
    "stale-hold",
    "count-mismatch",
    "lost-timer",
]
Row = dict[str, Any]
Stores = Mapping[str, Store]
Behind = Mapping[tuple[str, str], int]
Mend = Callable[[Unit], Awaitable[bool]]

STANDING = ("placed", "awaiting-confirmation", "held")
PLACEMENTS = PlacementMade.topic

SEAT_WITHOUT_GIG = Text("a seat of a gig that matching does not know", "席位所属岗位在 matching 中不存在")
SEAT_WITHOUT_PLACEMENT = Text(
    "taken by {placement}, which does not hold it", "被录用 {placement} 占用，但该录用并不持有它"
)
NO_AGREEMENT = Text("placed, but rights has no {missing}", "已录用，但 rights 中没有：{missing}")
NO_PLACEMENT = Text("in force, but matching has no such placement", "协议有效，但 matching 中没有该录用")
NOT_PLACED = Text("in force, but its placement is {status}", "协议有效，但对应录用的状态为 {status}")
HELD = Text("holds {what}, which no longer stands", "仍占用已失效的：{what}")
COUNTED = Text(
    "counts {counted} placements, of which matching has {placed}", "计有 {counted} 人录用，而 matching 中为 {placed} 人"
)
SEATS = Text("has {seats} seats for a headcount of {headcount}", "有 {seats} 个席位，而招聘人数为 {headcount}")
NO_SEAT = Text("placed, but seat {seat} is not its own", "已录用，但席位 {seat} 不属于该录用")
NO_TIMER = Text("due {due}, but nothing will happen then", "应于 {due} 触发，但没有对应的定时器")

SEE_GIG = Text(
    "look for the gig's events: kuaizhao dead list matching; when they are handled, it is a seat like others",
    "查找该岗位的事件：kuaizhao dead list matching；处理后席位即恢复正常",
)
SEE_PARTS = Text(
    "restore what is missing from a backup of rights, or cancel the placement with both sides' knowledge",
    "从 rights 的备份恢复缺失部分，或在双方知情后取消该录用",
)
SEE_PLACEMENT = Text(
    "restore the placement from a backup of matching; if it never was, have a clerk tell both sides and void it",
    "从 matching 的备份恢复该录用；若从未存在，由工作人员告知双方后作废",
)
SEE_STATUS = Text(
    "only an announced placement has an agreement: compare the topic matching.placement, then restore one of the two",
    "只有已公布的录用才有协议：对照主题 matching.placement 后恢复其中一方",
)
SEE_COUNT = Text(
    "posting counts {extra}, which matching does not: compare the topic matching.placement, then restore one of them",
    "posting 计入了 matching 没有的 {extra}：对照主题 matching.placement 后恢复其中一方",
)
SEE_SEAT = Text(
    "two people may hold one seat: ask the employer for one more, or cancel one placement over HTTP",
    "可能有两人占用同一席位：请用工主体增加名额，或通过接口取消其中一个录用",
)


@dataclass(frozen=True)
class Finding:
    """One record that does not fit. `service` is whose record it is; `todo` says what to do when it is not mended."""

    kind: Kind
    service: str
    id: str
    what: Text
    facts: Mapping[str, Any]
    mend: Mend | None = field(default=None, repr=False, compare=False)
    todo: Text | None = None

    @property
    def key(self) -> tuple[Kind, str, str]:
        return self.kind, self.service, self.id


@dataclass
class Report:
    """What was found, which of it was mended, and how many suspects turned out to be on their way."""

    found: list[Finding] = field(default_factory=list)
    mended: list[Finding] = field(default_factory=list)
    in_flight: int = 0
    looked_at: int = 0

    @property
    def left(self) -> list[Finding]:
        mended = {finding.key for finding in self.mended}
        return [finding for finding in self.found if finding.key not in mended]


async def reconcile(
    stores: Stores,
    behind: Behind,
    *,
    mend: bool,
    by: str,
    older_than: timedelta = OLDER_THAN,
    pause_seconds: float = PAUSE_SECONDS,
) -> Report:
    """Look for drift in these services' databases (posting, workers, matching, rights), and mend it if asked to.

    `behind` is how many events each (service, topic) has still to hear; empty when that is known to be none.
    """
    first = _Look(stores, behind, clock.now() - older_than)
    suspects = {finding.key async for finding in first.all()}
    report = Report(looked_at=first.looked_at)
    if suspects:
        await asyncio.sleep(pause_seconds)
        again = _Look(stores, behind, first.before)
        report.found = [finding async for finding in again.all() if finding.key in suspects]
        report.in_flight = len(suspects) - len(report.found) + len(again.held)
    elif first.held:
        report.in_flight = len(first.held)
    if mend:
        for finding in report.found:
            if finding.mend is not None:
                work = _mending(finding, finding.mend, by)
                if await stores[finding.service].transact(work):
                    report.mended.append(finding)
    return report


def _mending(finding: Finding, mend: Mend, by: str) -> Mend:
    async def work(unit: Unit) -> bool:
        if not await mend(unit):
            return False
        found = finding.what.say("en", finding.facts)
        await audit(unit, by, "reconcile", kind=finding.kind, id=finding.id, found=found)
        return True

    return work


class _Look:
    """One pass over all databases. `held` are suspects that an outbox, the log or a dead letter explains."""

    def __init__(self, stores: Stores, behind: Behind, before: datetime) -> None:
        self._stores, self._behind, self.before = stores, behind, before
        self.now = clock.now()
        self.held: set[str] = set()
        self.looked_at = 0

    async def all(self) -> AsyncIterator[Finding]:
        for check in (
            self._seats,
            self._agreements_of_placements,
            self._placements_of_agreements,
            self._holds,
            self._counts,
            self._seat_counts,
            self._seats_of_placements,
            self._timers,
        ):
            async for finding in check():
                yield finding

    # --- reading -------------------------------------------------------------------------------------------------

    async def _chunks(
        self, service: str, kind: type[Document], query: Mapping[str, Any], *fields: str
    ) -> AsyncIterator[list[Row]]:
        """Raw rows with some of their fields, a thousand at a time."""
        rows: list[Row] = []
        shown = dict.fromkeys(fields, 1) or None
        async for row in self._stores[service].db[kind.collection].find(query, shown):
            rows.append(row)
            self.looked_at += 1
            if len(rows) == CHUNK:
                yield rows
                rows = []
        if rows:
            yield rows

    async def _by_id(self, service: str, kind: type[Document], ids: Iterable[Any], *fields: str) -> dict[str, Row]:
        query = {"_id": {"$in": [id for id in dict.fromkeys(ids) if id is not None]}}
        return {row["_id"]: row async for chunk in self._chunks(service, kind, query, *fields) for row in chunk}

    async def _on_their_way(self, reader: str, placements: Sequence[str]) -> set[str]:
        """Those of these placements of which `reader` has something still to hear, or has set it aside."""
        if not placements:
            return set()
        if self._behind.get((reader, PLACEMENTS)):
            found = set(placements)
        else:
            streams = {f"{PLACEMENTS}:{id}": id for id in placements}
            query = {"stream": {"$in": list(streams)}}
            found = set()
            for service, collection in (("matching", "_outbox"), (reader, "_dead")):
                found |= {
                    streams[row["stream"]]
                    async for row in self._stores[service].db[collection].find(query, {"stream": 1})
                }
        self.held |= {f"{reader} {id}" for id in found}
        return found

    # --- seats ---------------------------------------------------------------------------------------------------

    async def _seats(self) -> AsyncIterator[Finding]:
        async for rows in self._chunks("matching", matching.Seat, {}, "gig_id", "number", "open", "placement_id"):
            gigs = await self._by_id("matching", matching.Gig, (row["gig_id"] for row in rows), "closed")
            taken = [row for row in rows if not row["open"]]
            holders = await self._by_id(
                "matching", matching.Placement, (row["placement_id"] for row in taken), "gig_id", "seat", "status"
            )
            for row in rows:
                if row["gig_id"] not in gigs:
                    yield Finding("orphan-seat", "matching", row["_id"], SEAT_WITHOUT_GIG, {}, todo=SEE_GIG)
                elif not row["open"] and not _holds_seat(holders.get(row["placement_id"]), row):
                    facts = {"placement": row["placement_id"]}
                    mend = _free_seat(row["_id"])
                    yield Finding("orphan-seat", "matching", row["_id"], SEAT_WITHOUT_PLACEMENT, facts, mend)

    async def _seat_counts(self) -> AsyncIterator[Finding]:
        async for gigs in self._chunks(
            "matching", matching.Gig, {"closed": None, "crew": {"$ne": "failed"}}, "terms.headcount"
        ):
            seats: dict[str, list[Row]] = defaultdict(list)
            query = {"gig_id": {"$in": [gig["_id"] for gig in gigs]}}
            async for rows in self._chunks("matching", matching.Seat, query, "gig_id", "number", "open"):
                for row in rows:
                    seats[row["gig_id"]].append(row)
            for gig in gigs:
                own, headcount = seats[gig["_id"]], gig["terms"]["headcount"]
                if any(_plan(own, headcount)):
                    facts = {"seats": len(own), "headcount": headcount}
                    yield Finding("count-mismatch", "matching", gig["_id"], SEATS, facts, _set_seats(gig["_id"]))

    async def _seats_of_placements(self) -> AsyncIterator[Finding]:
        query = {"status": {"$in": STANDING}, "terms.period.end": {"$gt": self.now}}
        async for rows in self._chunks("matching", matching.Placement, query, "gig_id", "seat"):
            ids = {row["_id"]: matching.seat_id(row["gig_id"], row["seat"]) for row in rows}
            seats = await self._by_id("matching", matching.Seat, ids.values(), "placement_id")
            for id, seat in ids.items():
                if seats.get(seat, {}).get("placement_id") != id:
                    yield Finding("count-mismatch", "matching", id, NO_SEAT, {"seat": seat}, todo=SEE_SEAT)

    # --- placements and agreements -------------------------------------------------------------------------------

    async def _agreements_of_placements(self) -> AsyncIterator[Finding]:
        query = {"status": "placed", "at": {"$lt": self.before}}
        async for rows in self._chunks("matching", matching.Placement, query, "_id"):
            ids = [row["_id"] for row in rows]
            missing: dict[str, list[str]] = defaultdict(list)
            for kind in (rights.Agreement, rights.Cover, rights.Shift):
                there = await self._by_id("rights", kind, ids, "_id")
                for id in ids:
                    if id not in there:
                        missing[id].append(kind.__name__.lower())
            held = await self._on_their_way("rights", list(missing))
            for id, parts in missing.items():
                if id not in held:
                    facts, whole = {"missing": ", ".join(parts)}, len(parts) == 3
                    yield Finding(
                        "placement-without-agreement",
                        "rights",
                        id,
                        NO_AGREEMENT,
                        facts,
                        mend=self._protect(id) if whole else None,
                        todo=None if whole else SEE_PARTS,
                    )

    async def _placements_of_agreements(self) -> AsyncIterator[Finding]:
        query = {"void_at": None, "made_at": {"$lt": self.before}}
        async for rows in self._chunks("rights", rights.Agreement, query, "_id"):
            ids = [row["_id"] for row in rows]
            placements = await self._by_id("matching", matching.Placement, ids, "status", "cancelled_at")
            worked = await self._by_id("rights", rights.Shift, ids, "status")
            odd = [id for id in ids if placements.get(id, {}).get("status") != "placed"]
            held = await self._on_their_way("rights", odd)
            for id in odd:
                placement = placements.get(id)
                if id in held or (placement and worked.get(id, {}).get("status") == "ended"):
                    continue  # a shift that was worked stays owed, whatever was cancelled later
                if placement is None:
                    yield Finding("agreement-without-placement", "rights", id, NO_PLACEMENT, {}, todo=SEE_PLACEMENT)
                elif placement["status"] != "cancelled":
                    facts = {"status": placement["status"]}
                    yield Finding("agreement-without-placement", "rights", id, NOT_PLACED, facts, todo=SEE_STATUS)
                elif placement["cancelled_at"] < self.before:
                    facts = {"status": "cancelled"}
                    yield Finding("agreement-without-placement", "rights", id, NOT_PLACED, facts, self._void(id))

    async def _placement(self, id: str) -> matching.Placement | None:
        return await self._stores["matching"].reading().get(matching.Placement, id)

    def _protect(self, id: str) -> Mend:
        """Give a placement its agreement, cover and shift, as its event would have."""

        async def mend(unit: Unit) -> bool:
            placement = await self._placement(id)
            if placement is None or placement.status != "placed" or await unit.get(rights.Agreement, id):
                return False
            await rights_handlers.protect(deals.made(placement), unit)
            return True

        return mend

    def _void(self, id: str) -> Mend:
        """Void the agreement of a cancelled placement, as its event would have."""

        async def mend(unit: Unit) -> bool:
            placement, agreement = await self._placement(id), await unit.get(rights.Agreement, id)
            if placement is None or placement.status != "cancelled" or agreement is None or agreement.void_at:
                return False
            await rights_handlers.void(deals.cancelled(placement), unit)
            return agreement.void_at is not None

        return mend

    # --- holds ---------------------------------------------------------------------------------------------------

    async def _holds(self) -> AsyncIterator[Finding]:
        query = {"$or": [{"offer_id": {"$ne": None}}, {"until": {"$gt": self.now}}]}
        async for rows in self._chunks("matching", matching.Commitments, query, "offer_id", "periods"):
            offers = await self._by_id(
                "matching", matching.Offer, (row["offer_id"] for row in rows), "open", "worker_id"
            )
            promised = (period["placement_id"] for row in rows for period in row["periods"])
            placements = await self._by_id("matching", matching.Placement, promised, "status", "worker_id")
            for row in rows:
                stale = []
                offer = offers.get(row["offer_id"], {})
                if row["offer_id"] and not (offer.get("open") and offer["worker_id"] == row["_id"]):
                    stale.append(row["offer_id"])
                for period in row["periods"]:
                    placement = placements.get(period["placement_id"], {})
                    stands = placement.get("status") in STANDING and placement["worker_id"] == row["_id"]
                    if period["end"] > self.now and not stands:
                        stale.append(period["placement_id"])
                if stale:
                    facts, mend = {"what": ", ".join(stale)}, _let_go(row["_id"])
                    yield Finding("stale-hold", "matching", row["_id"], HELD, facts, mend)

    # --- counts --------------------------------------------------------------------------------------------------

    async def _counts(self) -> AsyncIterator[Finding]:
        async for gigs in self._chunks("posting", posting.Gig, {"status": {"$ne": "closed"}}, "placed"):
            ids = [gig["_id"] for gig in gigs]
            made: dict[str, list[Row]] = defaultdict(list)
            counted: dict[str, set[str]] = defaultdict(set)
            of_these = {"gig_id": {"$in": ids}}
            async for rows in self._chunks("posting", posting.Placement, of_these | {"stands": True}, "gig_id"):
                for row in rows:
                    counted[row["gig_id"]].add(row["_id"])
            fields = ("gig_id", "status", "at", "cancelled_at")
            async for rows in self._chunks("matching", matching.Placement, of_these, *fields):
                for row in rows:
                    made[row["gig_id"]].append(row)
            for gig in gigs:
                id, own = gig["_id"], made[gig["_id"]]
                placed = {row["_id"] for row in own if row["status"] == "placed"}
                if counted[id] == placed and gig["placed"] == len(placed):
                    continue
                if any(max(row["at"], row["cancelled_at"] or row["at"]) >= self.before for row in own):
                    self.held.add(f"posting {id}")
                    continue
                if await self._on_their_way("posting", sorted(counted[id] ^ placed)):
                    continue
                extra = ", ".join(sorted(counted[id] - {row["_id"] for row in own}))
                facts = {"counted": gig["placed"], "placed": len(placed), "extra": extra}
                mend, todo = (None, SEE_COUNT) if extra else (self._count(id), None)
                yield Finding("count-mismatch", "posting", id, COUNTED, facts, mend, todo)

    def _count(self, gig_id: str) -> Mend:
        """Count the placements of a gig that matching has, and no others."""

        async def mend(unit: Unit) -> bool:
            gig = await unit.get(posting.Gig, gig_id)
            if gig is None or gig.status == "closed":
                return False
            made = await self._stores["matching"].reading().find(matching.Placement, {"gig_id": gig_id})
            wrong = gig.placed != sum(placement.status == "placed" for placement in made)
            for placement in made:
                own = await unit.get(posting.Placement, placement.id) or posting.Placement(
                    id=placement.id, gig_id=gig_id, stands=False
                )
                if own.stands != (placement.status == "placed"):
                    own.stands, wrong = not own.stands, True
                    unit.save(own)
            if not wrong:
                return False
            await lifecycle.recount(unit, gig)
            return True

        return mend

    # --- timers --------------------------------------------------------------------------------------------------

    async def _timers(self) -> AsyncIterator[Finding]:
        for timed in TIMED:
            async for rows in self._chunks(timed.service, timed.kind, timed.query(self.now)):
                dues = {row["_id"]: due for row in rows if (due := timed.due(timed.kind.from_mongo(row), self.now))}
                set_ = await timed.set_for(self._stores[timed.service].db, None, list(dues))
                for id, due in dues.items():
                    if id not in set_:
                        facts = {"due": due.isoformat(timespec="seconds")}
                        name = f"{timed.name}:{id}"
                        yield Finding("lost-timer", timed.service, name, NO_TIMER, facts, timed.mend(id))


# --- mending in matching -----------------------------------------------------------------------------------------


def _holds_seat(placement: Mapping[str, Any] | None, seat: Mapping[str, Any]) -> bool:
    return (
        placement is not None
        and placement["status"] in STANDING
        and (placement["gig_id"], placement["seat"]) == (seat["gig_id"], seat["number"])
    )


def _free_seat(id: str) -> Mend:
    async def mend(unit: Unit) -> bool:
        seat = await unit.get(matching.Seat, id)
        gig = await unit.get(matching.Gig, seat.gig_id) if seat else None
        if seat is None or gig is None or seat.open:
            return False
        placement = await unit.get(matching.Placement, seat.placement_id) if seat.placement_id else None
        if _holds_seat(placement.model_dump() if placement else None, seat.model_dump()):
            return False
        await deals.free(unit, gig, seat)
        return True

    return mend


def _plan(seats: Iterable[Mapping[str, Any]], headcount: int) -> tuple[list[int], list[int]]:
    open_ = {seat["number"] for seat in seats if seat["open"]}
    return plan_seats(open_, {seat["number"] for seat in seats} - open_, headcount)


def _set_seats(gig_id: str) -> Mend:
    async def mend(unit: Unit) -> bool:
        gig = await unit.get(matching.Gig, gig_id)
        if gig is None or gig.closed:
            return False
        seats = {seat.number: seat for seat in await matching.seats_of(unit, gig_id)}
        if not any(_plan([seat.model_dump() for seat in seats.values()], gig.terms.headcount)):
            return False
        handlers.set_seats(gig, seats, unit)
        unit.save(gig)
        return True

    return mend


def _let_go(worker_id: str) -> Mend:
    async def mend(unit: Unit) -> bool:
        held = await unit.get(matching.Commitments, worker_id)
        if held is None:
            return False
        stale = False
        if held.offer_id:
            offer = await unit.get(matching.Offer, held.offer_id)
            if offer is None or not offer.open or offer.worker_id != worker_id:
                held.offer_id, stale = None, True
        for period in list(held.periods):
            placement = await unit.get(matching.Placement, period.placement_id)
            if placement is None or not placement.stands or placement.worker_id != worker_id:
                held.drop(period.placement_id)
                stale = True
        if stale:
            unit.save(held)
        return stale

    return mend


# --- timers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timed:
    """Documents that need a timer of this name, each under its own id.

    `due` says when, or None for one that needs none; `query` finds those that may need one. `listed`: the timer may
    also be one for several, whose data lists them under this name.
    """

    service: str
    kind: type[Document]
    name: str
    query: Callable[[datetime], dict[str, Any]]
    due: Callable[[Any, datetime], datetime | None]
    data: Callable[[Any], dict[str, Any]] = lambda _: {}
    listed: str = ""

    async def set_for(self, db: Database, session: Any, ids: Sequence[str]) -> set[str]:
        """Those of these documents whose timer stands."""
        own = {f"{self.name}:{id}": id for id in ids}
        found = {own[row["_id"]] async for row in db["_timers"].find({"_id": {"$in": list(own)}}, session=session)}
        if self.listed:
            path = f"data.{self.listed}"
            shared = db["_timers"].find({"name": self.name, path: {"$in": list(ids)}}, session=session)
            found |= {id async for row in shared for id in row["data"][self.listed]}
        return found

    def mend(self, id: str) -> Mend:
        async def mend(unit: Unit) -> bool:
            document = await unit.get(self.kind, id)
            due = self.due(document, unit.now) if document else None
            if due is None or await self.set_for(unit.db, unit.session, [id]):
                return False
            unit.set_timer(self.name, id, due, **self.data(document))
            return True

        return mend


TIMED = (
    Timed(
        "posting",
        posting.Gig,
        lifecycle.GIG_EXPIRY,
        lambda now: {"status": {"$ne": "closed"}},
        lambda gig, now: gig.terms.valid_until if gig.status != "closed" else None,
    ),
    Timed(
        "posting",
        posting.Employer,
        lifecycle.VERIFICATION_END,
        lambda now: {"status": "verified"},
        lambda employer, now: employer.verified_until if employer.status == "verified" else None,
    ),
    Timed(
        "posting",
        posting.Employer,
        lifecycle.VERIFICATION_WARNING,
        lambda now: {"warn_at": {"$ne": None}},
        lambda employer, now: employer.warn_at,
    ),
    Timed(
        "workers",
        workers.Presence,
        presences.CHECK_IN_ENDS,
        lambda now: {},
        lambda presence, now: presence.until,
        lambda presence: {"checkin_id": presence.checkin_id},
    ),
    Timed(
        "workers",
        workers.Worker,
        presences.PROFILE_CHANGES,
        lambda now: {"$or": [{"minor_until": {"$gt": now}}, {"certificates.until": {"$gt": now}}]},
        lambda worker, now: worker.changes_by_itself(now),
    ),
    Timed(
        "matching",
        matching.Offer,
        deals.OFFER_EXPIRY,
        lambda now: {"open": True},
        lambda offer, now: offer.expires_at if offer.open else None,
        lambda offer: {"offers": [offer.id]},
        listed="offers",
    ),
    Timed(
        "matching",
        matching.Placement,
        deals.CONFIRMATION,
        lambda now: {"status": "awaiting-confirmation"},
        lambda placement, now: placement.confirm_by if placement.status == "awaiting-confirmation" else None,
    ),
    Timed(
        "matching",
        matching.Placement,
        deals.EXCUSE,
        lambda now: {"excuse_state": "waiting"},
        lambda placement, now: placement.excuse_until if placement.excuse_state == "waiting" else None,
    ),
    Timed(
        "matching",
        matching.Placement,
        deals.ATTENDANCE,
        lambda now: {"status": "placed", "attend_by": {"$gt": now}, "attending_at": None},
        lambda placement, now: placement.next_asking,
    ),
    Timed(
        "matching",
        matching.Gig,
        crews.CREW,
        lambda now: {"crew": "gathering"},
        lambda gig, now: gig.ends if gig.crew == "gathering" else None,
    ),
    Timed(
        "matching",
        matching.Gig,
        deals.BACKFILL_END,
        lambda now: {"backfill_until": {"$gt": now}},
        lambda gig, now: gig.backfill_until,
    ),
    Timed(
        "rights",
        rights.Shift,
        attendance.NO_SHOW,
        lambda now: {"status": "planned"},
        lambda shift, now: attendance.missed_at(shift, now) if shift.status == "planned" else None,
    ),
    Timed(
        "rights",
        rights.Shift,
        attendance.SHIFT_END,
        lambda now: {"status": "started"},
        lambda shift, now: shift.period.end if shift.status == "started" else None,
    ),
    Timed(
        "rights",
        rights.Timesheet,
        attendance.TIMESHEET,
        lambda now: {"status": "open"},
        lambda sheet, now: sheet.answer_by if sheet.status == "open" else None,
    ),
    Timed(
        "rights",
        rights.Payment,
        attendance.PAY_OVERDUE,
        lambda now: {"confirmed_at": None, "overdue": False},
        lambda pay, now: None if pay.confirmed_at or pay.overdue else pay.due_at,
    ),
)
