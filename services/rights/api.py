"""Rights over HTTP: a placement's agreement and cover, the worker's start and end, and pay until it is confirmed."""

from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlencode

import orjson
from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.rights import attendance, cases, codes, document, domain, proofs, ratings, reliability
from services.rights.rules import POLICY, Rules, Side
from services.rights.store import (
    RULES,
    Agreement,
    Cover,
    CoverStatus,
    Mark,
    OfPlacement,
    OverrideReason,
    Payment,
    Proof,
    ProofMethod,
    Ratings,
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
from shared.http import InSealer, InUnit, Routes, language_of, problem_response
from shared.problems import Conflict, Invalid, Missing, Problem, Text
from shared.rulebook import add_routes
from shared.sealed import PersonalSealer
from shared.sending import Trouble
from shared.unit import Unit

routes = Routes("rights")

AGREEMENT, SHIFT, PAY = Text("agreement", "协议"), Text("shift", "班次"), Text("pay", "报酬记录")
GIG = Text("gig of yours with a worker placed in it", "已录用人员的用工")
RATING = Text("rating", "评价")
CANCELLED = Text("This placement was cancelled.", "该用工已取消。")
NO_COVER = {
    "withdrawn": Text(
        "No injury insurance is active for this shift, so it may not start.", "该班次没有有效的工伤保障，不能开工。"
    ),
    "pending": Text(
        "The insurer has not confirmed the cover for this shift yet, so it may not start. It is being asked again.",
        "保险机构尚未确认该班次的工伤保障，暂不能开工；系统正在继续办理。",
    ),
    "refused": Text(
        "The insurer refused cover for this shift, so it may not start.", "保险机构拒绝为该班次提供工伤保障，不能开工。"
    ),
}
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
NOT_ENDED = Text("A shift is rated when it has ended.", "班次结束后方可评价。")
ALREADY_RATED = Text("You have rated this shift already.", "您已评价过该班次。")
RATING_CLOSED = Text("This shift could be rated until {closed}.", "该班次的评价已于 {closed} 截止。")
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
    """Cover for the half-open span [start, end) of the shift.

    `pending` until the insurer confirms it, with a `policy_id` from then on; `trouble` says why it has not answered,
    `refused_for` why it refuses.
    """

    provider: str
    policy_id: str | None
    status: CoverStatus
    covers: Period
    withdrawn_at: datetime | None
    refused_for: str | None
    trouble: Trouble | None


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


class _Rating(BaseModel):
    """`text` is kept sealed, and is in no event; after publication the other side reads it."""

    model_config = ConfigDict(extra="forbid")

    points: Annotated[int, Field(ge=1, le=5)]
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)] | None = None


OfEmployer = Literal[
    "as-described", "paid-on-time", "safe", "fair", "not-as-described", "paid-late", "unsafe", "unfair"
]
OfWorker = Literal["punctual", "skilled", "careful", "polite", "late", "unskilled", "careless", "rude"]


class EmployerRating(_Rating):
    codes: Annotated[tuple[OfEmployer, ...], Field(max_length=8)] = ()


class WorkerRating(_Rating):
    codes: Annotated[tuple[OfWorker, ...], Field(max_length=8)] = ()


class MarkView(BaseModel):
    points: int
    codes: tuple[str, ...]
    text: str | None
    at: datetime


class RatingsView(BaseModel):
    """`by_worker` is the worker's rating of the employer; null while it is not given, or not yet for the caller."""

    placement_id: str
    published_at: datetime | None
    by_worker: MarkView | None
    by_employer: MarkView | None


class AverageView(BaseModel):
    """`average` is 1.00 to 5.00, of `ratings` ratings; null while there are fewer than `least` in `days` days."""

    person_id: str
    average: float | None
    ratings: int
    days: int
    least: int


@routes.get("/agreements/{placement_id}")
async def read_agreement(placement_id: str, caller: Anyone, unit: InUnit) -> AgreementView:
    """A placement's agreement and insurance: for its worker, its employer, and clerks of its district."""
    return await _agreement_view(await _readable(unit, Agreement, placement_id, caller, AGREEMENT), unit)


