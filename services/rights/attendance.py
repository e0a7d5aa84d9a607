"""A shift's start and end, and the pay that follows: for the worker's commands, for timers, for cancellations."""

from datetime import datetime, timedelta
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo

from services.rights import domain
from services.rights.rules import POLICY
from services.rights.store import Payment, Proof, RefusedStart, Shift, Timesheet
from shared.contracts.rights import PayCorrected, PayDue, ShiftEnded, ShiftMissed, ShiftStarted
from shared.contracts.terms import PayUnit
from shared.settings import Settings
from shared.unit import Unit

SHIFT_END = "shift-end"
PAY_OVERDUE = "pay-overdue"
NO_SHOW = "no-show"
TIMESHEET = "timesheet"
TIMESHEET_REMINDER = "timesheet-reminder"


REFUSED_KEPT = 10


def start(
    unit: Unit,
    shift: Shift,
    *,
    by: Literal["worker", "employer"] = "worker",
    at: datetime | None = None,
    proof: Proof | None = None,
) -> None:
    """The worker begins, now or, by a device that had been offline, at `at`.

    A shift that nobody ends is ended when it was planned to.
    """
    shift.status, shift.started_at, shift.started_by = "started", at or unit.now, by
    shift.proof, shift.late_synced = proof or Proof(), at is not None
    unit.save(shift)
    unit.publish(ShiftStarted(placement_id=shift.id, at=shift.started_at, by=by, **shift.parties.model_dump()))
    unit.cancel_timer(NO_SHOW, shift.id)
    unit.set_timer(SHIFT_END, shift.id, shift.period.end)


def refuse(unit: Unit, shift: Shift, refused: RefusedStart) -> None:
    """Keep that somebody came with a proof that was not taken: for themselves, the employer and a clerk to see."""
    shift.refused = [*shift.refused, refused][-REFUSED_KEPT:]
    shift.wrong_codes += refused.code == "wrong-code"
    unit.save(shift)


def expect(unit: Unit, shift: Shift) -> None:
    """A shift that nobody starts will be missed."""
    unit.set_timer(NO_SHOW, shift.id, missed_at(shift, unit.now))


def missed_at(shift: Shift, heard: datetime) -> datetime:
    """When it is missed, if nobody starts it until then: at the earliest so long after we heard of it."""
    return max(shift.arrive_by or shift.period.start, heard) + timedelta(minutes=shift.no_show_minutes)


def miss(unit: Unit, shift: Shift, due_at: datetime) -> bool:
    """It is past the time at which somebody should have started; True when it is missed now.

    When it is long past, we were away and nobody could start either: they have as long again.
    """
    grace = timedelta(minutes=shift.no_show_minutes)
    if unit.now >= due_at + grace:
        unit.set_timer(NO_SHOW, shift.id, unit.now + grace)
        return False
    shift.status = "missed"
    unit.save(shift)
    unit.publish(ShiftMissed(placement_id=shift.id, at=due_at, **shift.parties.model_dump()))
    return True


def end(
    unit: Unit,
    shift: Shift,
    at: datetime,
    *,
    pieces: int | None = None,
    automatic: bool = False,
    compensation_fen: int = 0,
) -> None:
    """The shift ends at `at`, at the latest when it was planned to; its pay falls due if it can be reckoned already.

    `compensation_fen`: it was cancelled before its time had come, and this is owed instead.
    """
    started = shift.started_at or shift.period.start
    shift.status, shift.ended_at, shift.automatic = "ended", max(started, min(at, shift.period.end)), automatic
    shift.minutes = domain.worked_minutes(shift.period, started, shift.ended_at)
    unit.save(shift)
    unit.cancel_timer(SHIFT_END, shift.id)
    unit.publish(
        ShiftEnded(placement_id=shift.id, at=shift.ended_at, minutes=shift.minutes, **shift.parties.model_dump())
    )
    if shift.minutes:
        _ask(unit, shift, started, shift.ended_at, shift.minutes)
    if compensation_fen:
        compensate(unit, shift, compensation_fen)
    elif shift.pay.unit != PayUnit.piece or pieces is not None:
        settle(unit, shift, shift.ended_at, pieces=pieces)


