"""posting over HTTP: employers register and are verified; gigs are posted, amended, closed and searched."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict

from services.posting import intake, lifecycle, reviews, store
from services.posting.domain import CloseReason, EmployerStatus, GigStatus, ReviewStatus
from services.posting.forms import GIG_CHANGES, Appeal, CreditCode, GigChanges, GigForm, text_of
from services.posting.screening import Finding
from services.posting.store import Employer, Gig, Review
from shared import auth
from shared.contracts.posting import GigTerms
from shared.contracts.terms import District, Instant
from shared.districts import GivenDistrict
from shared.http import InSealer, InUnit, Routes
from shared.problems import Conflict, Forbidden, Invalid, Missing, Text
from shared.rulebook import add_routes
from shared.sealed import PersonalSealer
from shared.unit import Unit

routes = Routes("posting")

EMPLOYER = Text("employer", "用工主体")
CODE_TAKEN = Text(
    "Another account has registered this credit code. Ask a clerk if it is yours.",
    "该统一社会信用代码已由其他账号登记，如属于您请联系工作人员。",
)
OTHER_DISTRICT = Text("This is not a business of your districts.", "该企业不在您负责的区县。")
OTHER_EMPLOYER = Text("This is another employer's gig.", "该岗位属于其他用工主体。")
REASON_NEEDED = Text("is required when the employer is refused", "不通过时必须填写原因")
REVIEW_REASON_NEEDED = Text("is required when it is not published", "不予发布时必须填写原因")
CHANGED = Text(
    "It was changed meanwhile and is at revision {revision}. Read it again.",
    "内容已被修改，当前修订号为 {revision}，请重新查看。",
)


# --- employers -----------------------------------------------------------------------------------------------------


class EmployerForm(BaseModel):
    """A business as it registers. A clerk compares all but the contact with the licence."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, text_of(2, 100)]
    credit_code: CreditCode
    licence_no: Annotated[str, text_of(4, 40)]
    district: GivenDistrict
    contact_name: Annotated[str, text_of(2, 40)]


class EmployerView(BaseModel):
    """An employer, for itself and its clerks. `reason`: why it was refused; `revision` counts its checked details."""

    employer_id: str
    status: EmployerStatus
    reason: str | None
    verified_until: Instant | None
    name: str
    credit_code: str
    licence_no: str
    district: District
    contact_name: str
    revision: int

    @classmethod
    async def of(cls, employer: Employer, sealer: PersonalSealer, now: datetime) -> Self:
        lapsed = employer.status == "verified" and employer.checked_until(now) is None
        return cls(
            employer_id=employer.id,
            status="lapsed" if lapsed else employer.status,
            contact_name=await sealer.open(employer.contact, of=employer.id, field="contact_name"),
            **employer.model_dump(include={"reason", "verified_until", *EmployerForm.model_fields, "revision"}),
        )


class EmployerPage(BaseModel):
    items: list[EmployerView]
    next: str | None


class Verification(BaseModel):
    """A clerk's decision. With `revision` it holds only for the details that the clerk saw."""

    model_config = ConfigDict(extra="forbid")

    approved: bool
    reason: Annotated[str, text_of(2, 500)] | None = None
    revision: int | None = None


Limit = Annotated[int, Query(ge=1, le=100)]


@routes.put("/employers/me")
async def register(form: EmployerForm, caller: auth.Employer, unit: InUnit, sealer: InSealer) -> EmployerView:
    """Register, or change what is registered. 409 `credit-code-taken` when another account has the code.

    New details, and a check that failed or ended, wait for a clerk (status `pending`).
    """
    holder = await store.employer_with_code(unit, form.credit_code)
    if holder is not None and holder.id != caller.id:
        raise Conflict("credit-code-taken", CODE_TAKEN)
    details = form.model_dump(exclude={"contact_name"})
    contact = await sealer.seal(form.contact_name, of=caller.id, field="contact_name")
    employer = await unit.get(Employer, caller.id) or Employer(id=caller.id, contact=contact, **details)
    employer.contact = contact
    lifecycle.submit(unit, employer, details)
    return await EmployerView.of(employer, sealer, unit.now)


