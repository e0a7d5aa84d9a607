"""What rights remembers of a placement: its agreement, cover, shift and pay, each under the placement's id."""

import re
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel
from pymongo import IndexModel

from shared.auth import Caller
from shared.contracts.terms import Pay, PayMode, Period
from shared.sending import Trouble
from shared.unit import Document, Unit

ShiftStatus = Literal["planned", "started", "ended", "cancelled", "missed"]


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


CoverStatus = Literal["pending", "active", "refused", "withdrawn"]


class Cover(OfPlacement):
    """Injury insurance for the half-open span `period` of one shift: the placement's entry in the group policy.

    `ask` is what the insurer has still to be asked, under the keys of `domain.asking_key`, from `due_at` on and
    since `asked_since`; whoever asks moves `due_at` on first. `attempts` counts how often it was asked for this, and
    `trouble` is why the last attempt came to nothing. Without an insurer there is nobody to ask: the entry here is the
    cover. `refused_for` is the insurer's code. A cover may be withdrawn before the insurer's answer is known; it is
    asked until that is, so that no entry of a withdrawn cover stays with the insurer.
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
    withdrawn_at: datetime | None = None
    ask: Literal["enrol", "withdraw"] | None = None
    due_at: datetime | None = None
    asked_since: datetime | None = None
    attempts: int = 0
    trouble: Trouble | None = None
    trace: dict[str, str] = {}


class Shift(OfPlacement):
    """The work itself. `automatic` when it was ended by its planned end or by a cancellation, not by the worker.

    `missed`: nobody came, and nobody can start it any more. `arrive_by` of a substitute, who came for somebody else;
    `started_by` is who said that work began. `pieces` are as the worker counts them; for other pay than piece pay there
    are none.
    """

    collection = "shifts"

    period: Period
    pay: Pay
    status: ShiftStatus = "planned"
    arrive_by: datetime | None = None
    started_at: datetime | None = None
    started_by: Literal["worker", "employer"] = "worker"
    ended_at: datetime | None = None
    minutes: int | None = None
    pieces: int | None = None
    automatic: bool = False


class Payment(OfPlacement):
    """What the employer owes for a shift, or for having cancelled it late. The market follows the money; it never
    holds it."""

    collection = "payments"

    amount_fen: int
    mode: PayMode
    reason: Literal["work", "cancellation"] = "work"
    due_at: datetime
    paid_at: datetime | None = None
    confirmed_at: datetime | None = None
    overdue: bool = False

    @property
    def status(self) -> Literal["due", "paid", "confirmed"]:
        return "confirmed" if self.confirmed_at else "paid" if self.paid_at else "due"


class Cancellation(Document):
    """A cancellation that was heard of before its placement, and what the employer owes for it."""

    collection = "cancellations"

    at: datetime
    by: Literal["worker", "employer", "market"]
    compensation_fen: int = 0


Side = Literal["worker", "employer"]


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


DOCUMENTS: list[type[Document]] = [Agreement, Cover, Shift, Payment, Cancellation, Ratings]

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


async def readable(unit: Unit, kind: type[P], caller: Caller, *, limit: int, after: str | None) -> list[P]:
    """Those that the caller may read, newest placement first, beginning behind the id `after`."""
    older = {"_id": {"$lt": after}} if after else {}
    return await unit.find(kind, {**_whose(caller), **older}, sort=[("_id", -1)], limit=limit)


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
