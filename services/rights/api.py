"""Rights over HTTP: a placement's agreement and cover, the worker's start and end, and pay until it is confirmed."""

from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlencode

import orjson
from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.rights import attendance, cases, codes, domain, proofs
from services.rights.rules import Rules
from services.rights.store import (
    RULES,
    Agreement,
    Cover,
    OfPlacement,
    OverrideReason,
    Payment,
    Proof,
    ProofMethod,
    RefusedStart,
    Shift,
    ShiftStatus,
    may_read,
    readable,
)
from shared.audit import audit
from shared.auth import Anyone, Caller, Employer, Worker, any_of
from shared.contracts.posting import GigTerms
from shared.contracts.rights import PayConfirmed
from shared.contracts.terms import Instant, PayMode, PayUnit, Period
from shared.http import InSealer, InUnit, Routes, problem_response
from shared.problems import Conflict, Invalid, Missing, Problem, Text
from shared.rulebook import add_routes
from shared.sealed import Sealer
from shared.unit import Unit

routes = Routes("rights")

AGREEMENT, SHIFT, PAY = Text("agreement", "协议"), Text("shift", "班次"), Text("pay", "报酬记录")
GIG = Text("gig of yours with a worker placed in it", "已录用人员的用工")
CANCELLED = Text("This placement was cancelled.", "该用工已取消。")
NO_COVER = Text(
    "No injury insurance is active for this shift, so it may not start.", "该班次没有有效的工伤保障，不能开工。"
)
ALREADY_STARTED = Text("This shift has started already.", "该班次已经开工。")
ALREADY_ENDED = Text("This shift has ended already.", "该班次已经收工。")
MISSED = Text(
    "Nobody had started this shift in time, so its place was given up and is offered to somebody else.",
    "该班次未在规定时间内签到开工，名额已放出并另行安排。",
)
NOT_STARTED = Text("This shift has not started.", "该班次尚未开工。")
REFUSALS = {
    "too-early": Text("This shift can be started from {opens} on.", "该班次最早可在 {opens} 开工。"),
    "too-late": Text("This shift was over at {ends}.", "该班次已于 {ends} 结束。"),
}
SAY_PIECES = Text("is required for piece pay: how many pieces were made", "计件工作须填写完成的件数")
ENDED_BEFORE = Text(
    "must not be before the shift's start at {started}: it cannot end before it began",
    "不得早于该班次的开工时间 {started}：收工不能早于开工",
)
NO_PIECES = Text("is only for piece pay", "仅计件工作需要填写")
ALREADY_PAID = Text("This pay is marked as paid already.", "该报酬已标记为已支付。")
ALREADY_CONFIRMED = Text("The worker has confirmed this pay already.", "劳动者已确认收到该报酬。")

Voucher = Annotated[Caller, Depends(any_of("employer", "clerk", "operator"))]
After = Annotated[str | None, Query(max_length=200, description="the `next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=100)]


class InsuranceView(BaseModel):
    """Cover for the half-open span [start, end) of the shift."""

    provider: str
    policy_id: str
    status: Literal["active", "withdrawn"]
    covers: Period
    withdrawn_at: datetime | None


class AgreementView(BaseModel):
    """`sha256` is the hash of the UTF-8 bytes of `document`; `terms` are the gig's terms as they stand in it."""

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    district: str
    status: Literal["in-force", "void"]
    sha256: str
    document: str
    terms: GigTerms
    made_at: datetime
    void_at: datetime | None
    void_by: Literal["worker", "employer", "market"] | None
    insurance: InsuranceView


class AgreementPage(BaseModel):
    items: list[AgreementView]
    next: str | None


class ProofView(BaseModel):
    """How the start was proven; `override`: by the word of an employer or clerk (`by`), and why."""

    method: ProofMethod
    distance_m: int | None
    by: Literal["worker", "employer", "clerk"]
    reason: OverrideReason | None
    note: str | None


class ShiftView(BaseModel):
    """`minutes` are whole minutes worked within the shift; `automatic` when the worker did not end it.

    `missed`: nobody came in time, and the seat is for somebody else. `arrive_by` of a substitute, who may come later.
    `late_synced`, `end_late_synced`: made offline, at the device's time, and sent later. `refused`: the last check-ins
    that were not taken, with the code of the reason.
    """

    placement_id: str
    gig_id: str
    status: ShiftStatus
    period: Period
    arrive_by: datetime | None
    started_at: datetime | None
    started_by: Literal["worker", "employer"]
    proof: ProofView
    late_synced: bool
    refused: list[RefusedStart]
    ended_at: datetime | None
    end_late_synced: bool
    minutes: int | None
    pieces: int | None
    automatic: bool


class CodeView(BaseModel):
    """The code to show at the work site now; `next_at`: when to ask for the next. `qr` is the text of a QR code."""

    gig_id: str
    code: str
    good_until: datetime
    next_at: datetime
    qr: str


class Override(BaseModel):
    """Why a start stands without a proof. `note` is kept encrypted, and shown to those who may read the shift."""

    model_config = ConfigDict(extra="forbid")

    reason: OverrideReason
    note: Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=500)] | None = None