@routes.get("/employers/me")
async def my_registration(caller: auth.Employer, unit: InUnit, sealer: InSealer) -> EmployerView:
    employer = await unit.get(Employer, caller.id)
    if employer is None:
        raise Missing(EMPLOYER)
    return await EmployerView.of(employer, sealer, unit.now)


@routes.get("/employers")
async def employers_to_check(
    *,
    caller: auth.Clerk,
    unit: InUnit,
    sealer: InSealer,
    status: EmployerStatus = "pending",
    limit: Limit = 20,
    after: str | None = None,
) -> EmployerPage:
    """Employers of a status in the clerk's districts, by id."""
    districts = None if caller.role == "operator" else caller.districts
    found = await store.employers(unit, status, districts, after=after, limit=limit + 1)
    await sealer.load(employer.id for employer in found)
    items = [await EmployerView.of(employer, sealer, unit.now) for employer in found[:limit]]
    return EmployerPage(items=items, next=items[-1].employer_id if len(found) > limit else None)


@routes.post("/employers/{employer_id}/verification")
async def decide(
    *, employer_id: str, decision: Verification, caller: auth.Clerk, unit: InUnit, sealer: InSealer
) -> EmployerView:
    """Approve an employer for the months the policy gives, or refuse it with a reason, which also closes its gigs.

    403 outside the clerk's districts; 409 `employer-changed` when `revision` is not the current one.
    """
    employer = await unit.get(Employer, employer_id)
    if employer is None:
        raise Missing(EMPLOYER)
    if not caller.covers(employer.district):
        raise Forbidden(OTHER_DISTRICT)
    if decision.revision not in (None, employer.revision):
        raise Conflict("employer-changed", CHANGED, revision=employer.revision)
    if decision.approved:
        lifecycle.verify(unit, employer, await store.RULES.of(unit, employer.district))
    elif decision.reason:
        await lifecycle.suspend(unit, employer, "rejected", decision.reason)
    else:
        raise Invalid("reason", REASON_NEEDED)
    return await EmployerView.of(employer, sealer, unit.now)


# --- gigs ----------------------------------------------------------------------------------------------------------


class GigView(GigTerms):
    """A gig as everyone sees it: pay in fen, times in UTC, `distance_m` in metres when searched around a point.

    `origin`: the feed that it came by and what that feed calls it.
    """

    gig_id: str
    district: District
    status: GigStatus
    closed_reason: CloseReason | None
    placed: int
    revision: int
    posted_at: Instant
    origin: str | None
    distance_m: int | None = None

    @classmethod
    def of(cls, gig: Gig, now: datetime, distance_m: float | None = None) -> Self:
        expired = gig.status != "closed" and gig.expired(now)
        return cls(
            gig_id=gig.id,
            status="closed" if expired else gig.status,
            closed_reason="expired" if expired else gig.closed_reason,
            distance_m=None if distance_m is None else round(distance_m),
            **gig.terms.model_dump(),
            **gig.model_dump(include={"district", "placed", "revision", "posted_at", "origin"}),
        )


class GigPage(BaseModel):
    items: list[GigView]
    next: str | None


class ReviewView(BaseModel):
    """A post or an amendment (`amends` is the gig's revision) that a clerk looks at before anybody else sees it.

    What is approved is the gig `gig_id`. `rules` is the version of the rules that `findings` are by; `reason` is the
    clerk's, when it was refused; `round` 2 is an appeal.
    """

    review_id: str
    gig_id: str
    amends: int | None
    employer_id: str
    district: District
    status: ReviewStatus
    findings: list[Finding]
    rules: str
    appeal: str | None
    reason: str | None
    round: int
    terms: GigTerms
    asked_at: Instant
    decided_at: Instant | None

    @classmethod
    def of(cls, review: Review) -> Self:
        return cls(review_id=review.id, **review.model_dump(include=set(cls.model_fields) - {"review_id"}))


