"""Cases, sanctions and evidence over HTTP: a worker's claim from its intake to its outcome."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, StringConstraints

from services.rights import appeals, attendance, cases, evidence, knowledge, sanctions, store
from services.rights.appeals import AppealDecision, AppealForm, AppealView, Reason
from services.rights.clocks import LIMITS, Authority, CaseKind, CaseOutcome, CaseState
from services.rights.rules import Side
from services.rights.store import Agreement, Case, Sanction, may_read
from shared import auth
from shared.audit import audit
from shared.auth import Anyone, Caller, Clerk
from shared.contracts.terms import Code, District, Instant
from shared.districts import GivenDistrict
from shared.http import InSealer, InUnit, UnitRoute
from shared.problems import Forbidden, Invalid, Missing, Text
from shared.sealed import PersonalSealer
from shared.unit import Unit

routes = APIRouter(route_class=UnitRoute)

INVITATION = Text("invitation", "通知")
CASE, SANCTION, PLACEMENT = Text("case", "案件"), Text("sanction", "处理措施"), Text("placement", "用工")
OTHER_DISTRICT = Text("This is not of your districts.", "不在您负责的区县。")
WORKER_NEEDED = Text("is required when a clerk opens a case for a worker", "工作人员代办时必填")
WORKER_IS_YOU = Text("must be your own, or left out", "应为本人，或不填")
DISTRICT_NEEDED = Text("is required when the case is about no placement", "与用工无关的案件须填写所在区县")
OTHER_WORKER = Text("must be a placement of this worker", "应为该劳动者的用工")
FROM_PLACEMENT = Text("is known from the placement; leave it out", "由用工记录确定，不必填写")
ONE_PARTY = Text("give either an employer_id or a worker_id", "employer_id 与 worker_id 应且只应提供一个")
NOT_PAST = Text("must be in the future", "须为将来的时间")
NOT_FUTURE = Text("must not be in the future", "不得晚于今天")
REFERRED_NEEDED = Text("is required when a case is referred, and only then", "转交时必填，且仅在转交时填写")
OUTCOME_NEEDED = Text("is required when a case is closed, and only then", "结案时必填，且仅在结案时填写")

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=4_000)]
Limited = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=200, description="the `next` of the page before")]


WorkerOrClerk = Annotated[Caller, Depends(auth.any_of("worker", "clerk", "operator"))]
Party = Annotated[Caller, Depends(auth.any_of("worker", "employer"))]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


# --- cases -----------------------------------------------------------------------------------------------------------


class CaseForm(_Form):
    """What it is about, the placement (or, without one, the district), and what happened. `worker_id` for clerks.

    `happened_on`, a local day, is when an injury's time limit begins; today when left out.
    """

    kind: CaseKind
    what_happened: Words
    placement_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    district: GivenDistrict | None = None
    employer_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    worker_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    happened_on: date | None = None


class LimitView(BaseModel):
    """A time limit, the rule that it is by, and whether it was met or has passed."""

    name: str
    source: str
    due_at: Instant
    extended: bool
    met_at: Instant | None
    passed_at: Instant | None


class StepView(BaseModel):
    what: str
    at: Instant
    by: str
    detail: str | None
    note: str | None


class CaseView(BaseModel):
    """A case for its worker and for clerks. `receipt` is its number for people; `escalated`: a limit has passed.

    `articles` of the knowledge base say what to know of such a case (/api/rights/articles/{article_id}).
    """

    case_id: str
    receipt: str
    kind: CaseKind
    state: CaseState
    worker_id: str
    employer_id: str | None
    placement_id: str | None
    district: District
    what_happened: str | None
    referred_to: Authority | None
    outcome: CaseOutcome | None
    escalated: bool
    opened_by: Literal["worker", "clerk", "market"]
    opened_at: Instant
    closed_at: Instant | None
    limits: list[LimitView]
    history: list[StepView]
    articles: list[str]

    @classmethod
    async def of(cls, case: Case, sealer: PersonalSealer) -> Self:
        return cls(
            case_id=case.id,
            what_happened=await evidence.case_text(case, case.text, sealer),
            limits=[LimitView(source=LIMITS[one.name].source, **one.model_dump()) for one in case.limits],
            history=[
                StepView(note=await evidence.case_text(case, step.note, sealer), **step.model_dump(exclude={"note"}))
                for step in case.history
            ],
            articles=knowledge.for_case(case.kind),
            **case.model_dump(
                include=set(cls.model_fields) - {"case_id", "what_happened", "limits", "history", "articles"},
            ),
        )


class CasePage(BaseModel):
    items: list[CaseView]
    next: str | None


class CaseStep(_Form):
    """Where a case goes next. `referred_to` with `referred`, `outcome` with `closed`."""

    to: CaseState
    referred_to: Authority | None = None
    outcome: CaseOutcome | None = None
    note: Words | None = None


@routes.post("/cases", status_code=201)
async def open_case(form: CaseForm, caller: WorkerOrClerk, unit: InUnit, sealer: InSealer) -> CaseView:
    """Open a case, by the worker or by a clerk for them; the answer has its receipt number and its time limits.

    409 `case-exists` about pay that has its arrears case already, whose receipt it names.
    """
    worker_id = form.worker_id or caller.id
    if caller.role == "worker" and worker_id != caller.id:
        raise Invalid("worker_id", WORKER_IS_YOU)
    if caller.role != "worker" and form.worker_id is None:
        raise Invalid("worker_id", WORKER_NEEDED)
    district, employer_id = form.district, form.employer_id
    if form.placement_id is not None:
        agreement = await unit.get(Agreement, form.placement_id)
        if agreement is None or agreement.parties.worker_id != worker_id:
            raise Invalid("placement_id", OTHER_WORKER)
        for name in ("district", "employer_id"):
            if getattr(form, name) is not None:
                raise Invalid(name, FROM_PLACEMENT)
        district, employer_id = agreement.parties.district, agreement.parties.employer_id
    if district is None:
        raise Invalid("district", DISTRICT_NEEDED)
    if caller.role != "worker" and not caller.covers(district):
        raise Forbidden(OTHER_DISTRICT)
    if form.happened_on and form.happened_on > unit.now.astimezone(attendance.zone()).date():
        raise Invalid("happened_on", NOT_FUTURE)
    case = await cases.open_case(
        unit,
        form.kind,
        worker_id,
        district,
        by="worker" if caller.role == "worker" else "clerk",
        by_id=caller.id,
        employer_id=employer_id,
        placement_id=form.placement_id,
        text=await sealer.seal(form.what_happened, of=worker_id, field="case"),
        happened_on=form.happened_on,
    )
    return await CaseView.of(case, sealer)


@routes.get("/cases")
async def list_cases(
    *,
    caller: WorkerOrClerk,
    unit: InUnit,
    sealer: InSealer,
    state: CaseState | None = None,
    escalated: bool | None = None,
    limit: Limited = 20,
    after: After = None,
) -> CasePage:
    """The caller's cases; a clerk's are those of the clerk's districts, all that are not closed if no `state` is given.

    Oldest first.
    """
    query: dict[str, Any] = {} if escalated is None else {"escalated": escalated}
    if state is not None:
        query["state"] = state
    elif caller.role != "worker":
        query["state"] = {"$ne": "closed"}
    districts = None
    if caller.role == "worker":
        query["worker_id"] = caller.id
    elif caller.role == "clerk":
        districts = caller.districts
    found = await store.cases(unit, query, districts, limit=limit + 1, after=after)
    await sealer.load(case.worker_id for case in found)
    items = [await CaseView.of(case, sealer) for case in found[:limit]]
    return CasePage(items=items, next=items[-1].case_id if len(found) > limit else None)


@routes.get("/cases/{case_id}")
async def read_case(case_id: str, caller: WorkerOrClerk, unit: InUnit, sealer: InSealer) -> CaseView:
    """A case, by its id: for its worker and for clerks of its district."""
    case = await unit.get(Case, case_id)
    if case is None or not (caller.id == case.worker_id if caller.role == "worker" else caller.covers(case.district)):
        raise Missing(CASE)
    return await CaseView.of(case, sealer)


@routes.post("/cases/{case_id}/steps")
async def take_step(case_id: str, step: CaseStep, clerk: Clerk, unit: InUnit, sealer: InSealer) -> CaseView:
    """A clerk accepts or declines a case, mediates, refers it, or closes it with its outcome.

    409 `case-not-there` when it cannot go there from where it is.
    """
    case = await _in_my_district(unit, case_id, clerk)
    if (step.to == "referred") != (step.referred_to is not None):
        raise Invalid("referred_to", REFERRED_NEEDED)
    if (step.to == "closed") != (step.outcome is not None):
        raise Invalid("outcome", OUTCOME_NEEDED)
    note = await sealer.seal(step.note, of=case.worker_id, field="case") if step.note else None
    await cases.go_on(unit, case, step.to, by=clerk.id, referred_to=step.referred_to, outcome=step.outcome, note=note)
    return await CaseView.of(case, sealer)


class Invitation(_Form):
    """When and where both sides are asked to come. `place` is kept encrypted, and shown to both and to clerks."""

    starts_at: Instant
    place: Annotated[str, StringConstraints(strip_whitespace=True, min_length=4, max_length=200)]


class InvitationView(BaseModel):
    """The last invitation of a case, for both sides and clerks; without the place once its worker is erased."""

    case_id: str
    receipt: str
    starts_at: Instant
    place: str | None


@routes.post("/cases/{case_id}/invitation")
async def invite(case_id: str, form: Invitation, clerk: Clerk, unit: InUnit, sealer: InSealer) -> CaseView:
    """Ask both sides to the mediation, or to the hearing of the authority that took it up; again for another time.

    From then on the employer hears what becomes of the case. 409 `no-meeting`.
    """
    case = await _in_my_district(unit, case_id, clerk)
    if form.starts_at <= unit.now:
        raise Invalid("starts_at", NOT_PAST)
    place = await sealer.seal(form.place, of=case.worker_id, field="case")
    cases.invite(unit, case, form.starts_at, place, by=clerk.id)
    return await CaseView.of(case, sealer)


@routes.get("/cases/{case_id}/invitation")
async def read_invitation(case_id: str, caller: Anyone, unit: InUnit, sealer: InSealer) -> InvitationView:
    """When and where the caller is asked to come: for the worker, the employer, and clerks of the district."""
    case = await unit.get(Case, case_id)
    asked = next((step for step in reversed(case.history) if step.what == "invited"), None) if case else None
    if case is None or asked is None or asked.detail is None or not _may_read_invitation(caller, case):
        raise Missing(INVITATION)
    place = await evidence.case_text(case, asked.note, sealer)
    return InvitationView(
        case_id=case.id, receipt=case.receipt, starts_at=datetime.fromisoformat(asked.detail), place=place
    )


def _may_read_invitation(caller: Caller, case: Case) -> bool:
    match caller.role:
        case "worker":
            return caller.id == case.worker_id
        case "employer":
            return caller.id == case.employer_id
        case "clerk" | "operator":
            return caller.covers(case.district)
        case _:
            return False


@routes.post("/cases/{case_id}/withdraw")
async def withdraw(case_id: str, worker: auth.Worker, unit: InUnit, sealer: InSealer) -> CaseView:
    """The worker wants it no more. 409 `case-not-there` when it is closed."""
    case = await unit.get(Case, case_id)
    if case is None or case.worker_id != worker.id:
        raise Missing(CASE)
    await cases.go_on(unit, case, "closed", by=worker.id, outcome="withdrawn")
    return await CaseView.of(case, sealer)


@routes.post("/cases/{case_id}/limits/{name}/met")
async def meet_limit(case_id: str, name: str, clerk: Clerk, unit: InUnit, sealer: InSealer) -> CaseView:
    """What a time limit is for was done, such as the application for an injury's recognition. 409 `no-limit`."""
    case = await _in_my_district(unit, case_id, clerk)
    cases.meet(unit, case, name, by=clerk.id)
    return await CaseView.of(case, sealer)


