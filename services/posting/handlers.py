"""What posting does when a placement is made or cancelled, and when a validity ends."""

from services.posting import lifecycle
from services.posting.store import Employer, Gig, Placement
from shared.contracts.matching import PlacementCancelled, PlacementMade
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
