"""Placements as matching announces them; people and firms are made up."""

from datetime import datetime, timedelta
from typing import Any

from shared.contracts.matching import PlacementCancelled, PlacementMade
from shared.contracts.posting import GigTerms
from shared.contracts.terms import Pay, PayMode, PayUnit, Period, Place

MORNING = datetime.fromisoformat("2026-11-23T06:00:00+08:00")
"""When a test's clock begins: a Monday."""

WORKER, EMPLOYER, DISTRICT = "worker-1", "employer-1", "430102"


def placement_made(
    placement_id: str = "placement-1",
    *,
    worker_id: str = WORKER,
    employer_id: str = EMPLOYER,
    district: str = DISTRICT,
    start: datetime = MORNING + timedelta(hours=2),
    hours: float = 8,
    amount_fen: int = 2000,
    unit: PayUnit = PayUnit.hour,
    mode: PayMode = PayMode.same_day,
    **terms: Any,
) -> PlacementMade:
    """By default from 08:00 to 16:00 at 20 yuan an hour, paid the same day."""
    return PlacementMade(
        placement_id=placement_id,
        offer_id=f"offer-of-{placement_id}",
        gig_id="gig-1",
        seat=1,
        worker_id=worker_id,
        employer_id=employer_id,
        district=district,
        terms=GigTerms(
            **{
                "employer_id": employer_id,
                "employer_name": "长沙示例仓储有限公司",
                "title": "包裹分拣",
                "occupation": "6-02-06-12",
                "content": "夜班包裹分拣与装车",
                "place": Place(lat=28.2282, lon=112.9388, address="长沙市芙蓉区示例路 1 号"),
                "period": Period(start=start, end=start + timedelta(hours=hours)),
                "headcount": 3,
                "pay": Pay(amount_fen=amount_fen, unit=unit, mode=mode),
                "valid_until": start,
                **terms,
            }
        ),
        at=MORNING,
    )


def placement_cancelled(
    placement_id: str = "placement-1", *, at: datetime = MORNING, by: Any = "employer"
) -> PlacementCancelled:
    return PlacementCancelled(
        placement_id=placement_id,
        gig_id="gig-1",
        seat=1,
        worker_id=WORKER,
        employer_id=EMPLOYER,
        district=DISTRICT,
        by=by,
        at=at,
    )