@routes.post("/cases/{case_id}/limits/{name}/extend")
async def extend_limit(case_id: str, name: str, clerk: Clerk, unit: InUnit, sealer: InSealer) -> CaseView:
    """Extend a time limit by what the law lets be added, once. 409 `no-limit`, `limit-not-extendable`."""
    case = await _in_my_district(unit, case_id, clerk)
    cases.extend(unit, case, name, by=clerk.id)
    return await CaseView.of(case, sealer)


async def _in_my_district(unit: Unit, case_id: str, clerk: Caller) -> Case:
    case = await unit.get(Case, case_id)
    if case is None:
        raise Missing(CASE)
    if not clerk.covers(case.district):
        raise Forbidden(OTHER_DISTRICT)
    return case


# --- evidence --------------------------------------------------------------------------------------------------------


@routes.get("/placements/{placement_id}/evidence")
async def evidence_pack(placement_id: str, caller: WorkerOrClerk, unit: InUnit, sealer: InSealer) -> dict[str, Any]:
    """All that is known of a placement as one file of hash-chained entries, for its worker and for clerks.

    `kuaizhao evidence verify FILE` finds what was changed, removed or moved in it.
    """
    agreement = await unit.get(Agreement, placement_id)
    if agreement is None or not may_read(caller, agreement.parties):
        raise Missing(PLACEMENT)
    return await evidence.pack(unit, agreement, sealer)