@routes.get("/agreements/{placement_id}/document", response_class=Response, responses=document.FORMATS)
async def read_document(
    placement_id: str,
    caller: Anyone,
    unit: InUnit,
    request: Request,
    format: document.Format = "html",
    lang: Annotated[document.Language | None, Query(description="what `Accept-Language` prefers if left out")] = None,
) -> Response:
    """The agreement as people read it, to print or keep: for those who may read it. It names the hash of the text."""
    agreement = await _readable(unit, Agreement, placement_id, caller, AGREEMENT)
    language: document.Language = lang or ("en" if language_of(request) == "en" else "zh")
    paper = document.paper(
        agreement.text, agreement.sha256, agreement.void_at, language=language, zone=attendance.zone()
    )
    return await document.answer(paper, format, "agreement")


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
    return await _shift_view(await _readable(unit, Shift, placement_id, caller, SHIFT), sealer)


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
    return await _shift_view(shift, sealer)


@routes.post("/shifts/{placement_id}/present")
async def report_present(placement_id: str, employer: Employer, unit: InUnit, sealer: InSealer) -> ShiftView:
    """The employer says that the worker is here and begins, when the worker's own device cannot. 409 as for a start."""
    shift = await _readable(unit, Shift, placement_id, employer, SHIFT)
    await _may_start(unit, shift, await RULES.of(unit, shift.parties.district), unit.now)
    attendance.start(unit, shift, by="employer", proof=Proof(method="employer", by="employer"))
    return await _shift_view(shift, sealer)


@routes.post("/shifts/{placement_id}/override")
async def override_proof(
    placement_id: str, caller: Voucher, unit: InUnit, sealer: InSealer, body: Override
) -> ShiftView:
    """The employer, or a clerk of the district, vouches for a worker whose code or position is not taken; recorded.

    409 as for a start.
    """
    shift = await _readable(unit, Shift, placement_id, caller, SHIFT)
    await _may_start(unit, shift, await RULES.of(unit, shift.parties.district), unit.now)
    note = await sealer.seal(body.note, of=shift.parties.worker_id, field=proofs.NOTE) if body.note else None
    by: Literal["employer", "clerk"] = "employer" if caller.role == "employer" else "clerk"
    proof = Proof(method="override", by=by, reason=body.reason, note=note)
    attendance.start(unit, shift, by="employer" if by == "employer" else "worker", proof=proof)
    facts = {"placement_id": shift.id, "role": caller.role, "reason": body.reason, "note": note}
    await audit(unit, caller.id, "start without proof", **facts)
    return await _shift_view(shift, sealer)


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
    status = cover.status if cover else "withdrawn"
    if cover is None or status != "active":
        raise Conflict("no-cover", NO_COVER[status], cover=status)
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
        return await _shift_view(shift, sealer)
    seen_at = body.seen_at if body else None
    at = proofs.moment_of(seen_at, await RULES.of(unit, shift.parties.district), unit.now)
    if shift.started_at and at < shift.started_at:
        raise Invalid("seen_at", ENDED_BEFORE, code="ended-before-start", started=_local(shift.started_at))
    shift.end_late_synced = seen_at is not None
    attendance.end(unit, shift, at, pieces=pieces)
    return await _shift_view(shift, sealer)


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
    if pay.reason == "work" and not pay.late:
        employer = reliability.Party.of("employer", pay.parties)
        await reliability.note(unit, employer, "paid-on-time", pay.id, PayConfirmed)
    return _pay_view(pay)


@routes.post("/pay/{placement_id}/contest")
async def contest_pay(placement_id: str, worker: Worker, unit: InUnit) -> PayView:
    """The worker says that what the employer marked as paid has not arrived. 409 `not-marked-paid`."""
    pay = await _readable(unit, Payment, placement_id, worker, PAY)
    await cases.contest(unit, pay)
    await cases.note_pay(unit, pay, "contested", worker.id)
    return _pay_view(pay)


@routes.post("/ratings/{placement_id}/of-employer", status_code=201)
async def rate_employer(
    placement_id: str, body: EmployerRating, worker: Worker, unit: InUnit, sealer: InSealer
) -> RatingsView:
    """The worker rates the employer, once, until `open_days` (policy.yaml) after the shift.

    409: `not-ended`, `already-rated`, `rating-closed`.
    """
    return await _rate(placement_id, body, worker, unit, sealer, "worker")


