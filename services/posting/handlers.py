"""What posting does when a placement is made or cancelled, an agency offers a gig, and a time has come."""

from services.posting import lifecycle, sanctions, turns
from services.posting.personal import PERSONAL
from services.posting.store import RULES, Employer, Gig, Placement
from shared import sanctions as heard
from shared.contracts.agencies import GigOffered
from shared.contracts.identity import AccountErased
from shared.contracts.matching import PlacementCancelled, PlacementMade
from shared.contracts.rights import SanctionLifted, SanctionSet
from shared.personal import erase
from shared.reactions import Reactions
from shared.unit import Document, Timer, Unit

react = Reactions()


def _gig_and_placement(event: PlacementMade | PlacementCancelled) -> tuple[tuple[type[Document], str], ...]:
    return (Gig, event.gig_id), (Placement, event.placement_id)


@react.to(PlacementMade, needs=_gig_and_placement)
async def take_seat(event: PlacementMade, unit: Unit) -> None:
    await lifecycle.count_placement(unit, event.gig_id, event.placement_id, stands=True)


@react.to(PlacementCancelled, needs=_gig_and_placement)
async def free_seat(event: PlacementCancelled, unit: Unit) -> None:
    await lifecycle.count_placement(unit, event.gig_id, event.placement_id, stands=False)


@react.to(AccountErased)
async def forget(event: AccountErased, unit: Unit) -> None:
    """An employer's open gigs are closed first, so that nobody is hired for one who has left."""
    await lifecycle.leave(unit, event.account_id)
    await erase(unit, PERSONAL, event.account_id)


@react.to(GigOffered, needs=turns.needed)
async def line_up_offered_gig(event: GigOffered, unit: Unit) -> None:
    await turns.line_up(unit, event)


@react.to(SanctionSet, needs=lambda event: [*heard.needed(event), (Employer, event.party_id)])
async def refuse_posts(event: SanctionSet, unit: Unit) -> None:
    if event.party == "employer":
        await sanctions.hear(unit, event)


@react.to(SanctionLifted, needs=heard.needed)
async def allow_posts(event: SanctionLifted, unit: Unit) -> None:
    """The employer may post again, if nothing else keeps it."""
    if event.party == "employer":
        await heard.end(unit, event)


@react.at(turns.TURN)
async def take_agencys_turn(timer: Timer, unit: Unit) -> None:
    await turns.take_turn(unit, timer.subject)


@react.at(lifecycle.GIG_EXPIRY)
async def expire_gig(timer: Timer, unit: Unit) -> None:
    gig = await unit.get(Gig, timer.subject)
    if gig is not None:
        lifecycle.close(unit, gig, "expired")


@react.at(lifecycle.VERIFICATION_END)
async def end_verification(timer: Timer, unit: Unit) -> None:
    employer = await unit.get(Employer, timer.subject)
    if employer is not None and employer.status == "verified":
        await lifecycle.suspend(unit, employer, "lapsed")


@react.at(lifecycle.VERIFICATION_WARNING)
async def warn_of_verification_end(timer: Timer, unit: Unit) -> None:
    employer = await unit.get(Employer, timer.subject)
    if employer is not None:
        lifecycle.warn(unit, employer, await RULES.of(unit, employer.district))