# --- sanctions -------------------------------------------------------------------------------------------------------


class SanctionForm(_Form):
    """A sanction on an employer or a worker, one of the two, from now on."""

    employer_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    worker_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    district: GivenDistrict
    kind: Literal["block", "suspend"]
    reason: Code
    until: Instant | None = None
    case_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class SanctionView(BaseModel):
    """A sanction for its party and for clerks. `automatic`: set by a rule, not by a clerk."""

    sanction_id: str
    party: Side
    party_id: str
    district: District
    kind: Literal["block", "suspend"]
    reason: str
    since: Instant
    until: Instant | None
    case_id: str | None
    automatic: bool
    in_force: bool
    lifted_at: Instant | None
    lifted_for: str | None
    appeal: AppealView | None

    @classmethod
    async def of(cls, sanction: Sanction, sealer: PersonalSealer, now: datetime) -> Self:
        own = {"sanction_id", "automatic", "in_force", "appeal"}
        return cls(
            sanction_id=sanction.id,
            automatic=sanction.by == "market",
            in_force=sanction.in_force(now),
            appeal=await AppealView.of(sanction.appeal, sanction.party_id, sealer),
            **sanction.model_dump(include=set(cls.model_fields) - own),
        )


class SanctionPage(BaseModel):
    items: list[SanctionView]
    next: str | None


