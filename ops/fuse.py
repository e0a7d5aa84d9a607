"""Which services stand still because too many of their events were dead letters, and letting them go on."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ops.opened import Opened, Refused
from shared import fuse
from shared.problems import Text

NOT_BLOWN = Text("the fuse of {service} is not blown", "{service} 的熔断器没有断开")


@dataclass(frozen=True)
class Row:
    """A service's fuse; blown since `blown_at`, when `dead` of the last `of_last` events were dead letters."""

    service: str
    blown_at: datetime | None = None
    dead: int = 0
    of_last: int = 0


async def fuses(services: Iterable[Opened]) -> list[Row]:
    """The fuse of each service that hears events."""
    rows = []
    for opened in services:
        if opened.service.reactions.topics:
            found = await opened.store.db["_fuses"].find_one({}) or {}
            rows.append(Row(opened.name, found.get("at"), found.get("dead", 0), found.get("of_last", 0)))
    return rows


async def reset(opened: Opened, *, by: str) -> Row:
    """Let a service go on, in all its replicas; returns what its fuse was. Raises `Refused` when it was whole."""
    found = await fuse.reset(opened.store, by=by)
    if found is None:
        raise Refused(NOT_BLOWN, service=opened.name)
    return Row(opened.name, found["at"], found["dead"], found["of_last"])
