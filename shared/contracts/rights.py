"""What rights says: the agreement and cover of a placement, the shift, and its pay."""

from typing import Literal

from shared.contracts import Event
from shared.contracts.terms import Code, District, Fen, Instant


class AgreementMade(
    Event, topic="rights.agreement", type="rights.agreement-made.v1", subject="placement_id", key="worker_id"
):
    """The terms of a placement are fixed under a hash, and it is entered for injury insurance.

    `cover` is `active` when the market's own entry is the cover; `pending` when an insurer has to confirm it, which
    `CoverConfirmed` or `CoverRefused` says. `policy_id` is the market's own name for the entry.
    """

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    sha256: str
    policy_id: str
    starts_at: Instant
    cover: Literal["active", "pending"] = "active"


class CoverConfirmed(
    Event, topic="rights.agreement", type="rights.cover-confirmed.v1", subject="placement_id", key="worker_id"
):
    """The insurer has the placement in its books under `policy_id`: from now on the shift may be started."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    policy_id: str
    at: Instant


class CoverRefused(
    Event, topic="rights.agreement", type="rights.cover-refused.v1", subject="placement_id", key="worker_id"
):
    """The insurer will not cover the placement, for the reason `reason` (its code, or `too-late`): no start."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    reason: Code
    at: Instant


class ShiftStarted(
    Event, topic="rights.shift", type="rights.shift-started.v1", subject="placement_id", key="worker_id"
):
    """The worker began, at the time their device and the work site agree on, or as the employer says (`by`)."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    at: Instant
    by: Literal["worker", "employer"] = "worker"


class ShiftMissed(Event, topic="rights.shift", type="rights.shift-missed.v1", subject="placement_id", key="worker_id"):
    """Nobody had started the shift by `at`, and now nobody can: the seat is free for somebody else."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    at: Instant


class ShiftEnded(Event, topic="rights.shift", type="rights.shift-ended.v1", subject="placement_id", key="worker_id"):
    """The worker ended; `minutes` is the time worked."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    at: Instant
    minutes: int


class PayDue(Event, topic="rights.pay", type="rights.pay-due.v1", subject="placement_id", key="worker_id"):
    """The employer owes the worker this amount by `due_at`. No money passes through the market.

    `reason` is `work`, or `cancellation`: compensation for a shift that was cancelled too late.
    """

    placement_id: str
    worker_id: str
    employer_id: str
    district: District
    amount_fen: Fen
    due_at: Instant
    reason: Code = "work"


class PayConfirmed(Event, topic="rights.pay", type="rights.pay-confirmed.v1", subject="placement_id", key="worker_id"):
    """The worker confirmed that the pay arrived."""

    placement_id: str
    worker_id: str
    employer_id: str
    district: District
    amount_fen: Fen
    at: Instant


class PayOverdue(Event, topic="rights.pay", type="rights.pay-overdue.v1", subject="placement_id", key="worker_id"):
    """The pay was not confirmed by its due time."""

    placement_id: str
    worker_id: str
    employer_id: str
    district: District
    amount_fen: Fen
    due_at: Instant


class RatingPublished(
    Event, topic="rights.rating", type="rights.rating-published.v1", subject="placement_id", key="worker_id"
):
    """Both sides of a placement see how the other rated them: both have, or the time to do so is over.

    Points are 1 to 5, and None of a side that was not rated. What people wrote is in no event.
    """

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    worker_points: int | None
    worker_codes: tuple[Code, ...]
    employer_points: int | None
    employer_codes: tuple[Code, ...]
    at: Instant
