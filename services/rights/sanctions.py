"""What keeps an employer from posting, or a worker from waiting for work.

Set by a clerk or a rule, ended by time, a lift, or an appeal.
"""

from datetime import datetime
from typing import Literal

from services.rights import appeals
from services.rights.appeals import AppealDecision
from services.rights.rules import Side
from services.rights.store import Appeal, Sanction
from shared import clock
from shared.contracts.rights import SanctionLifted, SanctionSet
from shared.problems import Conflict, Text
from shared.unit import Unit

SANCTION_END = "sanction-end"

NOT_IN_FORCE = Text("This sanction is not in force any more.", "该处理措施已不再有效。")


def impose(
    unit: Unit,
    party: Side,
    party_id: str,
    district: str,
    kind: Literal["block", "suspend"],
    reason: str,
    *,
    until: datetime | None,
    case_id: str | None,
    by: str,
) -> Sanction:
    """Set a sanction on an employer or a worker from now on."""
    made = Sanction(
        id=clock.new_id(),
        party=party,
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


def appeal(unit: Unit, sanction: Sanction, made: Appeal) -> None:
    """Say why it is wrong. Raises `Conflict` appeal-decided, sanction-over."""
    appeals.may_appeal(sanction.appeal)
    if not sanction.in_force(unit.now):
        raise Conflict("sanction-over", NOT_IN_FORCE)
    sanction.appeal = made
    unit.save(sanction)


def decide(unit: Unit, sanction: Sanction, decision: AppealDecision, *, by: str) -> None:
    """Decide on an appeal; one that is upheld ends the sanction. Raises as `appeals.decide`."""
    appeals.decide(sanction.appeal, decision, by=by, now=unit.now, decided_by=sanction.by)
    unit.save(sanction)
    if decision.upheld:
        lift(unit, sanction, "appeal")
