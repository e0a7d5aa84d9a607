"""What the registry tells the markets: who waits in which district, who no longer does, and with which profile."""

from typing import Literal

from services.workers.store import Presence, Worker
from shared.contracts.workers import WorkerChanged, WorkerCheckedIn, WorkerCheckedOut
from shared.unit import Unit

CHECK_IN_ENDS = "check-in-ends"
PROFILE_CHANGES = "profile-changes"


def say_waiting(presence: Presence, worker: Worker, unit: Unit) -> None:
    """Say in every district of a check-in that the worker waits there, with the profile of now."""
    for district in presence.districts:
        unit.publish(
            WorkerCheckedIn(
                presence_id=f"{presence.checkin_id}:{district}",
                checkin_id=presence.checkin_id,
                worker_id=presence.id,
                district=district,
                cell=presence.cell,
                station_id=presence.station_id,
                profile=worker.profile(unit.now),
                at=presence.at,
                until=presence.until,
            )
        )


def say_gone(presence: Presence, reason: Literal["worker", "expired", "replaced", "placed"], unit: Unit) -> None:
    for district in presence.districts:
        unit.publish(
            WorkerCheckedOut(
                presence_id=f"{presence.checkin_id}:{district}",
                checkin_id=presence.checkin_id,
                worker_id=presence.id,
                district=district,
                reason=reason,
            )
        )


def end(presence: Presence, reason: Literal["worker", "expired", "placed"], unit: Unit) -> None:
    """The worker waits no longer, in any district; where they were is forgotten."""
    say_gone(presence, reason, unit)
    unit.delete(presence)
    unit.cancel_timer(CHECK_IN_ENDS, presence.id)


def say_changed(worker: Worker, unit: Unit) -> None:
    """Say the profile of now, which is a new one."""
    worker.revision, worker.said_at = worker.revision + 1, unit.now
    unit.save(worker)
    unit.publish(WorkerChanged(worker_id=worker.id, district=worker.district, profile=worker.profile(unit.now)))


def watch(worker: Worker, unit: Unit) -> None:
    """Come back to the profile when it will have changed by itself."""
    moment = worker.changes_by_itself(unit.now)
    if moment:
        unit.set_timer(PROFILE_CHANGES, worker.id, moment)
    else:
        unit.cancel_timer(PROFILE_CHANGES, worker.id)