class ReviewPage(BaseModel):
    items: list[ReviewView]
    next: str | None


_OR_REVIEW: dict[int | str, dict[str, Any]] = {
    202: {"model": ReviewView, "description": "Doubtful: a clerk looks at it first"}
}


@routes.post("/gigs", status_code=201, responses=_OR_REVIEW)
async def post_gig(form: GigForm, caller: auth.Employer, unit: InUnit, response: Response) -> GigView | ReviewView:
    """Open a gig. 202 with a review when words of it may break a rule: it is published when a clerk approves.

    403 `employer-not-verified`; 409 `employer-sanctioned` names the sanction, its end and where to appeal; 422 names
    every field that is missing, against the policy, or has words that break a rule of what a post may say.
    """
    return _seen(await intake.submit(unit, await unit.get(Employer, caller.id), form), unit.now, response)


@routes.patch("/gigs/{gig_id}", responses=_OR_REVIEW)
async def amend_gig(
    gig_id: str, changes: GigChanges, caller: auth.Employer, unit: InUnit, response: Response
) -> GigView | ReviewView:
    """Change an open gig before its shift begins; the district stays. 202 as for a post: the gig stays as it is.

    409 `gig-closed`, `gig-full`, `gig-started`, `gig-changed` (`revision` is not the current one),
    `headcount-below-placed`, or `employer-sanctioned` for what would hire more; 403 and 422 as for a post. A sanctioned
    employer may close a gig, hire fewer and for less long, and put its words right.
    """
    gig = await _own_gig(unit, gig_id, caller)
    employer, _ = intake.verified(await unit.get(Employer, caller.id), unit.now)
    if changes.pop("revision", gig.revision) != gig.revision:
        raise Conflict("gig-changed", CHANGED, revision=gig.revision)
    appeal = changes.pop("appeal", None)
    return _seen(await intake.revise(unit, gig, employer, GIG_CHANGES.dump_python(changes), appeal), unit.now, response)


def _seen(made: Gig | Review, now: datetime, response: Response) -> GigView | ReviewView:
    if isinstance(made, Gig):
        return GigView.of(made, now)
    response.status_code = 202
    return ReviewView.of(made)


@routes.post("/gigs/{gig_id}/close")
async def close_gig(gig_id: str, caller: auth.Employer, unit: InUnit) -> GigView:
    """End a gig: no further offer is made from it, its placements stay. A closed gig stays as it is."""
    gig = await _own_gig(unit, gig_id, caller)
    lifecycle.close(unit, gig, "employer")
    return GigView.of(gig, unit.now)


@routes.get("/gigs/{gig_id}")
async def read_gig(gig_id: str, unit: InUnit) -> GigView:
    """A gig in any state; public."""
    return GigView.of(await _gig(unit, gig_id), unit.now)


@routes.get("/employers/me/gigs")
async def my_gigs(caller: auth.Employer, unit: InUnit, limit: Limit = 20, after: str | None = None) -> GigPage:
    """The caller's gigs in every state, newest first."""
    return _page(await store.gigs_of(unit, caller.id, after=after, limit=limit + 1), limit, unit.now)


async def _gig(unit: Unit, gig_id: str) -> Gig:
    gig = await unit.get(Gig, gig_id)
    if gig is None:
        raise Missing(lifecycle.GIG)
    return gig


async def _own_gig(unit: Unit, gig_id: str, caller: auth.Caller) -> Gig:
    gig = await _gig(unit, gig_id)
    if gig.terms.employer_id != caller.id:
        raise Forbidden(OTHER_EMPLOYER)
    return gig


def _page(gigs: Sequence[Gig], limit: int, now: datetime) -> GigPage:
    """A page of the gigs that were asked for with one more than its limit."""
    items = [GigView.of(gig, now) for gig in gigs[:limit]]
    return GigPage(items=items, next=items[-1].gig_id if len(gigs) > limit else None)


