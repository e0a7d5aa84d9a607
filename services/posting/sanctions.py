"""What a sanction keeps an employer from: new posts, and amendments by which an open gig would hire more."""

from services.posting import lifecycle
from services.posting.store import Employer, gigs_not_closed
from shared import sanctions
from shared.contracts.rights import SanctionSet
from shared.problems import Text
from shared.sanctions import Refusal
from shared.unit import Unit

REFUSAL = Refusal(
    "employer-sanctioned",
    Text(
        "New posts, and changes by which a gig would hire more, are refused until {until} by sanction {sanction_id}. "
        "You may appeal: POST /api/rights/sanctions/{sanction_id}/appeal.",
        "因处理措施 {sanction_id}，{until} 前不能发布岗位，也不能扩大或改换在招岗位。"
        "可以申诉：POST /api/rights/sanctions/{sanction_id}/appeal。",
    ),
    Text(
        "New posts, and changes by which a gig would hire more, are refused by sanction {sanction_id} until it is "
        "lifted. You may appeal: POST /api/rights/sanctions/{sanction_id}/appeal.",
        "处理措施 {sanction_id} 解除前不能发布岗位，也不能扩大或改换在招岗位。"
        "可以申诉：POST /api/rights/sanctions/{sanction_id}/appeal。",
    ),
)


async def may_hire(unit: Unit, employer: Employer) -> None:
    """Raises `Conflict` employer-sanctioned. The employer is saved, so that a sanction at the same moment collides."""
    await sanctions.may_go_on(unit, employer.id, REFUSAL)
    unit.save(employer)


async def hear(unit: Unit, event: SanctionSet) -> None:
    """Keep a sanction on an employer; one that suspends closes what is open. Nothing when it is known."""
    sanction = await sanctions.hear(unit, event)
    if sanction is None:
        return
    employer = await unit.get(Employer, event.party_id)
    if employer is not None:
        unit.save(employer)
    if event.kind == "suspend" and sanction.in_force(unit.now):
        for gig in await gigs_not_closed(unit, event.party_id):
            lifecycle.close(unit, gig, "suspended")
