"""What the two sides of a shift say of each other when it has ended: unseen until both have, or the time is over."""

from datetime import datetime
from typing import Any

from services.rights.rules import POLICY, Side
from services.rights.store import Mark, Ratings, Shift
from shared.contracts.rights import RatingPublished
from shared.unit import Unit

RATINGS_CLOSE = "ratings-close"


def closes_at(shift: Shift) -> datetime:
    """When the time to rate is over: so long after the shift ended."""
    return (shift.ended_at or shift.period.end) + POLICY.ratings.open


def rate(unit: Unit, rated: Ratings, shift: Shift, side: Side, mark: Mark) -> None:
    """One side rates the other; when both have, both are seen."""
    if side == "worker":
        rated.by_worker = mark
    else:
        rated.by_employer = mark
    unit.save(rated)
    if rated.by_worker and rated.by_employer:
        unit.cancel_timer(RATINGS_CLOSE, rated.id)
        publish(unit, rated)
    else:
        unit.set_timer(RATINGS_CLOSE, rated.id, closes_at(shift))


def publish(unit: Unit, rated: Ratings) -> None:
    """From now on both sides see what there is."""
    rated.published_at = unit.now
    unit.save(rated)
    of_worker, of_employer = rated.by_employer, rated.by_worker
    unit.publish(
        RatingPublished(
            placement_id=rated.id,
            worker_points=of_worker.points if of_worker else None,
            worker_codes=of_worker.codes if of_worker else (),
            employer_points=of_employer.points if of_employer else None,
            employer_codes=of_employer.codes if of_employer else (),
            at=unit.now,
            **rated.parties.model_dump(),
        )
    )


async def average_of(unit: Unit, side: Side, person_id: str) -> tuple[int, int | None]:
    """How many published ratings of a person count now, and their mean in hundredths of a point.

    The rule (policy.yaml, `ratings`): those published in the last `average_days`, each counting the same, half a
    hundredth up; no mean below `average_least` ratings.
    """
    given = "by_employer" if side == "worker" else "by_worker"
    counted: dict[str, Any] = {
        f"parties.{side}_id": person_id,
        "published_at": {"$gt": unit.now - POLICY.ratings.counts},
        given: {"$ne": None},
    }
    group = {"_id": None, "n": {"$sum": 1}, "points": {"$sum": f"${given}.points"}}
    rows = await unit.aggregate(Ratings, [{"$match": counted}, {"$group": group}])
    n, points = (rows[0]["n"], rows[0]["points"]) if rows else (0, 0)
    return n, (200 * points + n) // (2 * n) if n >= POLICY.ratings.average_least else None
