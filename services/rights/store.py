"""What rights remembers of a placement: its agreement, cover, shift and pay, each under the placement's id."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar

import orjson
from pydantic import BaseModel
from pymongo import IndexModel

from services.rights.clocks import Authority, CaseKind, CaseOutcome, CaseState
from services.rights.rules import SHIPPED, Reliability, Rule, Rules, Side
from shared.auth import Caller
from shared.contracts.posting import GigTerms
from shared.contracts.terms import Pay, PayMode, Period
from shared.rulebook import RuleBook, RuleVersion
from shared.sending import Trouble
from shared.signing import KeyRing
from shared.unit import Document, Unit

ShiftStatus = Literal["planned", "started", "ended", "cancelled", "missed"]
ProofMethod = Literal["none", "code", "geofence", "employer", "override"]
OverrideReason = Literal["no-device", "device-fails", "no-signal", "wrong-place", "other"]
SheetStatus = Literal["open", "disputed", "approved", "settled"]
DisputeReason = Literal["came-late", "left-early", "was-away", "stayed-longer", "other"]


class Parties(BaseModel):
    """Between whom a placement is, of which gig, and where."""

    worker_id: str
    employer_id: str
    gig_id: str
    district: str


class OfPlacement(Document):
    """A document about one placement; its id is the placement's."""

    indexes: ClassVar = [
        IndexModel([(f"parties.{who}", 1), ("_id", -1)]) for who in ("worker_id", "employer_id", "district")
    ]

    parties: Parties


class Agreement(OfPlacement):
    """The terms as they were when the placement was made: `text` are the very bytes under the hash.

    Void from `void_at` on when the placement was cancelled; the text stays, as evidence of what had been agreed.
    """

    collection = "agreements"

    text: bytes
    sha256: str
    made_at: datetime
    void_at: datetime | None = None
    void_by: Literal["worker", "employer", "market"] | None = None

    @property
    def terms(self) -> GigTerms:
        return GigTerms.model_validate(orjson.loads(self.text)["terms"])


CoverStatus = Literal["pending", "active", "refused", "withdrawn"]


class Cover(OfPlacement):
    """Injury insurance for the half-open span `period` of one shift: the placement's entry in the group policy.

    `ask` is what the insurer has still to be asked, under the keys of `domain.asking_key`, from `due_at` on and
    since `asked_since`; whoever asks moves `due_at` on first. `attempts` counts how often it was asked for this, and
    `trouble` is why the last attempt came to nothing. Without an insurer there is nobody to ask: the entry here is the
    cover. `refused_for` is the insurer's code. A cover may be withdrawn before the insurer's answer is known; it is
    asked until that is, so that no entry of a withdrawn cover stays with the insurer. `confirmed_at`: when the
    insurer's word came.
    """

    collection = "covers"
    indexes: ClassVar = [
        *OfPlacement.indexes,
        IndexModel("due_at", partialFilterExpression={"due_at": {"$type": "date"}}),
    ]

    provider: str
    policy_id: str | None
    period: Period
    occupation: str = ""
    status: CoverStatus = "active"
    refused_for: str | None = None
    confirmed_at: datetime | None = None
    withdrawn_at: datetime | None = None
    ask: Literal["enrol", "withdraw"] | None = None
    due_at: datetime | None = None
    asked_since: datetime | None = None
    attempts: int = 0
    trouble: Trouble | None = None
    trace: dict[str, str] = {}

    def stood(self, at: datetime) -> bool:
        """True of one that is active, and was at that moment."""
        return self.status == "active" and (self.confirmed_at is None or self.confirmed_at <= at)


class Proof(BaseModel):
    """How a shift's start was proven. No position is kept, only how far it was from the workplace, in metres.

    `code`: that of the work site. `geofence`: a position near it. `employer`: its word that the worker is here.
    `override`: the word of an employer or clerk (`by`), in place of a proof, for a reason; `note`, what they wrote, is
    sealed. `none`: the worker's own word.
    """

    method: ProofMethod = "none"
    distance_m: int | None = None
    by: Literal["worker", "employer", "clerk"] = "worker"
    reason: OverrideReason | None = None
    note: bytes | None = None


