"""A case from its intake to its outcome, its time limits, and the arrears that open one by themselves."""

from datetime import date, datetime, timedelta
from typing import Literal

from services.rights import attendance, clocks, reliability, sanctions
from services.rights.clocks import Authority, CaseKind, CaseOutcome, CaseState
from services.rights.rules import POLICY
from services.rights.store import Case, Limit, Payment, Step
from shared import clock
from shared.contracts.rights import (
    CaseAdvanced,
    CaseClosed,
    CaseEscalated,
    CaseInvited,
    CaseOpened,
    PayContested,
    PayOverdue,
)
from shared.problems import Conflict, Text
from shared.unit import Unit

CASE_LIMIT = "case-limit"
PAY_ARREARS = "pay-arrears"

ARREARS_CASE = Text(
    "There is a case about this pay already, number {receipt}; it is {now}.",
    "该报酬已有维权案件，受理编号 {receipt}，当前状态为 {now}。",
)
NOT_NEXT = Text("A case that is {now} cannot be {to} next.", "案件当前为 {now}，不能直接变为 {to}。")
NO_MEETING = Text(
    "There is no mediation and no hearing of a case that is {now}.", "案件当前为 {now}，没有调解或庭审安排。"
)
NO_LIMIT = Text("No such time limit runs for this case.", "该案件没有正在计算的该项时限。")
NOT_EXTENDABLE = Text(
    "This time limit cannot be extended, or it was once already.", "该时限不能延长，或已经延长过一次。"
)
NOT_MARKED_PAID = Text("The employer has not marked this pay as paid.", "用工方尚未将该报酬标记为已支付。")


def arrears_id(placement_id: str) -> str:
    """The id of the one arrears case that a placement can have."""
    return f"{placement_id}.arrears"


async def open_case(
    unit: Unit,
    kind: CaseKind,
    worker_id: str,
    district: str,
    *,
    by: Literal["worker", "clerk", "market"],
    by_id: str,
    employer_id: str | None = None,
    placement_id: str | None = None,
    text: bytes | None = None,
    happened_on: date | None = None,
) -> Case:
    """Take a case in: it has its receipt number, and its first time limits run.

    Raises `Conflict` case-exists when it is about pay of a placement that has an arrears case.
    """
    today = unit.now.astimezone(attendance.zone()).date()
    id = clock.new_id()
    if kind == "arrears" and placement_id:
        id = arrears_id(placement_id)
        if known := await unit.get(Case, id):
            raise Conflict("case-exists", ARREARS_CASE, receipt=known.receipt, now=known.state)
    case = Case(
        id=id,
        receipt=clocks.receipt_of(id, today),
        kind=kind,
        worker_id=worker_id,
        employer_id=employer_id,
        placement_id=placement_id,
        district=district,
        text=text,
        opened_by=by,
        opened_at=unit.now,
    )
    _note(unit, case, "open", by_id)
    for limit in clocks.of_kind(kind):
        _run(unit, case, limit, happened_on or today)
    for limit in clocks.begins_with("open", None):
        _run(unit, case, limit, today)
    unit.publish(CaseOpened(by=by, at=unit.now, **_said(case)))
    return case


async def go_on(
    unit: Unit,
    case: Case,
    to: CaseState,
    *,
    by: str,
    referred_to: Authority | None = None,
    outcome: CaseOutcome | None = None,
    note: bytes | None = None,
) -> None:
    """Bring a case where it goes next: what ran for the state before is met, what is for the new one begins.

    `outcome` comes with `closed`, `referred_to` with `referred`. Raises `Conflict` case-not-there.
    """
    if to not in clocks.NEXT[case.state]:
        raise Conflict("case-not-there", NOT_NEXT, now=case.state, to=to)
    for limit in clocks.RULES.limits:
        running = case.limit(limit.name)
        if running and (to == "closed" or limit.state == case.state):
            _meet(unit, case, running)
    case.state = to
    if to == "referred":
        case.referred_to = referred_to
    today = unit.now.astimezone(attendance.zone()).date()
    for limit in clocks.begins_with(to, case.referred_to):
        _run(unit, case, limit, today)
    _note(unit, case, to, by, detail=outcome or referred_to, note=note)
    concerned = case.employer_concerned
    if to != "closed":
        unit.publish(
            CaseAdvanced(
                state=to,
                referred_to=case.referred_to,
                step=len(case.history),
                employer_concerned=concerned,
                at=unit.now,
                **_said(case),
            )
        )
    else:
        case.outcome, case.closed_at = outcome, unit.now
        said = _said(case)
        unit.publish(CaseClosed(outcome=outcome or "other", employer_concerned=concerned, at=unit.now, **said))
        await sanctions.lift_for_case(unit, case.id, "paid" if outcome == "paid" else "case-closed")
        if case.kind == "arrears" and case.placement_id and outcome == "unfounded":
            await _give_points_back(unit, case.placement_id)


