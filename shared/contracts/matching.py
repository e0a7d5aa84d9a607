"""What the live market says: offers made and ended, placements made and cancelled."""

from typing import Literal

from shared.contracts import Event
from shared.contracts.posting import GigTerms
from shared.contracts.terms import Code, District, Fen, Instant, Term


class Reason(Term):
    """Why this gig is offered to this worker: a code and the figure behind it, such as `distance-m`, 840."""

    code: Code
    value: float


class OfferMade(Event, topic="matching.offer", type="matching.offer-made.v1", subject="offer_id"):
    """A gig is offered to a worker, until `expires_at`.

    `arrive_by` where the shift has begun, without the worker who had this seat: by when a substitute should be there.
    """

    offer_id: str
    gig_id: str
    worker_id: str
    employer_id: str
    district: District
    terms: GigTerms
    reasons: tuple[Reason, ...]
    weights: str
    checked_in_at: Instant
    made_at: Instant
    expires_at: Instant
    arrive_by: Instant | None = None


class OfferDeclined(Event, topic="matching.offer", type="matching.offer-declined.v1", subject="offer_id"):
    """The worker said no."""

    offer_id: str
    gig_id: str
    worker_id: str
    district: District


class OfferExpired(Event, topic="matching.offer", type="matching.offer-expired.v1", subject="offer_id"):
    """The offer can no longer be accepted, or what was accepted was not confirmed in time (`unconfirmed`).

    `amended`: the gig has new terms, so that this offer of the old ones ends. `detail` of `unconfirmed`: `crew` where
    too few people came together.
    """

    offer_id: str
    gig_id: str
    worker_id: str
    district: District
    reason: Literal["time", "filled", "closed", "amended", "gone", "busy", "unconfirmed"]
    detail: Code | None = None


class PlacementMade(Event, topic="matching.placement", type="matching.placement-made.v1", subject="placement_id"):
    """A worker has a seat of a gig. The terms are those of the offer that was accepted.

    `arrive_by` of a substitute: the shift has begun, and this is when they should be there.
    """

    placement_id: str
    offer_id: str
    gig_id: str
    seat: int
    worker_id: str
    employer_id: str
    district: District
    terms: GigTerms
    at: Instant
    arrive_by: Instant | None = None


class ConfirmationLapsed(
    Event, topic="matching.placement", type="matching.confirmation-lapsed.v1", subject="placement_id"
):
    """A worker had accepted, and the employer did not say in time whether it takes them: there will be no placement."""

    placement_id: str
    offer_id: str
    gig_id: str
    worker_id: str
    employer_id: str
    district: District
    at: Instant


class PlacementCancelled(
    Event, topic="matching.placement", type="matching.placement-cancelled.v1", subject="placement_id"
):
    """A placement will not take place; its seat is open again.

    `late`: at shorter notice than the rules allow. `compensation_fen` is what the employer owes the worker for that;
    nothing while its `excuse` waits for a clerk. `reason` is why the market did it, such as `no-show`
    or `unattended` (not confirmed before the shift).
    """

    placement_id: str
    gig_id: str
    seat: int
    worker_id: str
    employer_id: str
    district: District
    by: Literal["worker", "employer", "market"]
    at: Instant
    late: bool = False
    excuse: Code | None = None
    compensation_fen: Fen = 0
    reason: Code | None = None


class AttendanceAsked(Event, topic="matching.placement", type="matching.attendance-asked.v1", subject="placement_id"):
    """A worker placed long ahead is asked whether they will come, and loses the seat at `answer_by` if they do not say.

    `reminder` counts: 1 is the first.
    """

    placement_id: str
    gig_id: str
    worker_id: str
    employer_id: str
    district: District
    starts_at: Instant
    answer_by: Instant
    reminder: int


class AttendanceConfirmed(
    Event, topic="matching.placement", type="matching.attendance-confirmed.v1", subject="placement_id"
):
    """The worker says that they will come."""

    placement_id: str
    gig_id: str
    worker_id: str
    employer_id: str
    district: District
    at: Instant


class ExcuseDecided(Event, topic="matching.placement", type="matching.excuse-decided.v1", subject="placement_id"):
    """The excuse for a late cancellation was accepted, so that it has no consequence, or was not.

    `by` is who had cancelled; `compensation_fen` is what an employer owes whose excuse was not accepted.
    """

    placement_id: str
    gig_id: str
    worker_id: str
    employer_id: str
    district: District
    by: Literal["worker", "employer"]
    excuse: Code
    accepted: bool
    compensation_fen: Fen
    at: Instant