class LiftForm(_Form):
    reason: Reason


@routes.post("/sanctions", status_code=201)
async def set_sanction(form: SanctionForm, clerk: Clerk, unit: InUnit, sealer: InSealer) -> SanctionView:
    """Keep an employer from new posts (`block`), or close its open ones too (`suspend`); or a worker from check-ins."""
    if (form.employer_id is None) == (form.worker_id is None):
        raise Invalid("employer_id", ONE_PARTY)
    party: Side = "employer" if form.employer_id else "worker"
    party_id = form.employer_id or form.worker_id or ""
    if not clerk.covers(form.district):
        raise Forbidden(OTHER_DISTRICT)
    if form.until is not None and form.until <= unit.now:
        raise Invalid("until", NOT_PAST)
    if form.case_id is not None:
        case = await unit.get(Case, form.case_id)
        if case is None or party_id != (case.employer_id if party == "employer" else case.worker_id):
            raise Missing(CASE)
    made = sanctions.impose(
        unit,
        party,
        party_id,
        form.district,
        form.kind,
        form.reason,
        until=form.until,
        case_id=form.case_id,
        by=clerk.id,
    )
    await audit(unit, clerk.id, "sanction set", sanction_id=made.id, **form.model_dump())
    return await SanctionView.of(made, sealer, unit.now)


