"""How a post comes in: by itself, in an employer's file, or by an agency's feed, under the same rules.

What comes by a file or a feed has an origin id, which makes it one post however often and by whichever way it comes.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from services.posting import lifecycle, reviews, sanctions, store
from services.posting.domain import broken_rules, hires_more
from services.posting.forms import GigForm, OfferForm, Withdrawal
from services.posting.screening import screening
from services.posting.store import Agency, Employer, Gig, Offered, Review, offered_id
from shared.contracts.posting import FeedOutcome, GigTerms
from shared.http import INVALID
from shared.problems import Fault, Forbidden, Invalid, Problem, Text
from shared.unit import Unit
from shared.wording import faults_of

M = TypeVar("M", bound=BaseModel)

NOT_VERIFIED = Text(
    "The business is not verified now, so it cannot post. Register it and have a clerk check the licence.",
    "该企业目前未通过核验，不能发布岗位。请先登记并由工作人员核验营业执照。",
)
NOT_REGISTERED = Text(
    "This agency is not registered here for posting. Ask the market's operator.",
    "该机构未在本平台登记发布资格，请联系市场运营方。",
)
NOT_LET = Text(
    "must be of an employer that lets this agency post; ask it to name the agency at /employers/me/agencies",
    "应为已授权该机构发布的用工主体；请由其在 /employers/me/agencies 中授权",
)
CODE_NEEDED = Text("is required of an agency", "机构发布时为必填项")
OTHER_CODE = Text("must be your own, or left out", "应为本企业的代码，或不填")
OTHER_AREA = Text("must be one of this agency's districts: {districts}", "应为该机构的服务区域：{districts}")
STAYS = Text(
    "cannot change under one origin id: withdraw the gig, and send it under another",
    "同一来源编号下不能变更：请撤回该岗位，以新的来源编号发布",
)


# --- one post -------------------------------------------------------------------------------------------------------


def verified(employer: Employer | None, now: datetime) -> tuple[Employer, datetime]:
    """An employer that may post, and until when. Raises `Forbidden` employer-not-verified when it may not."""
    until = employer.checked_until(now) if employer else None
    if employer is None or until is None:
        raise Forbidden(NOT_VERIFIED, code="employer-not-verified")
    return employer, until


async def submit(unit: Unit, employer: Employer | None, form: GigForm, *, origin: str | None = None) -> Gig | Review:
    """Open a gig, or hold it for a clerk. Raises `Problem`, with nothing done, when it may not stand."""
    employer, until = verified(employer, unit.now)
    await sanctions.may_hire(unit, employer)
    fields = form.model_dump(include=set(GigForm.model_fields) - {"district", "appeal"})
    terms = GigTerms(employer_id=employer.id, employer_name=employer.name, **fields)
    rules, floor = screening(), await store.floor_of(unit, form.district, terms)
    policy = await store.RULES.of(unit, form.district)
    findings = rules.findings(terms, floor)
    _refuse(
        *broken_rules(terms, policy, now=unit.now, verified_until=until),
        *rules.faults(findings, form.appeal, terms, floor),
    )
    if findings:
        return reviews.hold(
            unit, form.district, terms, findings, rules=rules.version, appeal=form.appeal, origin=origin
        )
    return lifecycle.post(unit, employer, form.district, terms, origin=origin)


async def revise(
    unit: Unit, gig: Gig, employer: Employer | None, changes: Mapping[str, Any], appeal: str | None
) -> Gig | Review:
    """Change terms of an open gig, or hold the change for a clerk. Raises `Problem`, with nothing done, if neither."""
    employer, until = verified(employer, unit.now)
    lifecycle.may_amend(unit, gig)
    terms = GigTerms.model_validate(gig.terms.model_dump() | {"employer_name": employer.name} | dict(changes))
    if hires_more(gig.terms, terms):
        await sanctions.may_hire(unit, employer)
    rules, floor = screening(), await store.floor_of(unit, gig.district, terms)
    policy = await store.RULES.of(unit, gig.district)
    floor_before = await store.floor_of(unit, gig.district, gig.terms)
    findings = rules.new_findings(terms, floor, gig.terms, floor_before)
    _refuse(
        *broken_rules(terms, policy, now=unit.now, verified_until=until, before=gig.terms),
        *rules.faults(findings, appeal, terms, floor),
    )
    if findings:
        known = await unit.get(Review, reviews.review_id(gig))
        return reviews.hold(
            unit, gig.district, terms, findings, rules=rules.version, appeal=appeal, known=known, amended=gig
        )
    if terms != gig.terms:
        lifecycle.amend(unit, gig, terms)
    return gig


def _refuse(*faults: Fault) -> None:
    if faults:
        raise Problem(422, "invalid-fields", INVALID, faults=faults)


# --- a post of a file or a feed -------------------------------------------------------------------------------------


class Taken(NamedTuple):
    """What became of a post, and the gig and review that it is or may become."""

    outcome: FeedOutcome
    gig_id: str | None = None
    review_id: str | None = None


async def take(
    unit: Unit, feed: str, agency: Agency | None, sent: Mapping[str, Any], faults: tuple[Fault, ...] = ()
) -> Taken:
    """Post what a feed sent, or amend or close what it sent before under the same origin id.

    `feed` is the account of `agency`, or of an employer that posts for itself; `faults`: what could not be read of what
    it sent. Raises `Problem`, with nothing done, when it may not stand: as a single post, or `not-let` when the
    employer did not let the agency post.
    """
    if faults:
        _refuse(*faults, *_others(sent, faults))
    withdrawal = _read(Withdrawal, sent)
    origin = offered_id(feed, withdrawal.origin_id)
    known = await unit.get(Offered, origin)
    if withdrawal.withdrawn:
        return await _withdraw(unit, known)
    form = _read(OfferForm, sent)
    employer = await _employer(unit, feed, agency, form)
    digest = hashlib.sha256(form.model_dump_json().encode()).hexdigest()
    if known is None:
        made = await submit(unit, employer, form, origin=origin)
        return _remember(unit, Offered(id=origin, gig_id="", review_id=None, digest=None), made, digest, "posted")
    if known.digest == digest:
        return Taken("unchanged", known.gig_id, known.review_id)
    gig = await unit.get(Gig, known.gig_id)
    if gig is None:  # it never was published: what is sent now takes its place before the clerk
        made = await submit(unit, employer, form, origin=origin)
        await _take_back(unit, known)
        return _remember(unit, known, made, digest, "posted")
    if gig.terms.employer_id != employer.id:
        raise Invalid("credit_code", STAYS)
    if gig.district != form.district:
        raise Invalid("district", STAYS)
    before = gig.revision
    made = await revise(
        unit, gig, employer, form.model_dump(include=set(GigForm.model_fields) - {"district", "appeal"}), form.appeal
    )
    return _remember(unit, known, made, digest, "unchanged" if gig.revision == before else "amended")


def _remember(unit: Unit, offered: Offered, made: Gig | Review, digest: str, outcome: FeedOutcome) -> Taken:
    if isinstance(made, Gig):
        offered.gig_id, offered.review_id = made.id, None
    else:
        offered.gig_id, offered.review_id, outcome = made.gig_id, made.id, "review"
    offered.digest = digest
    unit.save(offered)
    return Taken(outcome, offered.gig_id, offered.review_id)


async def _withdraw(unit: Unit, known: Offered | None) -> Taken:
    if known is None or known.digest is None:
        return Taken("unchanged", known.gig_id if known else None)
    await _take_back(unit, known)
    gig = await unit.get(Gig, known.gig_id)
    if gig is not None:
        lifecycle.close(unit, gig, "employer")
    known.digest = None
    unit.save(known)
    return Taken("closed", known.gig_id)


async def _take_back(unit: Unit, known: Offered) -> None:
    review = await unit.get(Review, known.review_id) if known.review_id else None
    if review is not None:
        reviews.withdraw(unit, review)


async def _employer(unit: Unit, feed: str, agency: Agency | None, form: OfferForm) -> Employer:
    """Whom a post is for. Raises `Problem` when the feed may not post for them there."""
    if agency is None:
        employer = await unit.get(Employer, feed)
        if employer is None:
            raise Forbidden(NOT_VERIFIED, code="employer-not-verified")
        if form.credit_code not in (None, employer.credit_code):
            raise Invalid("credit_code", OTHER_CODE)
        return employer
    if form.credit_code is None:
        raise Invalid("credit_code", CODE_NEEDED)
    employer = await store.employer_with_code(unit, form.credit_code)
    if employer is None or agency.id not in employer.agencies:
        raise Invalid("credit_code", NOT_LET, code="not-let")
    if not agency.covers(form.district):
        raise Invalid("district", OTHER_AREA, districts=", ".join(agency.districts))
    return employer


def _others(sent: Mapping[str, Any], faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """What else is wrong with what was sent, if any of it could be read."""
    named = {fault.field for fault in faults}
    try:
        if sent:
            OfferForm.model_validate(sent)
    except ValidationError as error:
        return tuple(fault for fault in faults_of(error.errors()) if fault.field not in named)
    return ()


def _read(form: type[M], sent: Mapping[str, Any]) -> M:
    try:
        return form.model_validate(sent)
    except ValidationError as error:
        raise Problem(422, "invalid-fields", INVALID, faults=faults_of(error.errors())) from None


async def registered(unit: Unit, agency_id: str) -> Agency:
    """The agency with this account. Raises `Forbidden` agency-not-registered when no operator has entered it."""
    agency = await unit.get(Agency, agency_id)
    if agency is None:
        raise Forbidden(NOT_REGISTERED, code="agency-not-registered")
    return agency
