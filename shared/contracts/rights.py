"""What rights says: the agreement and cover of a placement, the shift, its pay, cases, and sanctions."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from shared.contracts import Event
from shared.contracts.terms import Code, District, Fen, Instant

Receipt = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$")]
"""A case's number for people: the local day it was opened, and eight characters of Crockford's base 32."""


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


class TimesheetUnanswered(
    Event, topic="rights.shift", type="rights.timesheet-unanswered.v1", subject="placement_id", key="worker_id"
):
    """The employer has not answered for the minutes yet: at `answer_by` they stand as recorded. Said once."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    minutes: int
    answer_by: Instant
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


class TimesheetEscalated(
    Event, topic="rights.shift", type="rights.timesheet-escalated.v1", subject="placement_id", key="worker_id"
):
    """A dispute about minutes has waited too long and is before the clerks as urgent; at `settle_by` it lapses."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    minutes: int
    claimed_minutes: int
    settle_by: Instant
    at: Instant


class TimesheetLapsed(
    Event, topic="rights.shift", type="rights.timesheet-lapsed.v1", subject="placement_id", key="worker_id"
):
    """Nobody settled a dispute in its time: the `minutes` stand as they were recorded."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: District
    minutes: int
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


class PayContested(Event, topic="rights.pay", type="rights.pay-contested.v1", subject="placement_id", key="worker_id"):
    """The employer had marked the pay as paid, and the worker says that it has not arrived."""

    placement_id: str
    worker_id: str
    employer_id: str
    district: District
    amount_fen: Fen
    at: Instant


class CaseOpened(Event, topic="rights.case", type="rights.case-opened.v1", subject="case_id", key="worker_id"):
    """A worker's case is with the rights desk: opened by them, by a clerk for them, or by the market (`arrears`).

    `placement_id` and `employer_id` of what it is about, where there is one. What happened stays in rights.
    """

    case_id: str
    receipt: Receipt
    worker_id: str
    employer_id: str | None = None
    placement_id: str | None = None
    district: District
    kind: Code
    by: Literal["worker", "clerk", "market"]
    at: Instant


class CaseAdvanced(Event, topic="rights.case", type="rights.case-advanced.v1", subject="case_id", key="worker_id"):
    """A case has come to `state`: accepted, declined, mediation, settled, referred (`referred_to`), or taken-up there.

    `step` counts what happened in it. `employer_concerned`: its employer is a party who knows of it, since it is about
    arrears or was brought to mediation.
    """

    case_id: str
    receipt: Receipt
    worker_id: str
    employer_id: str | None = None
    placement_id: str | None = None
    district: District
    kind: Code
    state: Code
    referred_to: Code | None = None
    step: int
    employer_concerned: bool
    at: Instant


class CaseInvited(Event, topic="rights.case", type="rights.case-invited.v1", subject="case_id", key="worker_id"):
    """Both sides of a case are asked to a mediation or a hearing (`to`) at `starts_at`. Said again for another time.

    Where it is, the sides read at rights.
    """

    case_id: str
    receipt: Receipt
    worker_id: str
    employer_id: str | None = None
    placement_id: str | None = None
    district: District
    kind: Code
    to: Literal["mediation", "hearing"]
    starts_at: Instant
    step: int
    employer_concerned: bool
    at: Instant


class CaseClosed(Event, topic="rights.case", type="rights.case-closed.v1", subject="case_id", key="worker_id"):
    """A case is over; `outcome` says how. `employer_concerned` as when a case advances."""

    case_id: str
    receipt: Receipt
    worker_id: str
    employer_id: str | None = None
    placement_id: str | None = None
    district: District
    kind: Code
    outcome: Code
    employer_concerned: bool = False
    at: Instant


class CaseEscalated(Event, topic="rights.case", type="rights.case-escalated.v1", subject="case_id", key="worker_id"):
    """A time limit of the law (`limit`, by its name in cases.yaml) has passed, and what it is for was not done."""

    case_id: str
    receipt: Receipt
    worker_id: str
    employer_id: str | None = None
    placement_id: str | None = None
    district: District
    kind: Code
    limit: Code
    due_at: Instant
    employer_concerned: bool = False
    at: Instant


class SanctionSet(Event, topic="rights.sanction", type="rights.sanction-set.v1", subject="sanction_id", key="party_id"):
    """An employer or worker may not go on as before, from `since` until `until` (or until it is lifted).

    `block`: nothing new may be begun, such as posts; `suspend`: what is open ends too. A worker's check-in asks for
    something new, so either ends it; placements stay. `reason` is a code.
    """

    sanction_id: str
    party: Literal["employer", "worker"]
    party_id: str
    district: District
    kind: Literal["block", "suspend"]
    reason: Code
    since: Instant
    until: Instant | None = None
    case_id: str | None = None


class SanctionLifted(
    Event, topic="rights.sanction", type="rights.sanction-lifted.v1", subject="sanction_id", key="party_id"
):
    """A sanction is over: `reason` is `paid`, `expired`, `appeal`, `case-closed`, `corrected` or `clerk`.

    `corrected`: points that had led to it were given back.
    """

    sanction_id: str
    party: Literal["employer", "worker"]
    party_id: str
    district: District
    reason: Code
    at: Instant


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


class ReliabilityChanged(
    Event, topic="rights.reliability", type="rights.reliability-changed.v1", subject="entry_id", key="party_id"
):
    """A worker's or employer's points of reliability have changed by an entry of their ledger.

    `rule` gave (above 0) or took `points`, for what happened with `about_id` (a placement; for `no-confirmation` a
    gig), by the district's rules of the name `rules`. `score` is what they have now. `takes_back_id` names the entry
    that this one undoes, and `because` is why: `excuse`, `appeal` or `unfounded`. Entries are never changed.
    """

    entry_id: str
    party: Literal["employer", "worker"]
    party_id: str
    district: District
    rule: Code
    rules: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.+-]{1,200}$")]
    about_id: str
    points: int
    score: int
    takes_back_id: str | None = None
    because: Code | None = None
    at: Instant


class ArticlePublished(
    Event, topic="rights.article", type="rights.article-published.v1", subject="article_id", key="article_id"
):
    """An article of the knowledge base is new, or says something else than before (`number` counts its versions).

    `cases` are the kinds of case that it is about. Its text is public, at rights.
    """

    article_id: str
    number: int
    title_zh: str
    title_en: str
    cases: tuple[Code, ...]
    at: Instant