MEETINGS: dict[CaseState, Literal["mediation", "hearing"]] = {"mediation": "mediation", "taken-up": "hearing"}
"""What both sides can be asked to while a case is there: ours, or the authority's that has taken it up."""


def invite(unit: Unit, case: Case, starts_at: datetime, place: bytes, *, by: str) -> None:
    """Ask both sides to a mediation or a hearing; again for another time. Raises `Conflict` no-meeting."""
    to = MEETINGS.get(case.state)
    if to is None:
        raise Conflict("no-meeting", NO_MEETING, now=case.state)
    _note(unit, case, "invited", by, detail=starts_at.isoformat(), note=place)
    unit.publish(
        CaseInvited(
            to=to,
            starts_at=starts_at,
            step=len(case.history),
            employer_concerned=case.employer_concerned,
            at=unit.now,
            **_said(case),
        )
    )


# --- time limits -----------------------------------------------------------------------------------------------------


def _run(unit: Unit, case: Case, limit: clocks.LegalLimit, began: date) -> None:
    due_at = clocks.due_at(began, limit.days, working=limit.working, zone=attendance.zone(), calendar=POLICY.pay)
    case.limits.append(Limit(name=limit.name, due_at=due_at))
    unit.set_timer(CASE_LIMIT, f"{case.id}/{limit.name}", due_at, case_id=case.id, limit=limit.name)


def _meet(unit: Unit, case: Case, limit: Limit) -> None:
    limit.met_at = unit.now
    case.escalated = any(one.passed_at and not one.met_at for one in case.limits)
    unit.cancel_timer(CASE_LIMIT, f"{case.id}/{limit.name}")


def meet(unit: Unit, case: Case, name: str, *, by: str) -> None:
    """What a limit is for was done. Raises `Conflict` no-limit when it does not run."""
    _meet(unit, case, _running(case, name))
    _note(unit, case, "limit-met", by, detail=name)


def extend(unit: Unit, case: Case, name: str, *, by: str) -> None:
    """Add what the law lets be added, once, to a limit that has not passed. Raises `Conflict`."""
    limit, rule = _running(case, name), clocks.LIMITS[name]
    if not rule.extension or limit.extended or limit.passed_at:
        raise Conflict("limit-not-extendable", NOT_EXTENDABLE)
    last_day = (limit.due_at.astimezone(attendance.zone()) - timedelta(milliseconds=1)).date()
    limit.due_at = clocks.due_at(
        last_day, rule.extension, working=rule.working, zone=attendance.zone(), calendar=POLICY.pay
    )
    limit.extended = True
    unit.set_timer(CASE_LIMIT, f"{case.id}/{name}", limit.due_at, case_id=case.id, limit=name)
    _note(unit, case, "limit-extended", by, detail=name)


def _running(case: Case, name: str) -> Limit:
    limit = case.limit(name)
    if limit is None:
        raise Conflict("no-limit", NO_LIMIT)
    return limit


def escalate(unit: Unit, case: Case, name: str) -> None:
    """A limit has gone by: said once, and shown in the clerks' queue. Nothing when it was met or called before."""
    limit = case.limit(name)
    if limit is None or limit.passed_at or unit.now < limit.due_at:
        return
    limit.passed_at = unit.now
    case.escalated = True
    _note(unit, case, "limit-passed", "market", detail=name)
    concerned = case.employer_concerned
    unit.publish(
        CaseEscalated(limit=name, due_at=limit.due_at, employer_concerned=concerned, at=unit.now, **_said(case))
    )