class RefusedStart(BaseModel):
    """A check-in with a proof that was not taken: when it was made by the device's word, when it came, and why not."""

    made_at: datetime
    came_at: datetime
    code: str
    method: ProofMethod
    distance_m: int | None = None


class Shift(OfPlacement):
    """The work itself. `automatic` when it was ended by its planned end or by a cancellation, not by the worker.

    `missed`: nobody came, and nobody can start it any more. `arrive_by` of a substitute, who came for somebody else;
    `started_by` is who said that work began. `pieces` are as the worker counts them; for other pay than piece pay there
    are none.

    `late_synced`: the start was made offline, at the device's time, and came later; `end_late_synced` the same of the
    end. `refused` are the last check-ins that were not taken, `wrong_codes` how many codes were not the work site's.
    `no_show_minutes`, `timesheet_hours`, `reminder_hours`: the district's figures of when the placement was made.
    """

    collection = "shifts"
    indexes: ClassVar = [*OfPlacement.indexes, IndexModel([("parties.gig_id", 1)])]

    period: Period
    pay: Pay
    status: ShiftStatus = "planned"
    arrive_by: datetime | None = None
    started_at: datetime | None = None
    started_by: Literal["worker", "employer"] = "worker"
    proof: Proof = Proof()
    late_synced: bool = False
    refused: list[RefusedStart] = []
    wrong_codes: int = 0
    ended_at: datetime | None = None
    end_late_synced: bool = False
    minutes: int | None = None
    pieces: int | None = None
    automatic: bool = False
    no_show_minutes: int = 10
    timesheet_hours: int = 24
    reminder_hours: int = 0


class Timesheet(OfPlacement):
    """What was worked, for the employer to answer until `answer_by`. None where no minute was worked.

    `minutes` as the shift recorded them. `open`, then `approved` (by the employer, or `deadline`: nobody answered), or
    `disputed`: the employer says `claimed_minutes`, for a reason; then `settled` at `settled_minutes`, by the worker
    who agrees, by a clerk, or as it was recorded since nobody had by `settle_by` (`lapse`). `escalated_at`: it had
    waited so long that clerks see it as urgent. `note` and `grounds`, what employer and clerk wrote, are sealed.
    """

    collection = "timesheets"
    indexes: ClassVar = [
        *OfPlacement.indexes,
        IndexModel([("status", 1), ("_id", -1)], partialFilterExpression={"status": "disputed"}),
    ]

    started_at: datetime
    ended_at: datetime
    minutes: int
    answer_by: datetime
    status: SheetStatus = "open"
    approved_by: Literal["employer", "deadline"] | None = None
    answered_at: datetime | None = None
    claimed_minutes: int | None = None
    reason: DisputeReason | None = None
    note: bytes | None = None
    settle_by: datetime | None = None
    escalated_at: datetime | None = None
    settled_by: Literal["worker", "clerk", "lapse"] | None = None
    settled_at: datetime | None = None
    settled_minutes: int | None = None
    grounds: bytes | None = None

    @property
    def counted(self) -> int:
        """The minutes that count now."""
        return self.minutes if self.settled_minutes is None else self.settled_minutes


class Payment(OfPlacement):
    """What the employer owes for a shift, or for having cancelled it late. The market follows the money; it never
    holds it.

    `contested`: the worker says that what was marked as paid has not arrived; until it is marked again. `late`: it was
    due, and not marked as paid, or contested.
    """

    collection = "payments"

    amount_fen: int
    mode: PayMode
    reason: Literal["work", "cancellation"] = "work"
    due_at: datetime
    paid_at: datetime | None = None
    contested_at: datetime | None = None
    contested: bool = False
    confirmed_at: datetime | None = None
    overdue: bool = False
    late: bool = False

    @property
    def status(self) -> Literal["due", "paid", "contested", "confirmed"]:
        if self.confirmed_at:
            return "confirmed"
        return "contested" if self.contested else "paid" if self.paid_at else "due"


class Limit(BaseModel):
    """A time limit that runs or ran for a case: `met` in time or late, and `passed_at` when it had gone by unmet."""

    name: str
    due_at: datetime
    extended: bool = False
    met_at: datetime | None = None
    passed_at: datetime | None = None


