"""What other agencies say: posts that they offer. They write it themselves; posting alone reads it."""

from typing import Any

from shared.contracts import Event


class GigOffered(Event, topic="agencies.gig", type="agencies.gig-offered.v1", subject="origin_id", key="agency_id"):
    """An agency offers a gig of an employer, changes what it offered before under the same origin id, or withdraws it.

    `post` is what a line of POST /api/posting/gigs/bulk has, without its origin id; it may be wrong, which its answer
    (`posting.feed-answered`) says. docs/agencies.md has the whole.
    """

    agency_id: str
    origin_id: str
    post: dict[str, Any]
