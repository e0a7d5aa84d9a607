"""What posting says: employers become known, gigs open, change, fill and close."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from shared.contracts import Event
from shared.contracts.terms import Code, Crew, District, Hazard, Hiring, Instant, Occupation, Pay, Period, Place, Term


class GigTerms(Term):
    """Everything that others need to know of an open gig."""

    employer_id: str
    employer_name: str
    title: str
    occupation: Occupation
    content: str
    place: Place
    period: Period
    headcount: int
    pay: Pay
    skills: tuple[Code, ...] = ()
    certificates: tuple[Code, ...] = ()
    meals: bool = False
    lodging: bool = False
    night_work: bool = False
    hiring: Hiring = "instant"
    hazards: tuple[Hazard, ...] = ()
    crew: Crew | None = None
    valid_until: Instant


class GigPosted(Event, topic="posting.gig", type="posting.gig-posted.v1", subject="gig_id"):
    """A gig is open: it may be searched for and offered from now until `valid_until`.

    `origin`: `<feed>/<origin id>`, when it came by an employer's file or an agency's feed.
    """

    gig_id: str
    district: District
    terms: GigTerms
    origin: str | None = None


class GigAmended(Event, topic="posting.gig", type="posting.gig-amended.v1", subject="gig_id"):
    """An open gig has new terms; the whole of them is given."""

    gig_id: str
    district: District
    terms: GigTerms
    origin: str | None = None


class GigFilled(Event, topic="posting.gig", type="posting.gig-filled.v1", subject="gig_id"):
    """Every seat of the gig has a placement; it left search. Who posted it is not in events of before."""

    gig_id: str
    district: District
    placed: int
    employer_id: str | None = None


class GigReopened(Event, topic="posting.gig", type="posting.gig-reopened.v1", subject="gig_id"):
    """A placement of a filled gig was cancelled, so that seats are open again."""

    gig_id: str
    district: District
    placed: int


class GigClosed(Event, topic="posting.gig", type="posting.gig-closed.v1", subject="gig_id"):
    """No further offer may be made from the gig. Placements that exist stay."""

    gig_id: str
    district: District
    reason: Literal["employer", "expired", "suspended"]


class ReviewDecided(
    Event, topic="posting.review", type="posting.review-decided.v1", subject="review_id", key="employer_id"
):
    """A clerk decided on a doubtful post or amendment. One that was approved is said by the gig's own events.

    `kinds` are the rules it was doubted under; `round` counts the decisions, since one may be appealed against.
    """

    review_id: str
    gig_id: str
    employer_id: str
    district: District
    kinds: tuple[Code, ...]
    outcome: Literal["approved", "refused"]
    round: int


FeedOutcome = Literal["posted", "review", "amended", "unchanged", "closed", "refused"]


class FeedFault(Term):
    """What is wrong with one field of a post, or with `post` as a whole, in words that repeat nothing of it."""

    field: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
    zh: str
    en: str


class FeedAnswered(Event, topic="posting.feed", type="posting.feed-answered.v1", subject="offered_id", key="agency_id"):
    """What became of a post that an agency sent (`agencies.gig-offered`), one answer to each.

    `posted`, `amended` and `closed` are said by the gig's own events too; `review`: a clerk looks first. `refused` has
    the `code` of the problem and its fields; sending the same again does not help. `offered_id` is
    `<agency_id>/<origin_id>`, the gig's `origin`.
    """

    offered_id: str
    agency_id: str
    origin_id: str
    outcome: FeedOutcome
    gig_id: str | None = None
    review_id: str | None = None
    code: Code | None = None
    faults: tuple[FeedFault, ...] = ()


class EmployerVerified(
    Event, topic="posting.employer", type="posting.employer-verified.v1", subject="employer_id", key="employer_id"
):
    """A clerk checked the employer's licence; it may post until `verified_until` (at most six months)."""

    employer_id: str
    district: District
    verified_until: Instant


class EmployerVerificationEnding(
    Event,
    topic="posting.employer",
    type="posting.employer-verification-ending.v1",
    subject="employer_id",
    key="employer_id",
):
    """The employer's verification ends at `verified_until`, in so many days, unless it is checked again before."""

    employer_id: str
    district: District
    verified_until: Instant
    days_left: int


class EmployerSuspended(
    Event, topic="posting.employer", type="posting.employer-suspended.v1", subject="employer_id", key="employer_id"
):
    """The employer may not post; its open gigs are closed."""

    employer_id: str
    district: District
    reason: str
