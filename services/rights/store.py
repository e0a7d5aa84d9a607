"""What rights remembers of a placement: its agreement, cover, shift and pay, each under the placement's id."""

import re
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel
from pymongo import IndexModel

from shared.auth import Caller
from shared.contracts.terms import Pay, PayMode, Period
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


class Cover(OfPlacement):
    """Injury insurance for the span of one shift: the placement's entry in the market's group policy.

    `active` says that the entry stands in our register, which is what the group policy goes by; it does not say that
    the provider has confirmed it.
    """

    collection = "covers"

    provider: str
    policy_id: str
    period: Period
    status: Literal["active", "withdrawn"] = "active"
    withdrawn_at: datetime | None = None


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


DOCUMENTS: list[type[Document]] = [Agreement, Cover, Shift, Payment, Cancellation]

P = TypeVar("P", bound=OfPlacement)


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
