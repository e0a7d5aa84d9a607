"""What rights decided against an employer, and what it keeps from being posted."""

from services.posting import lifecycle
from services.posting.store import Employer, Sanction, gigs_not_closed, sanctions_of
from shared.contracts.rights import SanctionLifted, SanctionSet
from shared.problems import Conflict, Text
from shared.unit import Unit

SANCTIONED = Text(
    "New posts are refused until {until} by sanction {sanction_id}. You may appeal: "
    "POST /api/rights/sanctions/{sanction_id}/appeal.",
    "因处理措施 {sanction_id}，{until} 前不能发布岗位。可以申诉：POST /api/rights/sanctions/{sanction_id}/appeal。",
)
SANCTIONED_FOR_GOOD = Text(
    "New posts are refused by sanction {sanction_id} until it is lifted. You may appeal: "
    "POST /api/rights/sanctions/{sanction_id}/appeal.",
    "处理措施 {sanction_id} 解除前不能发布岗位。可以申诉：POST /api/rights/sanctions/{sanction_id}/appeal。",
)


async def may_post(unit: Unit, employer_id: str) -> None:
    """Raises `Conflict` employer-sanctioned while any sanction is in force, naming the one that lasts longest."""
    held = [each for each in await sanctions_of(unit, employer_id) if each.in_force(unit.now)]
    if held:
        last = max(held, key=lambda each: (each.until is None, each.until or unit.now))
        if last.until is None:
            raise Conflict("employer-sanctioned", SANCTIONED_FOR_GOOD, sanction_id=last.id)
        raise Conflict("employer-sanctioned", SANCTIONED, sanction_id=last.id, until=last.until.isoformat())


async def hear(unit: Unit, event: SanctionSet) -> None:
    """Keep a sanction on an employer; one that suspends closes what is open. Nothing when it is known."""
    if event.party != "employer" or await unit.get(Sanction, event.sanction_id):
        return
    sanction = Sanction(
        id=event.sanction_id, employer_id=event.party_id, kind=event.kind, since=event.since, until=event.until
    )
    unit.save(sanction)
    employer = await unit.get(Employer, event.party_id)
    if employer is not None:
        unit.save(employer)  # so that a post at the same moment collides with it
    if event.kind == "suspend" and sanction.in_force(unit.now):
        for gig in await gigs_not_closed(unit, event.party_id):
            lifecycle.close(unit, gig, "suspended")


async def end(unit: Unit, event: SanctionLifted) -> None:
    """The employer may post again, if nothing else keeps it. One that is not known yet will not be in force."""
    if event.party != "employer":
        return
    sanction = await unit.get(Sanction, event.sanction_id)
    if sanction is None:
        sanction = Sanction(id=event.sanction_id, employer_id=event.party_id, kind="block", since=event.at, until=None)
    sanction.lifted_at = sanction.lifted_at or event.at
    unit.save(sanction)
