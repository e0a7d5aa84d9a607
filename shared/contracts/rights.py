"""What rights says: the agreement and cover of a placement, the shift, and its pay."""

from typing import Literal

from shared.contracts import Event
from shared.contracts.terms import Code, District, Fen, Instant


class AgreementMade(
    Event, topic="rights.agreement", type="rights.agreement-made.v1", subject="placement_id", key="worker_id"
):
    """The terms of a placement are fixed under a hash, and injury insurance covers it."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    sha256: str
    policy_id: str
    starts_at: Instant


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


class TimesheetApproved(
    Event, topic="rights.shift", type="rights.timesheet-approved.v1", subject="placement_id", key="worker_id"
):
    """The minutes stand as recorded: the employer said so, or (`deadline`) did not answer in time."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    minutes: int
    by: Literal["employer", "deadline"]
    at: Instant


class TimesheetDisputed(
    Event, topic="rights.shift", type="rights.timesheet-disputed.v1", subject="placement_id", key="worker_id"
):
    """The employer says that it was `claimed_minutes` and not `minutes`. Pay stays as it is until that is settled."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    minutes: int
    claimed_minutes: int
    reason: Code
    at: Instant


class TimesheetSettled(
    Event, topic="rights.shift", type="rights.timesheet-settled.v1", subject="placement_id", key="worker_id"
):
    """A disputed timesheet has its `minutes`: the worker agreed to the employer's, or a clerk decided."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    minutes: int
    by: Literal["worker", "clerk"]
    at: Instant


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


class PayCorrected(Event, topic="rights.pay", type="rights.pay-corrected.v1", subject="placement_id", key="worker_id"):
    """A settled timesheet has other minutes than were recorded: this is owed in place of the amount before.

    It is due when that was; 0 where nothing is owed any more. What was confirmed is not corrected.
    """

    placement_id: str
    worker_id: str
    employer_id: str
    district: District
    amount_fen: Fen
    due_at: Instant


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
