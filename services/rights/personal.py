"""What rights holds of people: all of it is kept for a time, since a claim may rest on it.

What people wrote of a placement is sealed for its worker, and unreadable once they are erased.
"""

from collections.abc import Mapping
from typing import Any

from services.rights.store import (
    Ability,
    Agreement,
    Case,
    Cover,
    Entry,
    EntryAppeal,
    Payment,
    Ratings,
    Sanction,
    Shift,
    Standing,
    Timesheet,
    WorkRecord,
)
from shared.personal import Holding

BOTH = ("parties.worker_id", "parties.employer_id")

CONTRACT = "two years after its end (labour contract law, art. 50); ids only"
WAGES = "two years (工资支付暂行规定, art. 6); ids only"
GIVEN_OUT = "whoever was shown a record may ask whether it still holds; a hash and ids only"
CLAIM = "as long as the records that it is about; ids only"


def _ratings(rated: Ratings, person_id: str) -> Mapping[str, Any]:
    """What the other side said is shown once it is published."""
    theirs = "by_employer" if rated.parties.worker_id == person_id else "by_worker"
    return rated.model_dump(exclude=None if rated.published_at else {theirs})


PERSONAL = (
    Holding(Agreement, at=BOTH, kept=CONTRACT),
    Holding(Cover, at=BOTH, kept=CONTRACT, hides=("trace",)),
    Holding(Shift, at=BOTH, kept=WAGES),
    Holding(Timesheet, at=BOTH, kept=WAGES),
    Holding(Payment, at=BOTH, kept=WAGES),
    Holding(Ratings, at=BOTH, kept=CLAIM, shows=_ratings),
    Holding(Case, at=("worker_id",), kept=CLAIM),
    Holding(Sanction, at=("party_id",), kept=CLAIM),
    Holding(Standing, at=("party_id",), kept=CLAIM),
    Holding(Entry, at=("party_id",), kept=CLAIM),
    Holding(EntryAppeal, at=("party_id",), kept=CLAIM),
    Holding(Ability, at=("_id",)),
    Holding(WorkRecord, at=("worker_id",), kept=GIVEN_OUT),
)
