"""Build N+1 of the ledger: it counts who filled, where that is said, and says v2 beside v1."""

from shared.contracts import CATALOGUE, posting
from shared.contracts.posting import GigReopened
from shared.http import Routes
from shared.reactions import Reactions
from shared.service import Service
from shared.unit import Document, Unit
from tests.integration.builds.older import GigReopenedV2
from tests.ledger import Count

CATALOGUE.pop(posting.GigFilled.type)


class GigFilled(posting.GigFilled, topic="posting.gig", type="posting.gig-filled.v1", subject="gig_id"):
    by: str | None = None


class Named(Document):
    """What only this build keeps is in a collection of its own: the build before would write a new field away."""

    collection = "named"

    heard: int = 0


react = Reactions()


@react.to(GigFilled)
async def count(event: GigFilled, unit: Unit) -> None:
    found = await unit.get(Count, event.gig_id) or Count(id=event.gig_id)
    found.heard += 1
    found.order.append(event.placed)
    unit.save(found)
    if event.by:
        named = await unit.get(Named, event.by) or Named(id=event.by)
        named.heard += 1
        unit.save(named)
    unit.publish(GigReopened(gig_id=event.gig_id, district=event.district, placed=found.heard))
    unit.publish(GigReopenedV2(gig_id=event.gig_id, district=event.district, placed=found.heard, by=event.by))


service = Service("ledger", reactions=react, routes=Routes("ledger"), documents=[Count, Named])
