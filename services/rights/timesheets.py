"""Timesheets over HTTP: the employer approves or disputes, the worker agrees, a clerk decides."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.rights import attendance, cases, evidence, hours
from services.rights.store import RULES, DisputeReason, Payment, SheetStatus, Shift, Timesheet, may_read, readable
from shared.audit import audit
from shared.auth import Anyone, Caller, Clerk, Employer, Worker
from shared.http import InSealer, InUnit, UnitRoute
from shared.problems import Conflict, Invalid, Missing, Text
from shared.sealed import PersonalSealer
from shared.unit import Unit

routes = APIRouter(route_class=UnitRoute)

TIMESHEET = Text("timesheet", "工时单")
NOT_OPEN = {
    "disputed": Text("This timesheet is disputed already.", "该工时单已提出异议。"),
    "approved": Text("This timesheet is approved already.", "该工时单已确认。"),
    "settled": Text("This timesheet is settled already.", "该工时单已有最终结论。"),
}
NOT_DISPUTED = Text("Nobody has disputed this timesheet.", "该工时单没有异议。")
TOO_LATE = Text("It could be answered until {until}; what is recorded stands.", "答复期限为 {until}，工时以记录为准。")
MORE_THAN_PLANNED = Text("must be at most {most}, the minutes of the planned shift", "不得超过计划班次的 {most} 分钟")
AS_RECORDED = Text("are the recorded minutes: approve them instead", "与记录的分钟数相同，请直接确认")

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=500)]
Minutes = Annotated[int, Field(ge=0)]


class TimesheetView(BaseModel):
    """`minutes` as recorded; `settled_minutes` count instead where a dispute was settled.

    A dispute that nobody has settled for long is `escalated_at`; at `settle_by` the recorded minutes stand (`lapse`).
    """

    placement_id: str
    worker_id: str
    employer_id: str
    gig_id: str
    started_at: datetime
    ended_at: datetime
    minutes: int
    answer_by: datetime
    status: SheetStatus
    approved_by: Literal["employer", "deadline"] | None
    answered_at: datetime | None
    claimed_minutes: int | None
    reason: DisputeReason | None
    note: str | None
    settle_by: datetime | None
    escalated_at: datetime | None
    settled_by: Literal["worker", "clerk", "lapse"] | None
    settled_at: datetime | None
    settled_minutes: int | None
    grounds: str | None


class TimesheetPage(BaseModel):
    items: list[TimesheetView]
    next: str | None


class Dispute(BaseModel):
    """What the employer says was worked, and why. `note` is kept encrypted, and shown to both sides and clerks."""

    model_config = ConfigDict(extra="forbid")

    minutes: Minutes
    reason: DisputeReason
    note: Words | None = None


class Decision(BaseModel):
    """What a clerk finds was worked, and on what grounds, which are kept encrypted and shown to both sides."""

    model_config = ConfigDict(extra="forbid")

    minutes: Minutes
    grounds: Words


@routes.get("/timesheets")
async def list_timesheets(
    caller: Anyone,
    unit: InUnit,
    sealer: InSealer,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=200, description="the `next` of the page before")] = None,
    waiting: Annotated[
        Literal["disputed", "escalated"] | None, Query(description="only those that wait for somebody to settle them")
    ] = None,
) -> TimesheetPage:
    """The caller's timesheets, newest first; a clerk's are those of the clerk's districts."""
    only: dict[str, Any] = {"status": "disputed"} if waiting else {}
    if waiting == "escalated":
        only["escalated_at"] = {"$ne": None}
    found = await readable(unit, Timesheet, caller, limit=limit, after=after, only=only)
    await sealer.load(one.parties.worker_id for one in found)
    last = found[-1].id if len(found) == limit else None
    return TimesheetPage(items=[await _view(one, sealer) for one in found], next=last)


@routes.get("/timesheets/{placement_id}")
async def read_timesheet(placement_id: str, caller: Anyone, unit: InUnit, sealer: InSealer) -> TimesheetView:
    return await _view(await _readable(unit, placement_id, caller), sealer)


@routes.post("/timesheets/{placement_id}/approve")
async def approve_timesheet(placement_id: str, employer: Employer, unit: InUnit, sealer: InSealer) -> TimesheetView:
    """The recorded minutes are right. 409: `timesheet-approved`, `timesheet-disputed`, `timesheet-settled`."""
    sheet = await _open(unit, placement_id, employer)
    await hours.approve(unit, sheet, by="employer", at=unit.now)
    return await _view(sheet, sealer)