@routes.get("/sanctions")
async def list_sanctions(
    *,
    caller: Anyone,
    unit: InUnit,
    sealer: InSealer,
    appealed: bool = False,
    limit: Limited = 20,
    after: After = None,
) -> SanctionPage:
    """The caller's sanctions; a clerk's are those of the clerk's districts, with `appealed` only those to decide on."""
    query: dict[str, Any] = {"appeal.state": "waiting"} if appealed else {}
    districts = None
    if caller.role == "clerk":
        districts = caller.districts
    elif caller.role != "operator":
        query["party_id"] = caller.id
    found = await store.sanctions(unit, query, districts, limit=limit + 1, after=after)
    items = [await SanctionView.of(one, sealer, unit.now) for one in found[:limit]]
    return SanctionPage(items=items, next=items[-1].sanction_id if len(found) > limit else None)


@routes.post("/sanctions/{sanction_id}/lift")
async def lift_sanction(sanction_id: str, form: LiftForm, clerk: Clerk, unit: InUnit, sealer: InSealer) -> SanctionView:
    """End a sanction before its time. Nothing happens when it is over."""
    sanction = await _for_clerk(unit, sanction_id, clerk)
    sanctions.lift(unit, sanction, "clerk")
    reason = await sealer.seal(form.reason, of=sanction.party_id, field="lift-reason")
    await audit(unit, clerk.id, "sanction lifted", sanction_id=sanction_id, reason=reason)
    return await SanctionView.of(sanction, sealer, unit.now)


@routes.post("/sanctions/{sanction_id}/appeal")
async def appeal(sanction_id: str, form: AppealForm, caller: Party, unit: InUnit, sealer: InSealer) -> SanctionView:
    """Say why a sanction is wrong, for a clerk to decide who did not set it; it is decided once.

    409 `appeal-decided`, `sanction-over`.
    """
    sanction = await unit.get(Sanction, sanction_id)
    if sanction is None or sanction.party_id != caller.id:
        raise Missing(SANCTION)
    sanctions.appeal(unit, sanction, await appeals.make(form, caller.id, sealer, unit.now))
    return await SanctionView.of(sanction, sealer, unit.now)


@routes.post("/sanctions/{sanction_id}/appeal/decision")
async def decide_appeal(
    sanction_id: str, decision: AppealDecision, clerk: Clerk, unit: InUnit, sealer: InSealer
) -> SanctionView:
    """Uphold an appeal, which ends the sanction, or refuse it.

    403 `same-clerk` for whoever set it; 409 `no-appeal`, `appeal-decided`.
    """
    sanction = await _for_clerk(unit, sanction_id, clerk)
    sanctions.decide(unit, sanction, decision, by=clerk.id)
    await audit(unit, clerk.id, "sanction appeal decided", sanction_id=sanction_id, upheld=decision.upheld)
    return await SanctionView.of(sanction, sealer, unit.now)


async def _for_clerk(unit: Unit, sanction_id: str, clerk: Caller) -> Sanction:
    sanction = await unit.get(Sanction, sanction_id)
    if sanction is None:
        raise Missing(SANCTION)
    if not clerk.covers(sanction.district):
        raise Forbidden(OTHER_DISTRICT)
    return sanction
