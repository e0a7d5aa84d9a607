"""Events and times: who is placed or sanctioned waits no longer, a check-in ends by itself, a profile ages."""

from services.workers.market import CHECK_IN_ENDS, PROFILE_CHANGES, end, say_changed, watch
from services.workers.personal import PERSONAL
from services.workers.store import KeptBan, Presence, Worker
from shared import sanctions
from shared.contracts.identity import AccountErased
from shared.contracts.matching import PlacementMade
from shared.contracts.rights import SanctionLifted, SanctionSet
from shared.personal import erase
from shared.reactions import Reactions
from shared.unit import Timer, Unit

react = Reactions()


@react.to(PlacementMade, needs=lambda event: [(Presence, event.worker_id)])
async def stop_waiting(event: PlacementMade, unit: Unit) -> None:
    """Whoever has work is offered none elsewhere. A check-in after the placement is for other hours, and stays."""
    presence = await unit.get(Presence, event.worker_id)
    if presence and presence.at <= event.at:
        end(presence, "placed", unit)


@react.to(AccountErased, needs=lambda event: [(Worker, event.account_id), (Presence, event.account_id)])
async def forget(event: AccountErased, unit: Unit) -> None:
    """Somebody who waits is said to wait no longer, so that every market lets them go. A ban in force stays."""
    worker = await unit.get(Worker, event.account_id)
    if worker and (kept := KeptBan.of(worker, unit.now)):
        unit.save(kept)
    presence = await unit.get(Presence, event.account_id)
    if presence:
        end(presence, "worker", unit)
    unit.cancel_timer(PROFILE_CHANGES, event.account_id)
    await erase(unit, PERSONAL, event.account_id)


@react.to(
    SanctionSet,
    needs=lambda event: [*sanctions.needed(event), (Worker, event.party_id), (Presence, event.party_id)],
)
async def keep_out(event: SanctionSet, unit: Unit) -> None:
    """To wait is to ask for something new, so a sanction of either kind ends it. Placements stay."""
    sanction = await sanctions.hear(unit, event) if event.party == "worker" else None
    if sanction is None:
        return
    worker, presence = await unit.get(Worker, event.party_id), await unit.get(Presence, event.party_id)
    if worker:
        unit.save(worker)
    if presence and sanction.in_force(unit.now):
        end(presence, "expired", unit)


@react.to(SanctionLifted, needs=sanctions.needed)
async def let_back_in(event: SanctionLifted, unit: Unit) -> None:
    if event.party == "worker":
        await sanctions.end(unit, event)


@react.at(CHECK_IN_ENDS)
async def end_check_in(timer: Timer, unit: Unit) -> None:
    presence = await unit.get(Presence, timer.subject)
    if presence and presence.checkin_id == timer.data["checkin_id"]:
        end(presence, "expired", unit)


@react.at(PROFILE_CHANGES)
async def age_profile(timer: Timer, unit: Unit) -> None:
    """An 18th birthday, or the end of a certificate."""
    worker = await unit.get(Worker, timer.subject)
    if worker:
        say_changed(worker, unit)
        watch(worker, unit)