# --- arrears ---------------------------------------------------------------------------------------------------------


def watch(unit: Unit, pay: Payment) -> None:
    """Pay is overdue: if it still is not confirmed when the rule's time has passed, it becomes a case."""
    unit.set_timer(PAY_ARREARS, pay.id, pay.due_at + clocks.RULES.arrears.open_after)


async def call_arrears(unit: Unit, pay: Payment) -> None:
    """Open the case of unpaid work, or take up the one that its worker opened, and keep the employer from new posts.

    A case that a clerk has closed stays closed, and brings no sanction.
    """
    if pay.confirmed_at:
        return
    parties, rule = pay.parties, clocks.RULES.arrears
    case = await unit.get(Case, arrears_id(pay.id))
    if case is None:
        case = await open_case(
            unit,
            "arrears",
            parties.worker_id,
            parties.district,
            by="market",
            by_id="market",
            employer_id=parties.employer_id,
            placement_id=pay.id,
        )
    elif case.state in ("declined", "closed"):
        return
    set_ = sanctions.impose(
        unit,
        "employer",
        parties.employer_id,
        parties.district,
        rule.sanction,
        "arrears",
        until=unit.now + rule.lasts,
        case_id=case.id,
        by="market",
    )
    _note(unit, case, "sanction", "market", detail=set_.id)
    if pay.status != "paid":
        await reliability.note(unit, reliability.Party.of("employer", parties), "arrears", pay.id, CaseOpened)


async def call_late(unit: Unit, pay: Payment) -> None:
    """Pay has come due and is not paid, as far as both sides say."""
    if pay.status in ("due", "contested"):
        pay.late = True
        unit.save(pay)
        await reliability.note(unit, reliability.Party.of("employer", pay.parties), "late-pay", pay.id, PayOverdue)


async def contest(unit: Unit, pay: Payment) -> None:
    """The worker says that what was marked as paid has not arrived. Raises `Conflict` not-marked-paid."""
    if pay.status != "paid":
        raise Conflict("not-marked-paid", NOT_MARKED_PAID)
    pay.contested, pay.contested_at = True, unit.now
    unit.save(pay)
    parties = pay.parties.model_dump(exclude={"gig_id"})
    unit.publish(PayContested(placement_id=pay.id, amount_fen=pay.amount_fen, at=unit.now, **parties))
    if pay.overdue:
        await call_late(unit, pay)


async def note_pay(unit: Unit, pay: Payment, what: Literal["marked-paid", "contested"], by: str) -> None:
    """What was said of pay goes into the history of its case, which stays as it is."""
    case = await unit.get(Case, arrears_id(pay.id))
    if case and case.state != "closed":
        _note(unit, case, what, by)


async def settle_paid(unit: Unit, pay: Payment) -> None:
    """The worker has their pay."""
    await end_arrears(unit, pay.id, "paid", by=pay.parties.worker_id)


async def end_arrears(unit: Unit, placement_id: str, outcome: CaseOutcome, *, by: str) -> None:
    """Nothing is owed for a placement any more: its case is closed, wherever it is, and its sanction lifted."""
    unit.cancel_timer(PAY_ARREARS, placement_id)
    case = await unit.get(Case, arrears_id(placement_id))
    if case and case.state != "closed":
        await go_on(unit, case, "closed", by=by, outcome=outcome)
    elif outcome == "unfounded":
        await _give_points_back(unit, placement_id)


async def _give_points_back(unit: Unit, placement_id: str) -> None:
    """Nothing had been owed: neither was the employer late."""
    for rule in ("late-pay", "arrears"):
        await reliability.take_back(unit, reliability.entry_id("employer", rule, placement_id), "unfounded")


# --- what is kept and said -------------------------------------------------------------------------------------------


def _note(unit: Unit, case: Case, what: str, by: str, *, detail: str | None = None, note: bytes | None = None) -> None:
    case.history.append(Step(what=what, at=unit.now, by=by, detail=detail, note=note))
    unit.save(case)


def _said(case: Case) -> dict[str, str | None]:
    facts = ("receipt", "worker_id", "employer_id", "placement_id", "district", "kind")
    return {"case_id": case.id} | {name: getattr(case, name) for name in facts}
