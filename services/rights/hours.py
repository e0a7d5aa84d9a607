"""A timesheet from the shift's end until its minutes stand: approved, or disputed and settled."""

from datetime import datetime
from typing import Literal

from services.rights import attendance, reliability
from services.rights.store import DisputeReason, Payment, Shift, Timesheet
from shared.contracts import Event
from shared.contracts.rights import TimesheetApproved, TimesheetDisputed, TimesheetSettled
from shared.unit import Unit


async def approve(unit: Unit, sheet: Timesheet, *, by: Literal["employer", "deadline"], at: datetime) -> None:
    """The minutes stand as they were recorded."""
    sheet.status, sheet.approved_by, sheet.answered_at = "approved", by, at
    unit.save(sheet)
    unit.cancel_timer(attendance.TIMESHEET, sheet.id)
    unit.publish(
        TimesheetApproved(placement_id=sheet.id, minutes=sheet.minutes, by=by, at=at, **sheet.parties.model_dump())
    )
    await _note_work(unit, sheet, TimesheetApproved)


async def _note_work(unit: Unit, sheet: Timesheet, cause: type[Event]) -> None:
    await reliability.note(unit, reliability.Party.of("worker", sheet.parties), "worked", sheet.id, cause)


def dispute(unit: Unit, sheet: Timesheet, minutes: int, reason: DisputeReason, note: bytes | None) -> None:
    """The employer says that it was `minutes`. What is due stays due: who doubts has to show it."""
    sheet.status, sheet.answered_at = "disputed", unit.now
    sheet.claimed_minutes, sheet.reason, sheet.note = minutes, reason, note
    unit.save(sheet)
    unit.cancel_timer(attendance.TIMESHEET, sheet.id)
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


async def settle(
    unit: Unit, sheet: Timesheet, minutes: int, *, by: Literal["worker", "clerk"], grounds: bytes | None = None
) -> None:
    """So many minutes count, and pay that was not confirmed yet follows."""
    sheet.status, sheet.settled_by, sheet.settled_at = "settled", by, unit.now
    sheet.settled_minutes, sheet.grounds = minutes, grounds
    unit.save(sheet)
    unit.publish(
        TimesheetSettled(placement_id=sheet.id, minutes=minutes, by=by, at=unit.now, **sheet.parties.model_dump())
    )
    shift = await unit.get(Shift, sheet.id)
    if shift:
        attendance.correct(unit, shift, await unit.get(Payment, sheet.id), minutes)
    if minutes:
        await _note_work(unit, sheet, TimesheetSettled)