class ShiftEnd(BaseModel):
    """`pieces` is required for piece pay, and for that only. `seen_at`: the device's time of an end made offline."""

    model_config = ConfigDict(extra="forbid")

    pieces: Annotated[int, Field(ge=0, le=100_000)] | None = None
    seen_at: Instant | None = None


class PayView(BaseModel):
    """What is owed, in fen, for `work` or a late `cancellation`, and by when.

    `overdue` once it was not confirmed in time, even if it is by now. `contested`: marked as paid, and not arrived.
    """

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    amount_fen: int
    reason: Literal["work", "cancellation"]
    mode: PayMode
    due_at: datetime
    status: Literal["due", "paid", "contested", "confirmed"]
    overdue: bool
    paid_at: datetime | None
    contested_at: datetime | None
    confirmed_at: datetime | None


class PayPage(BaseModel):
    items: list[PayView]
    next: str | None


@routes.get("/agreements/{placement_id}")
async def read_agreement(placement_id: str, caller: Anyone, unit: InUnit) -> AgreementView:
    """A placement's agreement and insurance: for its worker, its employer, and clerks of its district."""
    return await _agreement_view(await _readable(unit, Agreement, placement_id, caller, AGREEMENT), unit)


@routes.get("/agreements")
async def list_agreements(caller: Anyone, unit: InUnit, limit: Limit = 20, after: After = None) -> AgreementPage:
    """The caller's agreements, newest first; a clerk's are those of the clerk's districts."""
    found = await readable(unit, Agreement, caller, limit=limit, after=after)
    await unit.load(Cover, [agreement.id for agreement in found])
    return AgreementPage(items=[await _agreement_view(one, unit) for one in found], next=_next(found, limit))


@routes.get("/gigs/{gig_id}/code")
async def read_code(gig_id: str, employer: Employer, unit: InUnit, sealer: InSealer) -> CodeView:
    """The code of a gig's work site, for its employer's app to show: another every 30 s, each good for at most 60 s."""
    if not await unit.count(Shift, {"parties.gig_id": gig_id, "parties.employer_id": employer.id}):
        raise Missing(GIG)
    code = codes.code_at(proofs.secret_of(sealer, employer.id, gig_id), unit.now)
    return CodeView(
        gig_id=gig_id,
        code=code,
        good_until=codes.good_until(unit.now),
        next_at=codes.next_at(unit.now),
        qr=f"kuaizhao:check-in?{urlencode({'gig': gig_id, 'code': code})}",
    )


@routes.get("/shifts/{placement_id}")
async def read_shift(placement_id: str, caller: Anyone, unit: InUnit, sealer: InSealer) -> ShiftView:
    return _shift_view(await _readable(unit, Shift, placement_id, caller, SHIFT), sealer)


@routes.post("/shifts/{placement_id}/start", response_model=ShiftView)
async def start_shift(
    placement_id: str,
    worker: Worker,
    unit: InUnit,
    sealer: InSealer,
    request: Request,
    body: proofs.ShiftStart | None = None,
) -> ShiftView | Response:
    """Start work: from `early_minutes` before the shift until it ends, and never without active cover.

    With the work site's code or a position near it, which the district's rules may require. A check-in that was made
    offline has the time of the device (`seen_at`) and the code that was shown then.

    409: `placement-cancelled`, `shift-missed` (nobody came in time, and the seat is for somebody else),
    `already-started`, `already-ended`, `no-cover`, `too-early`, `too-late`; of a proof `other-site`, `wrong-code`,
    `code-expired`, `other-time`, `too-many-codes`, `too-far`, `too-old`. 422: `clock-ahead`, `proof-required`.
    A check-in with a proof that is refused is kept with the shift.
    """
    shift = await _readable(unit, Shift, placement_id, worker, SHIFT)
    given = body or proofs.ShiftStart()
    proofs.check_form(given)
    rules = await RULES.of(unit, shift.parties.district)
    distance = await proofs.distance_of(unit, shift, given.position)
    try:
        at = proofs.moment_of(given.seen_at, rules, unit.now)
        await _may_start(unit, shift, rules, at)
        proof = proofs.judge(given, distance, shift, rules, sealer, unit.now)
    except Problem as refusal:
        if not (given.code or given.position):
            raise
        refused = RefusedStart(
            made_at=given.seen_at or unit.now,
            came_at=unit.now,
            code=refusal.code,
            method="code" if given.code else "geofence",
            distance_m=distance,
        )
        attendance.refuse(unit, shift, refused)
        return problem_response(request, refusal)  # not raised: that would take back what is kept of it
    attendance.start(unit, shift, at=at if given.seen_at else None, proof=proof)
    return _shift_view(shift, sealer)


