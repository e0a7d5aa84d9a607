"""How a doubtful post waits for a clerk, and what comes of it."""

from collections.abc import Sequence
from typing import Literal

from services.posting import lifecycle, sanctions
from services.posting.domain import broken_rules, hires_more
from services.posting.screening import Finding
from services.posting.store import RULES, Employer, Gig, Review
from shared import clock
from shared.contracts.posting import GigTerms, ReviewDecided
from shared.problems import Conflict, Forbidden, Text
from shared.unit import Unit

DECIDED = Text("It does not wait any more: it is {now}.", "已不在待审核状态，当前为 {now}。")
NOT_REFUSED = Text("Only what was refused can be appealed against.", "只有未通过的审核才能申诉。")
APPEALED = Text(
    "The appeal has been decided too; post it anew without the words that were objected to.",
    "申诉已有结论，请修改相关内容后重新发布。",
)
SAME_CLERK = Text(
    "You decided it the first time; the appeal is for somebody else to decide.",
    "该审核由您作出，申诉须由其他工作人员处理。",
)
NOT_VERIFIED = Text(
    "Its employer is not verified now, so it cannot be published.", "该用工主体目前未通过核验，不能发布。"
)
OUT_OF_DATE = Text(
    "Its times have passed while it waited, so it cannot be published; refuse it, and say so.",
    "等待期间其时间已过，不能再发布，请选择不通过并说明原因。",
)
CHANGED = Text(
    "The gig was changed after this amendment was made; refuse it, and say so.",
    "该岗位在提交修改后又有变动，请选择不通过并说明原因。",
)


def hold(
    unit: Unit,
    district: str,
    terms: GigTerms,
    findings: Sequence[Finding],
    *,
    rules: str,
    appeal: str | None,
    known: Review | None = None,
    amended: Gig | None = None,
    origin: str | None = None,
) -> Review:
    """Keep a post, or an amendment of a gig, until a clerk has looked.

    `known` is the review that an amendment of the same revision already has: the newer one takes its place.
    """
    id = review_id(amended) if amended else clock.new_id()
    review = Review(
        id=id,
        employer_id=terms.employer_id,
        district=district,
        gig_id=amended.id if amended else id,
        amends=amended.revision if amended else None,
        terms=terms,
        findings=tuple(findings),
        rules=rules,
        appeal=appeal,
        origin=origin,
        asked_at=unit.now,
    )
    if known:
        review.version = known.version
        review.round = known.round + (known.status != "waiting")
    unit.save(review)
    return review


def review_id(gig: Gig) -> str:
    """The id under which an amendment of this revision of a gig is reviewed."""
    return f"{gig.id}.{gig.revision}"


async def approve(unit: Unit, review: Review, *, by: str) -> None:
    """Publish it. Raises `Conflict` when that is not possible any more.

    `review-decided`, `employer-not-verified`, `employer-sanctioned`, `review-out-of-date`, `gig-changed`, or what an
    amendment is refused for.
    """
    _decide(unit, review, "approved", by)
    employer = await unit.get(Employer, review.employer_id)
    until = employer.checked_until(unit.now) if employer else None
    if employer is None or until is None:
        raise Conflict("employer-not-verified", NOT_VERIFIED)
    gig = await unit.get(Gig, review.gig_id)
    before = gig.terms if gig else None
    policy = await RULES.of(unit, review.district)
    if broken_rules(review.terms, policy, now=unit.now, verified_until=until, before=before):
        raise Conflict("review-out-of-date", OUT_OF_DATE)
    if gig is None or hires_more(gig.terms, review.terms):
        await sanctions.may_hire(unit, employer)
    if gig is None:
        lifecycle.post(unit, employer, review.district, review.terms, gig_id=review.gig_id, origin=review.origin)
    else:
        lifecycle.may_amend(unit, gig)
        if gig.revision != review.amends:
            raise Conflict("gig-changed", CHANGED)
        lifecycle.amend(unit, gig, review.terms)


def refuse(unit: Unit, review: Review, reason: str, *, by: str) -> None:
    """Do not publish it. The reason, in the clerk's own words, stays with us. Raises `Conflict` as `approve`."""
    _decide(unit, review, "refused", by)
    review.reason = reason


def appeal(unit: Unit, review: Review, text: str) -> None:
    """Have somebody else look at what was refused, once."""
    if review.status != "refused":
        raise Conflict("review-not-refused", NOT_REFUSED)
    if review.round > 1:
        raise Conflict("appeal-decided", APPEALED)
    review.status, review.appeal, review.round = "waiting", text, review.round + 1
    unit.save(review)


def withdraw(unit: Unit, review: Review) -> None:
    """The employer wants it no more. What was decided stays."""
    if review.status == "waiting":
        review.status, review.decided_at = "withdrawn", unit.now
        unit.save(review)


def _decide(unit: Unit, review: Review, outcome: Literal["approved", "refused"], by: str) -> None:
    if review.status != "waiting":
        raise Conflict("review-decided", DECIDED, now=review.status)
    if review.round > 1 and review.decided_by == by:
        raise Forbidden(SAME_CLERK, code="same-clerk")
    review.status, review.decided_by, review.decided_at, review.reason = outcome, by, unit.now, None
    unit.save(review)
    unit.publish(
        ReviewDecided(
            review_id=review.id,
            gig_id=review.gig_id,
            employer_id=review.employer_id,
            district=review.district,
            kinds=review.kinds,
            outcome=outcome,
            round=review.round,
        )
    )