class Step(BaseModel):
    """One entry of a case's history. `note` is sealed; `by` is a clerk's or the worker's id, or `market`."""

    what: str
    at: datetime
    by: str
    detail: str | None = None
    note: bytes | None = None


class Case(Document):
    """A worker's case from its intake to its outcome.

    `text` (what happened) and the notes of steps are sealed for the worker, and leave rights in no event. An arrears
    case of a placement has an id that follows from it (`cases.arrears_id`), so that there is one however it is opened.
    """

    collection = "cases"
    indexes: ClassVar = [
        IndexModel("receipt", unique=True),
        IndexModel([("state", 1), ("district", 1), ("_id", 1)]),
        IndexModel([("worker_id", 1), ("_id", -1)]),
        IndexModel("placement_id"),
    ]

    receipt: str
    kind: CaseKind
    worker_id: str
    employer_id: str | None
    placement_id: str | None
    district: str
    text: bytes | None
    state: CaseState = "open"
    referred_to: Authority | None = None
    outcome: CaseOutcome | None = None
    escalated: bool = False
    opened_by: Literal["worker", "clerk", "market"]
    opened_at: datetime
    closed_at: datetime | None = None
    limits: list[Limit] = []
    history: list[Step] = []

    @property
    def employer_concerned(self) -> bool:
        """True where the employer knows of it: it can end arrears by paying, and was asked to come to a mediation."""
        asked = any(step.what in ("mediation", "invited") for step in self.history)
        return self.employer_id is not None and (self.kind == "arrears" or asked)

    def limit(self, name: str) -> Limit | None:
        """The limit of this name that still runs."""
        return next((one for one in self.limits if one.name == name and one.met_at is None), None)


class Appeal(BaseModel):
    """Why something is wrong, sealed for who says it. `reason` is what the clerk says who decided."""

    text: bytes
    at: datetime
    state: Literal["waiting", "upheld", "refused"] = "waiting"
    reason: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None


class Sanction(Document):
    """What keeps an employer from posting, or a worker from waiting for work. `by`: a clerk, or `market` for a rule."""

    collection = "sanctions"
    indexes: ClassVar = [
        IndexModel([("party_id", 1), ("_id", -1)]),
        IndexModel("case_id"),
        IndexModel([("appeal.state", 1), ("district", 1), ("_id", 1)]),
    ]

    party: Side = "employer"
    party_id: str
    district: str
    kind: Literal["block", "suspend"]
    reason: str
    since: datetime
    until: datetime | None
    case_id: str | None
    by: str
    lifted_at: datetime | None = None
    lifted_for: str | None = None
    appeal: Appeal | None = None

    def in_force(self, now: datetime) -> bool:
        return self.lifted_at is None and (self.until is None or now < self.until)


class Cancellation(Document):
    """A cancellation that was heard of before its placement, and what the employer owes for it."""

    collection = "cancellations"

    at: datetime
    by: Literal["worker", "employer", "market"]
    compensation_fen: int = 0


class Mark(BaseModel):
    """1 to 5 points, codes for why, and what the rater wrote, which may be of persons, `sealed` under the placement."""

    points: int
    codes: tuple[str, ...]
    sealed: bytes | None
    at: datetime


class Ratings(OfPlacement):
    """Both ratings of one placement, by who gave them. In one document, so that of two at once one sees the other."""

    collection = "ratings"
    indexes: ClassVar = [
        *OfPlacement.indexes,
        *(IndexModel([(f"parties.{side}_id", 1), ("published_at", -1)]) for side in ("worker", "employer")),
    ]

    by_worker: Mark | None = None
    by_employer: Mark | None = None
    published_at: datetime | None = None

    def by(self, side: Side) -> Mark | None:
        return self.by_worker if side == "worker" else self.by_employer


class Suspended(BaseModel):
    """A sanction that followed from a score `below` so many points."""

    sanction_id: str
    below: int


class Standing(Document):
    """Which suspensions a person's points have led to; of two losses at one moment the second sees the first by it.

    The id is `standing_id` of its person.
    """

    collection = "standings"
    indexes: ClassVar = [IndexModel("party_id")]

    party_id: str
    suspended: list[Suspended] = []