def _ask(unit: Unit, shift: Shift, started: datetime, ended: datetime, minutes: int) -> None:
    """The employer has so long from now to answer for the minutes."""
    answer_by = unit.now + timedelta(hours=shift.timesheet_hours)
    sheet = Timesheet(
        id=shift.id, parties=shift.parties, started_at=started, ended_at=ended, minutes=minutes, answer_by=answer_by
    )
    unit.save(sheet)
    unit.set_timer(TIMESHEET, shift.id, answer_by)
    if 0 < shift.reminder_hours < shift.timesheet_hours:
        unit.set_timer(TIMESHEET_REMINDER, shift.id, answer_by - timedelta(hours=shift.reminder_hours))


def awaits_pieces(shift: Shift) -> bool:
    """True of a piece-paid shift that was ended for its worker: only the worker can say how many pieces it gave."""
    return shift.status == "ended" and shift.pay.unit == PayUnit.piece and shift.pieces is None


def settle(unit: Unit, shift: Shift, known_at: datetime, *, pieces: int | None) -> None:
    """What is owed is known since `known_at`: it falls due from then. Nothing is due for no work."""
    shift.pieces = pieces
    unit.save(shift)
    _owe(unit, shift, _amount(shift, shift.minutes or 0), known_at, "work")


def correct(unit: Unit, shift: Shift, owed: Payment | None, minutes: int) -> None:
    """A settled timesheet has so many minutes: what is owed for the work follows, until it was confirmed.

    It stays due when it was. Where nothing is owed any more, there is nothing to pay or to be late with.
    """
    if owed is None or owed.reason != "work" or owed.confirmed_at:
        return
    amount = _amount(shift, minutes)
    if amount == owed.amount_fen:
        return
    owed.amount_fen = amount
    unit.save(owed)
    unit.publish(
        PayCorrected(
            placement_id=shift.id,
            amount_fen=amount,
            due_at=owed.due_at,
            **shift.parties.model_dump(exclude={"gig_id"}),
        )
    )
    if not amount:
        unit.delete(owed)
        unit.cancel_timer(PAY_OVERDUE, owed.id)


def _amount(shift: Shift, minutes: int) -> int:
    part = shift.period.minutes if shift.arrive_by else None
    return domain.amount_fen(shift.pay, minutes, shift.pieces or 0, of_minutes=part)


def compensate(unit: Unit, shift: Shift, amount_fen: int) -> None:
    """The employer cancelled late: what it owes for that is due when the pay of the shift would have been."""
    if awaits_pieces(shift):
        shift.pieces = 0
        unit.save(shift)
    _owe(unit, shift, amount_fen, max(shift.period.end, unit.now), "cancellation")


def _owe(
    unit: Unit, shift: Shift, amount_fen: int, known_at: datetime, reason: Literal["work", "cancellation"]
) -> None:
    if not amount_fen:
        return
    due_at = domain.due_at(shift.pay.mode, known_at, zone(), POLICY.pay)
    owed = Payment(
        id=shift.id, parties=shift.parties, amount_fen=amount_fen, mode=shift.pay.mode, reason=reason, due_at=due_at
    )
    unit.save(owed)
    unit.publish(
        PayDue(
            placement_id=shift.id,
            amount_fen=amount_fen,
            due_at=due_at,
            reason=reason,
            **shift.parties.model_dump(exclude={"gig_id"}),
        )
    )
    unit.set_timer(PAY_OVERDUE, shift.id, due_at)


@cache
def zone() -> ZoneInfo:
    """The zone whose days and weeks count: KUAIZHAO_ZONE. Timers reach no settings but the environment's."""
    return ZoneInfo(Settings().zone)