@routes.post("/shifts/{placement_id}/present")
async def report_present(placement_id: str, employer: Employer, unit: InUnit, sealer: InSealer) -> ShiftView:
    """The employer says that the worker is here and begins, when the worker's own device cannot. 409 as for a start."""
    shift = await _readable(unit, Shift, placement_id, employer, SHIFT)
    await _may_start(unit, shift, await RULES.of(unit, shift.parties.district), unit.now)
    attendance.start(unit, shift, by="employer", proof=Proof(method="employer", by="employer"))
    return _shift_view(shift, sealer)


@routes.post("/shifts/{placement_id}/override")
async def override_proof(
    placement_id: str, caller: Voucher, unit: InUnit, sealer: InSealer, body: Override
) -> ShiftView:
    """The employer, or a clerk of the district, vouches for a worker whose code or position is not taken; recorded.

    409 as for a start.
    """
    shift = await _readable(unit, Shift, placement_id, caller, SHIFT)
    await _may_start(unit, shift, await RULES.of(unit, shift.parties.district), unit.now)
    note = sealer.seal(body.note, subject=shift.id, field="override_note") if body.note else None
    by: Literal["employer", "clerk"] = "employer" if caller.role == "employer" else "clerk"
    proof = Proof(method="override", by=by, reason=body.reason, note=note)
    attendance.start(unit, shift, by="employer" if by == "employer" else "worker", proof=proof)
    facts = {"placement_id": shift.id, "role": caller.role, "reason": body.reason, "note": note}
    await audit(unit, caller.id, "start without proof", **facts)
    return _shift_view(shift, sealer)


async def _may_start(unit: Unit, shift: Shift, rules: Rules, at: datetime) -> None:
    """Raises `Conflict` when it may not be started at this moment, or not any more."""
    match shift.status:
        case "cancelled":
            raise Conflict("placement-cancelled", CANCELLED)
        case "started":
            raise Conflict("already-started", ALREADY_STARTED)
        case "ended":
            raise Conflict("already-ended", ALREADY_ENDED)
        case "missed":
            raise Conflict("shift-missed", MISSED)
    cover = await unit.get(Cover, shift.id)
    if cover is None or cover.status != "active":
        raise Conflict("no-cover", NO_COVER)
    early = rules.early if cover.period.start == shift.period.start else timedelta(0)  # a substitute has no time before
    refusal = domain.start_refusal(cover.period, at, early)
    if refusal:
        opens = cover.period.start - early
        raise Conflict(refusal, REFUSALS[refusal], opens=_local(opens), ends=_local(shift.period.end))


@routes.post("/shifts/{placement_id}/end")
async def end_shift(
    placement_id: str, worker: Worker, unit: InUnit, sealer: InSealer, body: ShiftEnd | None = None
) -> ShiftView:
    """End work, now or at the planned end, whichever is first. A piece-paid worker says how many pieces it gave.

    A piece-paid shift that was ended automatically takes its pieces here afterwards, once.
    An end that was made offline has the time of the device (`seen_at`), which may not be before the start.
    409: `placement-cancelled`, `not-started`, `already-ended`, `too-old`. 422: `clock-ahead`, `ended-before-start`.
    """
    shift = await _readable(unit, Shift, placement_id, worker, SHIFT)
    pieces = body.pieces if body else None
    late = attendance.awaits_pieces(shift)
    match shift.status:
        case "cancelled":
            raise Conflict("placement-cancelled", CANCELLED)
        case "planned" | "missed":
            raise Conflict("not-started", NOT_STARTED)
        case "ended" if not late:
            raise Conflict("already-ended", ALREADY_ENDED)
    if (shift.pay.unit == PayUnit.piece) != (pieces is not None):
        raise Invalid("pieces", SAY_PIECES if pieces is None else NO_PIECES)
    if late:
        attendance.settle(unit, shift, unit.now, pieces=pieces)
        return _shift_view(shift, sealer)
    seen_at = body.seen_at if body else None
    at = proofs.moment_of(seen_at, await RULES.of(unit, shift.parties.district), unit.now)
    if shift.started_at and at < shift.started_at:
        raise Invalid("seen_at", ENDED_BEFORE, code="ended-before-start", started=_local(shift.started_at))
    shift.end_late_synced = seen_at is not None
    attendance.end(unit, shift, at, pieces=pieces)
    return _shift_view(shift, sealer)


