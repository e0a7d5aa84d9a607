"""What posting holds of the people who post."""

from services.posting.store import Employer, Gig, Review
from shared.personal import Holding
from shared.sanctions import HeardSanction

PERSONAL = (
    Holding(Employer, at=("_id",)),
    Holding(Review, at=("employer_id",), hides=("decided_by",)),
    Holding(HeardSanction, at=("party_id",)),
    Holding(
        Gig,
        at=("terms.employer_id",),
        kept="a post is public, names a business of the public register, and placements go by it",
    ),
)