def standing_id(party: Side, party_id: str) -> str:
    return f"{party}:{party_id}"


TakenBack = Literal["excuse", "appeal", "unfounded"]
"""Why an entry was taken back: a clerk accepted the excuse, or the appeal; or nothing had been owed."""


class Entry(Document):
    """One change of a person's points, never changed itself: what `rule` gave or took, by the rules `rules`.

    The id is of the rule and what it is about (`about_id`: a placement, or a gig), so that one fact counts once. One
    that takes another back (`takes_back_id`, `because`) has its points with the other sign. `score` is the person's
    with it; `order` sorts entries as they were made. Nothing is left of its points from `counts_until` on.
    """

    collection = "points"
    indexes: ClassVar = [
        IndexModel([("standing", 1), ("order", -1)]),
        IndexModel([("standing", 1), ("sort", 1), ("order", -1)]),
    ]

    standing: str
    party: Side
    party_id: str
    district: str
    sort: Literal["given", "taken", "taken-back"]
    rule: Rule
    rules: str
    cause: str
    about_id: str
    points: int
    half_days: int
    counts_until: datetime
    appeal_until: datetime
    score: int
    at: datetime
    order: str
    takes_back_id: str | None = None
    because: TakenBack | None = None


class EntryAppeal(Document):
    """An appeal against an entry, under the entry's id."""

    collection = "entry_appeals"
    indexes: ClassVar = [IndexModel([("appeal.state", 1), ("district", 1), ("_id", 1)])]

    party_id: str
    district: str
    appeal: Appeal


class Ability(Document):
    """What the registry last said of a worker's skills and certificates. The id is the worker's."""

    collection = "abilities"

    skills: tuple[str, ...]
    certificates: tuple[str, ...]
    revision: int


class PublishedArticle(Document):
    """Which version of an article of the knowledge base was said last. The id is the article's."""

    collection = "articles"

    number: int
    published_at: datetime


class RecordedShift(BaseModel):
    placement_id: str
    minutes: int


class WorkRecord(Document):
    """A record that was given out: its hash, which minutes it says, until when it is good. Itself it is not kept."""

    collection = "work_records"
    indexes: ClassVar = [IndexModel([("worker_id", 1), ("_id", -1)])]

    worker_id: str
    sha256: str
    issued_at: datetime
    valid_until: datetime
    shifts: list[RecordedShift]


DOCUMENTS: list[type[Document]] = [
    Agreement,
    Cover,
    Shift,
    Timesheet,
    Payment,
    Cancellation,
    Case,
    Sanction,
    Ratings,
    Standing,
    Entry,
    EntryAppeal,
    Ability,
    WorkRecord,
    PublishedArticle,
    KeyRing,
    RuleVersion,
]

RULES = RuleBook(Rules, SHIPPED)

P = TypeVar("P", bound=OfPlacement)


async def covers_due(unit: Unit, limit: int) -> list[Cover]:
    """Covers of which the insurer should be asked something now, the longest due first."""
    return await unit.find(Cover, {"due_at": {"$lte": unit.now}}, sort=[("due_at", 1)], limit=limit)


async def oldest_asking(unit: Unit) -> datetime | None:
    """Since when the insurer owes us an answer; None when it owes none."""
    found = await unit.find(Cover, {"due_at": {"$type": "date"}}, sort=[("asked_since", 1)], limit=1)
    return found[0].asked_since if found else None


def may_read(caller: Caller, parties: Parties) -> bool:
    """The two parties, and clerks of the district."""
    match caller.role:
        case "worker":
            return caller.id == parties.worker_id
        case "employer":
            return caller.id == parties.employer_id
        case "clerk" | "operator":
            return caller.covers(parties.district)
        case _:
            return False


async def readable(
    unit: Unit,
    kind: type[P],
    caller: Caller,
    *,
    limit: int,
    after: str | None,
    only: Mapping[str, Any] | None = None,
) -> list[P]:
    """Those that the caller may read and that match `only`; newest placement first, beginning behind the id `after`."""
    older = {"_id": {"$lt": after}} if after else {}
    query = {**(only or {}), **_whose(caller)}
    return await unit.find(kind, {"$and": [query, older]}, sort=[("_id", -1)], limit=limit)


