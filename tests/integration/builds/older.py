"""Build N of the ledger: what it hears and says is tests/ledger.py; of v2 it knows that there is such an event."""

from shared.contracts import Event
from shared.contracts.terms import District
from tests.ledger import service

__all__ = ["GigReopenedV2", "service"]


class GigReopenedV2(Event, topic="posting.gig", type="posting.gig-reopened.v2", subject="gig_id"):
    gig_id: str
    district: District
    placed: int
    by: str | None = None