# --- reviews -------------------------------------------------------------------------------------------------------

REVIEW = Text("review", "审核")


class ReviewDecision(BaseModel):
    """A clerk's decision; a reason for the employer when it is refused. With `round` it holds only for that round."""

    model_config = ConfigDict(extra="forbid")

    approved: bool
    reason: Annotated[str, text_of(2, 500)] | None = None
    round: int | None = None


class AppealForm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Appeal


@routes.get("/reviews")
async def reviews_to_decide(
    *,
    caller: auth.Clerk,
    unit: InUnit,
    status: ReviewStatus = "waiting",
    limit: Limit = 20,
    after: str | None = None,
) -> ReviewPage:
    """Posts and amendments of a status in the clerk's districts, by id."""
    districts = None if caller.role == "operator" else caller.districts
    return _reviews(await store.reviews(unit, status, districts, unit.now, after=after, limit=limit + 1), limit)


@routes.get("/employers/me/reviews")
async def my_reviews(caller: auth.Employer, unit: InUnit, limit: Limit = 20, after: str | None = None) -> ReviewPage:
    """The caller's posts and amendments that a clerk looks or has looked at, newest first."""
    return _reviews(await store.reviews_of(unit, caller.id, after=after, limit=limit + 1), limit)


@routes.post("/reviews/{review_id}/decision")
async def decide_review(review_id: str, decision: ReviewDecision, caller: auth.Clerk, unit: InUnit) -> ReviewView:
    """Publish it, or refuse it with a reason.

    403 outside the clerk's districts, or `same-clerk` for an appeal against one's own decision; 409 `review-decided`,
    `review-changed` (`round` is not the current one), and when it cannot be published any more `review-out-of-date`,
    `employer-not-verified`, `employer-sanctioned`, `gig-changed`, or as an amendment is refused.
    """
    review = await _review(unit, review_id)
    if not caller.covers(review.district):
        raise Forbidden(OTHER_DISTRICT)
    if decision.round not in (None, review.round):
        raise Conflict("review-changed", CHANGED, revision=review.round)
    if decision.approved:
        await reviews.approve(unit, review, by=caller.id)
    elif decision.reason:
        reviews.refuse(unit, review, decision.reason, by=caller.id)
    else:
        raise Invalid("reason", REVIEW_REASON_NEEDED)
    return ReviewView.of(review)


@routes.post("/reviews/{review_id}/appeal")
async def appeal(review_id: str, form: AppealForm, caller: auth.Employer, unit: InUnit) -> ReviewView:
    """Have another clerk look at what was refused. 409 `review-not-refused`, or `appeal-decided` the second time."""
    review = await _own_review(unit, review_id, caller)
    reviews.appeal(unit, review, form.text)
    return ReviewView.of(review)


@routes.post("/reviews/{review_id}/withdraw")
async def withdraw(review_id: str, caller: auth.Employer, unit: InUnit) -> ReviewView:
    """Take back what waits. What is decided stays as it is."""
    review = await _own_review(unit, review_id, caller)
    reviews.withdraw(unit, review)
    return ReviewView.of(review)


async def _review(unit: Unit, review_id: str) -> Review:
    review = await unit.get(Review, review_id)
    if review is None:
        raise Missing(REVIEW)
    return review


async def _own_review(unit: Unit, review_id: str, caller: auth.Caller) -> Review:
    review = await _review(unit, review_id)
    if review.employer_id != caller.id:
        raise Missing(REVIEW)
    return review


def _reviews(found: Sequence[Review], limit: int) -> ReviewPage:
    items = [ReviewView.of(review) for review in found[:limit]]
    return ReviewPage(items=items, next=items[-1].review_id if len(found) > limit else None)


# --- rules ---------------------------------------------------------------------------------------------------------

add_routes(routes, store.RULES)