@routes.post("/ratings/{placement_id}/of-worker", status_code=201)
async def rate_worker(
    placement_id: str, body: WorkerRating, employer: Employer, unit: InUnit, sealer: InSealer
) -> RatingsView:
    """The employer rates the worker, once. 409 as for the other."""
    return await _rate(placement_id, body, employer, unit, sealer, "employer")


@routes.get("/ratings/{placement_id}")
async def read_ratings(placement_id: str, caller: Anyone, unit: InUnit, sealer: InSealer) -> RatingsView:
    """What the sides said: one's own at once, the other's when it is published; clerks see what is published."""
    rated = await _readable(unit, Ratings, placement_id, caller, RATING)
    return await _ratings_view(rated, caller, sealer)


@routes.get("/ratings/of-employer/{employer_id}")
async def read_employer_average(employer_id: str, _: Anyone, unit: InUnit) -> AverageView:
    """How an employer is rated, by the published rule, for everybody who is signed in."""
    return await _average_view(unit, "employer", employer_id)


@routes.get("/ratings/of-worker/{worker_id}")
async def read_worker_average(worker_id: str, caller: Anyone, unit: InUnit) -> AverageView:
    """How a worker is rated, by the published rule: for the worker, employers and clerks."""
    if caller.id != worker_id and caller.role not in ("employer", "clerk", "operator"):
        raise Missing(RATING)
    return await _average_view(unit, "worker", worker_id)


async def _rate(
    placement_id: str,
    body: EmployerRating | WorkerRating,
    caller: Caller,
    unit: Unit,
    sealer: PersonalSealer,
    side: Side,
) -> RatingsView:
    shift = await _readable(unit, Shift, placement_id, caller, SHIFT)
    if shift.status != "ended":
        raise Conflict("not-ended", NOT_ENDED)
    rated = await unit.get(Ratings, placement_id) or Ratings(id=placement_id, parties=shift.parties)
    if rated.by(side):
        raise Conflict("already-rated", ALREADY_RATED)
    if unit.now >= ratings.closes_at(shift):
        raise Conflict("rating-closed", RATING_CLOSED, closed=_local(ratings.closes_at(shift)))
    worker_id, field = shift.parties.worker_id, f"rating-by-{side}"
    sealed = await sealer.seal(body.text, of=worker_id, field=field) if body.text else None
    mark = Mark(points=body.points, codes=body.codes, sealed=sealed, at=unit.now)
    ratings.rate(unit, rated, shift, side, mark)
    return await _ratings_view(rated, caller, sealer)


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
            refused_for=cover.refused_for,
            trouble=cover.trouble,
        ),
    )


async def _ratings_view(rated: Ratings, caller: Caller, sealer: PersonalSealer) -> RatingsView:
    async def view(side: Side) -> MarkView | None:
        mark = rated.by(side)
        if mark is None or not (rated.published_at or caller.role == side):
            return None
        text = await sealer.opened(mark.sealed, of=rated.parties.worker_id, field=f"rating-by-{side}")
        return MarkView(points=mark.points, codes=mark.codes, text=text, at=mark.at)

    return RatingsView(
        placement_id=rated.id,
        published_at=rated.published_at,
        by_worker=await view("worker"),
        by_employer=await view("employer"),
    )


async def _average_view(unit: Unit, side: Side, person_id: str) -> AverageView:
    n, hundredths = await ratings.average_of(unit, side, person_id)
    return AverageView(
        person_id=person_id,
        average=None if hundredths is None else hundredths / 100,
        ratings=n,
        days=POLICY.ratings.average_days,
        least=POLICY.ratings.average_least,
    )


async def _shift_view(shift: Shift, sealer: PersonalSealer) -> ShiftView:
    proof = ProofView(**(dict(shift.proof) | {"note": await proofs.note_of(shift, sealer)}))
    return ShiftView(placement_id=shift.id, gig_id=shift.parties.gig_id, **(dict(shift) | {"proof": proof}))


def _pay_view(pay: Payment) -> PayView:
    return PayView(placement_id=pay.id, status=pay.status, **pay.parties.model_dump(), **dict(pay))


add_routes(routes, RULES)
