"""A shift's start and end, and the pay that follows: for the worker's commands, for timers, for cancellations."""

from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from services.rights import domain
from services.rights.rules import POLICY
from services.rights.store import Payment, Shift
from shared.contracts.rights import PayDue, ShiftEnded, ShiftStarted
from shared.contracts.terms import PayUnit
from shared.settings import Settings
from shared.unit import Unit

SHIFT_END = "shift-end"
PAY_OVERDUE = "pay-overdue"


def start(unit: Unit, shift: Shift) -> None:
    """The worker begins now; a shift that nobody ends is ended when it was planned to."""
    shift.status, shift.started_at = "started", unit.now
    unit.save(shift)
    unit.publish(ShiftStarted(placement_id=shift.id, at=unit.now, **shift.parties.model_dump()))
    unit.set_timer(SHIFT_END, shift.id, shift.period.end)


def end(unit: Unit, shift: Shift, at: datetime, *, pieces: int | None = None, automatic: bool = False) -> None:
    """The shift ends at `at`, at the latest when it was planned to; its pay falls due if it can be reckoned already."""
    started = shift.started_at or shift.period.start
    shift.status, shift.ended_at, shift.automatic = "ended", max(started, min(at, shift.period.end)), automatic
    shift.minutes = domain.worked_minutes(shift.period, started, shift.ended_at)
    unit.save(shift)
    unit.cancel_timer(SHIFT_END, shift.id)
    unit.publish(
        ShiftEnded(placement_id=shift.id, at=shift.ended_at, minutes=shift.minutes, **shift.parties.model_dump())
    )
    if shift.pay.unit != PayUnit.piece or pieces is not None:
        settle(unit, shift, shift.ended_at, pieces=pieces)


def awaits_pieces(shift: Shift) -> bool:
    """True of a piece-paid shift that was ended for its worker: only the worker can say how many pieces it gave."""
    return shift.status == "ended" and shift.pay.unit == PayUnit.piece and shift.pieces is None


def settle(unit: Unit, shift: Shift, known_at: datetime, *, pieces: int | None) -> None:
    """What is owed is known since `known_at`: it falls due from then. Nothing is due for no work."""
    shift.pieces = pieces
    unit.save(shift)
    amount = domain.amount_fen(shift.pay, shift.minutes or 0, pieces or 0)
    if not amount:
        return
    due_at = domain.due_at(shift.pay.mode, known_at, zone(), POLICY.pay)
    unit.save(Payment(id=shift.id, parties=shift.parties, amount_fen=amount, mode=shift.pay.mode, due_at=due_at))
    unit.publish(
        PayDue(placement_id=shift.id, amount_fen=amount, due_at=due_at, **shift.parties.model_dump(exclude={"gig_id"}))
    )
    unit.set_timer(PAY_OVERDUE, shift.id, due_at)


@cache
def zone() -> ZoneInfo:
    """The zone whose days and weeks count: KUAIZHAO_ZONE. Timers reach no settings but the environment's."""
    return ZoneInfo(Settings().zone)
