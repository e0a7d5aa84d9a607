"""What keeps an employer from posting: set by a clerk or a rule, ended by time, a lift, or an appeal."""

from datetime import datetime
from typing import Literal

from services.rights.store import Sanction, SanctionAppeal
from shared import clock
from shared.contracts.rights import SanctionLifted, SanctionSet
from shared.problems import Conflict, Forbidden, Text
from shared.unit import Unit

SANCTION_END = "sanction-end"

NOT_IN_FORCE = Text("This sanction is not in force any more.", "该处理措施已不再有效。")
APPEAL_DECIDED = Text("The appeal has been decided.", "申诉已有结论。")
NO_APPEAL = Text("Nobody has appealed against it.", "尚无人对其提出申诉。")
SAME_CLERK = Text(
    "You set this sanction; the appeal is for somebody else to decide.",
    "该处理措施由您作出，申诉须由其他工作人员处理。",
)


def impose(
    unit: Unit,
    party_id: str,
    district: str,
    kind: Literal["block", "suspend"],
    reason: str,
    *,
    until: datetime | None,
    case_id: str | None,
    by: str,
) -> Sanction:
    """Set a sanction on an employer from now on."""
    made = Sanction(
        id=clock.new_id(),
        party_id=party_id,
        district=district,
        kind=kind,
        reason=reason,
        since=unit.now,
        until=until,
        case_id=case_id,
        by=by,
    )
    unit.save(made)
    if until is not None:
        unit.set_timer(SANCTION_END, made.id, until)
    facts = made.model_dump(include={"party", "party_id", "district", "kind", "reason", "since", "until", "case_id"})
    unit.publish(SanctionSet(sanction_id=made.id, **facts))
    return made


def lift(unit: Unit, sanction: Sanction, reason: str) -> None:
    """End it; nothing happens when it has ended."""
    if sanction.lifted_at is not None:
        return
    sanction.lifted_at, sanction.lifted_for = unit.now, reason
    unit.save(sanction)
    unit.cancel_timer(SANCTION_END, sanction.id)
    facts = sanction.model_dump(include={"party", "party_id", "district"})
    unit.publish(SanctionLifted(sanction_id=sanction.id, reason=reason, at=unit.now, **facts))


async def lift_for_case(unit: Unit, case_id: str, reason: str) -> None:
    """End all that were set because of a case."""
    for sanction in await unit.find(Sanction, {"case_id": case_id, "lifted_at": None}):
        lift(unit, sanction, reason)


def appeal(unit: Unit, sanction: Sanction, text: bytes) -> None:
    """Say why it is wrong; anew until somebody has decided, which happens once. Raises `Conflict`."""
    if sanction.appeal and sanction.appeal.state != "waiting":
        raise Conflict("appeal-decided", APPEAL_DECIDED)
    if not sanction.in_force(unit.now):
        raise Conflict("sanction-over", NOT_IN_FORCE)
    sanction.appeal = SanctionAppeal(text=text, at=unit.now)
    unit.save(sanction)


def decide(unit: Unit, sanction: Sanction, *, upheld: bool, reason: str, by: str) -> None:
    """Another clerk decides on an appeal; one that is upheld ends the sanction. Raises `Conflict` or `Forbidden`."""
    if sanction.appeal is None:
        raise Conflict("no-appeal", NO_APPEAL)
    if sanction.appeal.state != "waiting":
        raise Conflict("appeal-decided", APPEAL_DECIDED)
    if sanction.by == by:
        raise Forbidden(SAME_CLERK, code="same-clerk")
    sanction.appeal.state = "upheld" if upheld else "refused"
    sanction.appeal.reason, sanction.appeal.decided_by, sanction.appeal.decided_at = reason, by, unit.now
    unit.save(sanction)
    if upheld:
        lift(unit, sanction, "appeal")
