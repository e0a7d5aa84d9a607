"""A timesheet from the shift's end until its minutes stand: approved, or disputed and settled."""

from datetime import datetime
from typing import Literal

from services.rights import attendance, reliability
from services.rights.rules import Rules
from services.rights.store import DisputeReason, Payment, Shift, Timesheet
from shared.contracts import Event
from shared.contracts.rights import (
    TimesheetApproved,
    TimesheetDisputed,
    TimesheetEscalated,
    TimesheetLapsed,
    TimesheetSettled,
    TimesheetUnanswered,
)
from shared.unit import Unit

DISPUTE = "timesheet-dispute"
DISPUTE_END = "timesheet-dispute-end"


async def approve(unit: Unit, sheet: Timesheet, *, by: Literal["employer", "deadline"], at: datetime) -> None:
    """The minutes stand as they were recorded."""
    sheet.status, sheet.approved_by, sheet.answered_at = "approved", by, at
    unit.save(sheet)
    _answered(unit, sheet)
    unit.publish(
        TimesheetApproved(placement_id=sheet.id, minutes=sheet.minutes, by=by, at=at, **sheet.parties.model_dump())
    )
    await _note_work(unit, sheet, TimesheetApproved)


async def _note_work(unit: Unit, sheet: Timesheet, cause: type[Event]) -> None:
    await reliability.note(unit, reliability.Party.of("worker", sheet.parties), "worked", sheet.id, cause)


def remind(unit: Unit, sheet: Timesheet) -> None:
    """Say that nobody has answered yet. Nothing where somebody has, or nobody can any more."""
    if sheet.status == "open" and unit.now < sheet.answer_by:
        unit.publish(
            TimesheetUnanswered(
                placement_id=sheet.id,
                minutes=sheet.minutes,
                answer_by=sheet.answer_by,
                at=unit.now,
                **sheet.parties.model_dump(),
            )
        )


def dispute(
    unit: Unit, sheet: Timesheet, minutes: int, reason: DisputeReason, note: bytes | None, rules: Rules
) -> None:
    """The employer says that it was `minutes`. What is due stays due: who doubts has to show it."""
    sheet.status, sheet.answered_at = "disputed", unit.now
    sheet.claimed_minutes, sheet.reason, sheet.note = minutes, reason, note
    sheet.settle_by = unit.now + rules.dispute_lasts
    unit.save(sheet)
    _answered(unit, sheet)
    unit.set_timer(DISPUTE, sheet.id, unit.now + rules.dispute_escalates)
    unit.set_timer(DISPUTE_END, sheet.id, sheet.settle_by)
    unit.publish(
        TimesheetDisputed(
            placement_id=sheet.id,
            minutes=sheet.minutes,
            claimed_minutes=minutes,
            reason=reason,
            at=unit.now,
            **sheet.parties.model_dump(),
        )
    )


def escalate(unit: Unit, sheet: Timesheet) -> None:
    """A dispute has waited for long: clerks see it as urgent, and both sides hear of it. Once."""
    if sheet.status != "disputed" or sheet.escalated_at or sheet.settle_by is None:
        return
    sheet.escalated_at = unit.now
    unit.save(sheet)
    unit.publish(
        TimesheetEscalated(
            placement_id=sheet.id,
            minutes=sheet.minutes,
            claimed_minutes=sheet.claimed_minutes or 0,
            settle_by=sheet.settle_by,
            at=unit.now,
            **sheet.parties.model_dump(),
        )
    )


async def lapse(unit: Unit, sheet: Timesheet) -> None:
    """Nobody settled a dispute in its time: the minutes stand as recorded, and pay stays as it is."""
    if sheet.status != "disputed":
        return
    _settled(unit, sheet, sheet.minutes, "lapse")
    unit.publish(
        TimesheetLapsed(placement_id=sheet.id, minutes=sheet.minutes, at=unit.now, **sheet.parties.model_dump())
    )
    await _note_work(unit, sheet, TimesheetLapsed)


async def settle(
    unit: Unit, sheet: Timesheet, minutes: int, *, by: Literal["worker", "clerk"], grounds: bytes | None = None
) -> None:
    """So many minutes count, and pay that was not confirmed yet follows."""
    sheet.grounds = grounds
    _settled(unit, sheet, minutes, by)
    unit.publish(
        TimesheetSettled(placement_id=sheet.id, minutes=minutes, by=by, at=unit.now, **sheet.parties.model_dump())
    )
    shift = await unit.get(Shift, sheet.id)
    if shift:
        attendance.correct(unit, shift, await unit.get(Payment, sheet.id), minutes)
    if minutes:
        await _note_work(unit, sheet, TimesheetSettled)


def _answered(unit: Unit, sheet: Timesheet) -> None:
    for timer in (attendance.TIMESHEET, attendance.TIMESHEET_REMINDER):
        unit.cancel_timer(timer, sheet.id)


def _settled(unit: Unit, sheet: Timesheet, minutes: int, by: Literal["worker", "clerk", "lapse"]) -> None:
    sheet.status, sheet.settled_by, sheet.settled_at, sheet.settled_minutes = "settled", by, unit.now, minutes
    unit.save(sheet)
    for timer in (DISPUTE, DISPUTE_END):
        unit.cancel_timer(timer, sheet.id)
