"""What posting holds of the people who post."""

from services.posting.store import Employer, Gig, Review, Sanction
from shared.personal import Holding

PERSONAL = (
    Holding(Employer, at=("_id",)),
    Holding(Review, at=("employer_id",), hides=("decided_by",)),
    Holding(Sanction, at=("employer_id",)),
    Holding(
        Gig,
        at=("terms.employer_id",),
        kept="a post is public, names a business of the public register, and placements go by it",
    ),
)