@routes.post("/timesheets/{placement_id}/dispute")
async def dispute_timesheet(
    placement_id: str, employer: Employer, unit: InUnit, sealer: InSealer, body: Dispute
) -> TimesheetView:
    """It was other minutes, once and until `answer_by`. What is due stays due until it is settled.

    409: `timesheet-approved`, `timesheet-disputed`, `timesheet-settled`, `too-late`.
    """
    sheet = await _open(unit, placement_id, employer)
    if unit.now >= sheet.answer_by:
        until = sheet.answer_by.astimezone(attendance.zone()).isoformat(timespec="minutes")
        raise Conflict("too-late", TOO_LATE, until=until)
    await _check_minutes(unit, sheet, body.minutes)
    if body.minutes == sheet.minutes:
        raise Invalid("minutes", AS_RECORDED)
    note = await sealer.seal(body.note, of=sheet.parties.worker_id, field="dispute_note") if body.note else None
    rules = await RULES.of(unit, sheet.parties.district)
    hours.dispute(unit, sheet, body.minutes, body.reason, note, rules)
    return await _view(sheet, sealer)


@routes.post("/timesheets/{placement_id}/agree")
async def agree_to_correction(placement_id: str, worker: Worker, unit: InUnit, sealer: InSealer) -> TimesheetView:
    """The worker agrees to the employer's minutes. 409: `not-disputed`, `timesheet-settled`."""
    sheet = await _disputed(unit, placement_id, worker)
    await _settle(unit, sheet, sheet.claimed_minutes or 0, worker)
    return await _view(sheet, sealer)


async def _settle(unit: Unit, sheet: Timesheet, minutes: int, caller: Caller, grounds: bytes | None = None) -> None:
    await hours.settle(unit, sheet, minutes, by="worker" if caller.role == "worker" else "clerk", grounds=grounds)
    if await unit.get(Payment, sheet.id) is None:
        await cases.end_arrears(unit, sheet.id, "unfounded", by=caller.id)


@routes.post("/timesheets/{placement_id}/decide")
async def decide_dispute(
    placement_id: str, clerk: Clerk, unit: InUnit, sealer: InSealer, body: Decision
) -> TimesheetView:
    """A clerk of the district says what was worked; recorded. 409: `not-disputed`, `timesheet-settled`."""
    sheet = await _disputed(unit, placement_id, clerk)
    await _check_minutes(unit, sheet, body.minutes)
    grounds = await sealer.seal(body.grounds, of=sheet.parties.worker_id, field="grounds")
    await _settle(unit, sheet, body.minutes, clerk, grounds)
    facts = {"placement_id": sheet.id, "recorded": sheet.minutes, "claimed": sheet.claimed_minutes}
    await audit(unit, clerk.id, "timesheet decided", minutes=body.minutes, **facts)
    return await _view(sheet, sealer)


async def _readable(unit: Unit, placement_id: str, caller: Caller) -> Timesheet:
    sheet = await unit.get(Timesheet, placement_id)
    if sheet is None or not may_read(caller, sheet.parties):
        raise Missing(TIMESHEET)
    return sheet


async def _open(unit: Unit, placement_id: str, employer: Caller) -> Timesheet:
    sheet = await _readable(unit, placement_id, employer)
    if sheet.status != "open":
        raise Conflict(f"timesheet-{sheet.status}", NOT_OPEN[sheet.status])
    return sheet


async def _disputed(unit: Unit, placement_id: str, caller: Caller) -> Timesheet:
    sheet = await _readable(unit, placement_id, caller)
    if sheet.status == "settled":
        raise Conflict("timesheet-settled", NOT_OPEN["settled"])
    if sheet.status != "disputed":
        raise Conflict("not-disputed", NOT_DISPUTED)
    return sheet


async def _check_minutes(unit: Unit, sheet: Timesheet, minutes: int) -> None:
    shift = await unit.get(Shift, sheet.id)
    if shift and minutes > shift.period.minutes:
        raise Invalid("minutes", MORE_THAN_PLANNED, most=shift.period.minutes)


async def _view(sheet: Timesheet, sealer: PersonalSealer) -> TimesheetView:
    words = await evidence.sheet_words(sheet, sealer)
    return TimesheetView(
        placement_id=sheet.id, **sheet.parties.model_dump(exclude={"district"}), **(dict(sheet) | words)
    )