@routes.get("/pay")
async def list_pay(caller: Anyone, unit: InUnit, limit: Limit = 20, after: After = None) -> PayPage:
    """What is or was owed to a worker, or by an employer, newest first; for a clerk, in the clerk's districts."""
    found = await readable(unit, Payment, caller, limit=limit, after=after)
    return PayPage(items=[_pay_view(one) for one in found], next=_next(found, limit))


@routes.post("/pay/{placement_id}/paid")
async def mark_paid(placement_id: str, employer: Employer, unit: InUnit) -> PayView:
    """The employer says that the pay is on its way; again, when the worker has contested it.

    409: `already-paid`, `already-confirmed`.
    """
    pay = await _readable(unit, Payment, placement_id, employer, PAY)
    if pay.confirmed_at:
        raise Conflict("already-confirmed", ALREADY_CONFIRMED)
    if pay.status == "paid":
        raise Conflict("already-paid", ALREADY_PAID)
    pay.paid_at, pay.contested = unit.now, False
    unit.save(pay)
    await cases.note_pay(unit, pay, "marked-paid", employer.id)
    return _pay_view(pay)


@routes.post("/pay/{placement_id}/confirm")
async def confirm_pay(placement_id: str, worker: Worker, unit: InUnit) -> PayView:
    """The worker says that the pay has arrived, whether or not the employer marked it. 409: `already-confirmed`."""
    pay = await _readable(unit, Payment, placement_id, worker, PAY)
    if pay.confirmed_at:
        raise Conflict("already-confirmed", ALREADY_CONFIRMED)
    pay.confirmed_at = unit.now
    unit.save(pay)
    unit.cancel_timer(attendance.PAY_OVERDUE, pay.id)
    await cases.settle_paid(unit, pay)
    unit.publish(
        PayConfirmed(
            placement_id=pay.id, amount_fen=pay.amount_fen, at=unit.now, **pay.parties.model_dump(exclude={"gig_id"})
        )
    )
    return _pay_view(pay)


@routes.post("/pay/{placement_id}/contest")
async def contest_pay(placement_id: str, worker: Worker, unit: InUnit) -> PayView:
    """The worker says that what the employer marked as paid has not arrived. 409 `not-marked-paid`."""
    pay = await _readable(unit, Payment, placement_id, worker, PAY)
    cases.contest(unit, pay)
    await cases.note_pay(unit, pay, "contested", worker.id)
    return _pay_view(pay)


P = TypeVar("P", bound=OfPlacement)


async def _readable(unit: Unit, kind: type[P], placement_id: str, caller: Caller, what: Text) -> P:
    found = await unit.get(kind, placement_id)
    if found is None or not may_read(caller, found.parties):
        raise Missing(what)
    return found


def _next(page: list[P], limit: int) -> str | None:
    return page[-1].id if len(page) == limit else None


def _local(moment: datetime) -> str:
    return moment.astimezone(attendance.zone()).isoformat(timespec="minutes")


async def _agreement_view(agreement: Agreement, unit: Unit) -> AgreementView:
    cover = await unit.get(Cover, agreement.id)
    if cover is None:
        raise LookupError("an agreement stands without its cover")
    return AgreementView(
        placement_id=agreement.id,
        **agreement.parties.model_dump(),
        status="void" if agreement.void_at else "in-force",
        sha256=agreement.sha256,
        document=agreement.text.decode(),
        terms=orjson.loads(agreement.text)["terms"],
        made_at=agreement.made_at,
        void_at=agreement.void_at,
        void_by=agreement.void_by,
        insurance=InsuranceView(
            provider=cover.provider,
            policy_id=cover.policy_id,
            status=cover.status,
            covers=cover.period,
            withdrawn_at=cover.withdrawn_at,
        ),
    )


def _shift_view(shift: Shift, sealer: Sealer) -> ShiftView:
    note = shift.proof.note and sealer.open(shift.proof.note, subject=shift.id, field="override_note")
    proof = ProofView(**(dict(shift.proof) | {"note": note}))
    return ShiftView(placement_id=shift.id, gig_id=shift.parties.gig_id, **(dict(shift) | {"proof": proof}))


def _pay_view(pay: Payment) -> PayView:
    return PayView(placement_id=pay.id, status=pay.status, **pay.parties.model_dump(), **dict(pay))


add_routes(routes, RULES)
