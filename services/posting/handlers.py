"""What posting does when a placement is made or cancelled, an agency offers a gig, and a time has come."""

import re

from services.posting import intake, lifecycle, sanctions
from services.posting.personal import PERSONAL
from services.posting.store import RULES, Agency, Employer, Gig, Offered, Placement, offered_id
from shared import sanctions as heard
from shared.contracts.agencies import GigOffered
from shared.contracts.identity import AccountErased
from shared.contracts.matching import PlacementCancelled, PlacementMade
from shared.contracts.posting import FeedAnswered, FeedFault
from shared.contracts.rights import SanctionLifted, SanctionSet
from shared.personal import erase
from shared.problems import Fault, Problem
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


def _of_feed(event: GigOffered) -> tuple[tuple[type[Document], str], ...]:
    return (Agency, event.agency_id), (Offered, offered_id(event.agency_id, event.origin_id))


@react.to(GigOffered, needs=_of_feed)
async def take_offered_gig(event: GigOffered, unit: Unit) -> None:
    """As a row of a file; what is wrong with it is answered, and is no dead letter of ours."""
    id = offered_id(event.agency_id, event.origin_id)
    answer = FeedAnswered(offered_id=id, agency_id=event.agency_id, origin_id=event.origin_id, outcome="refused")
    try:
        agency = await intake.registered(unit, event.agency_id)
        taken = await intake.take(unit, agency.id, agency, event.post | {"origin_id": event.origin_id})
        answer = answer.model_copy(update=taken._asdict())
    except Problem as problem:
        faults = problem.faults or (Fault("post", problem.text),)
        said = tuple(_said(fault, problem) for fault in faults)
        answer = answer.model_copy(update={"code": problem.code, "faults": said})
    unit.publish(answer)


def _said(fault: Fault, problem: Problem) -> FeedFault:
    """A fault without anything that was sent: an event may go to everybody."""
    text = fault.public or fault.text
    field = fault.field if re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", fault.field) else "post"
    return FeedFault(field=field, zh=text.say("zh", problem.facts), en=text.say("en", problem.facts))


@react.to(SanctionSet, needs=lambda event: [*heard.needed(event), (Employer, event.party_id)])
async def refuse_posts(event: SanctionSet, unit: Unit) -> None:
    if event.party == "employer":
        await sanctions.hear(unit, event)


@react.to(SanctionLifted, needs=heard.needed)
async def allow_posts(event: SanctionLifted, unit: Unit) -> None:
    """The employer may post again, if nothing else keeps it."""
    if event.party == "employer":
        await heard.end(unit, event)


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