async def worked_in(unit: Unit, worker_id: str, begin: datetime, end: datetime, limit: int) -> list[Timesheet]:
    """A worker's timesheets of work that began in [begin, end), the oldest first."""
    query = {"parties.worker_id": worker_id, "started_at": {"$gte": begin, "$lt": end}}
    return await unit.find(Timesheet, query, sort=[("started_at", 1)], limit=limit)


async def records_of(unit: Unit, worker_id: str, *, limit: int, after: str | None) -> list[WorkRecord]:
    """A worker's records, newest first, beginning behind the id `after`."""
    older = {"_id": {"$lt": after}} if after else {}
    return await unit.find(WorkRecord, {"worker_id": worker_id, **older}, sort=[("_id", -1)], limit=limit)


async def cases(
    unit: Unit, query: dict[str, Any], districts: Sequence[str] | None, *, limit: int, after: str | None
) -> list[Case]:
    """Cases that match, oldest first; `districts` are prefixes such as 4301, None for all."""
    query = {**query, **({"_id": {"$gt": after}} if after else {}), **within(districts)}
    return await unit.find(Case, query, sort=[("_id", 1)], limit=limit)


async def sanctions(
    unit: Unit,
    query: dict[str, Any],
    districts: Sequence[str] | None = None,
    *,
    limit: int = 0,
    after: str | None = None,
) -> list[Sanction]:
    """Sanctions that match, oldest first, with `districts` as for cases."""
    query = {**query, **({"_id": {"$gt": after}} if after else {}), **within(districts)}
    return await unit.find(Sanction, query, sort=[("_id", 1)], limit=limit)


async def entries_of(
    unit: Unit, standing: str, districts: Sequence[str] | None = None, *, limit: int, after: str | None
) -> list[Entry]:
    """A person's entries, newest first, beginning behind the `order` of another; `districts` as for cases."""
    older = {"order": {"$lt": after}} if after else {}
    return await unit.find(
        Entry, {"standing": standing, **older, **within(districts)}, sort=[("order", -1)], limit=limit
    )


async def counting(unit: Unit, standing: str, figures: Reliability, *, without: str | None = None) -> list[Entry]:
    """The entries by which a person's score is reckoned, at most as many as can matter, but for one.

    Each that counts is a point at least. So the newest that fill the way from the start to the most are enough of what
    was given, and of what was taken those that would bring the most down to the least.
    """
    query = {"standing": standing, "counts_until": {"$gt": unit.now}}
    back = await unit.find(Entry, query | {"sort": "taken-back"})
    void = [*(each.takes_back_id for each in back), *([without] if without else [])]
    found: list[Entry] = []
    for sort, limit in (("given", figures.most - figures.start), ("taken", figures.most - figures.least)):
        standing_ones = query | {"sort": sort, "_id": {"$nin": void}}
        found += await unit.find(Entry, standing_ones, sort=[("order", -1)], limit=limit)
    return found


async def entry_appeals(
    unit: Unit, districts: Sequence[str] | None, *, limit: int, after: str | None
) -> list[EntryAppeal]:
    """Appeals that wait for a clerk, by the entry's id, with `districts` as for cases."""
    query = {"appeal.state": "waiting", **({"_id": {"$gt": after}} if after else {}), **within(districts)}
    return await unit.find(EntryAppeal, query, sort=[("_id", 1)], limit=limit)


def within(districts: Sequence[str] | None) -> dict[str, Any]:
    if districts is None:
        return {}
    if not districts:
        return {"_id": {"$in": []}}
    return {"district": {"$regex": f"^({'|'.join(map(re.escape, districts))})"}}


def _whose(caller: Caller) -> dict[str, Any]:
    match caller.role:
        case "worker" | "employer":
            return {f"parties.{caller.role}_id": caller.id}
        case "operator":
            return {}
        case "clerk" if caller.districts:
            return {"parties.district": {"$regex": f"^({'|'.join(map(re.escape, caller.districts))})"}}
        case _:
            return {"_id": {"$in": []}}
