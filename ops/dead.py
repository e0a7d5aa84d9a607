"""Letters that were set aside: what they are, handling them again, giving them up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ops.opened import Opened, Refused
from shared.delivery import NoSuchLetter, Redriven
from shared.problems import Text

NO_SUCH_LETTER = Text("{service} has no letter {id} set aside", "{service} 没有搁置编号为 {id} 的事件")


@dataclass(frozen=True)
class Row:
    """A letter in a list. `place` is topic:partition:offset; `kind` says whether others wait behind it (failed)."""

    service: str
    id: str
    kind: str
    type: str
    subject: str
    place: str
    at: datetime
    reason: str


@dataclass(frozen=True)
class Whole:
    """A letter with its headers and body. `waiting` are the ids of those that go with it when it is redriven."""

    row: Row
    key: str
    headers: dict[str, str]
    body: str
    waiting: list[str]


@dataclass
class Done:
    """What became of a command: ids that were handled or dropped, and those that stay, with their reasons."""

    service: str
    done: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)

    def add(self, redriven: Redriven) -> None:
        self.done += redriven.done
        self.left = {id: why for id, why in self.left.items() if id not in redriven.done} | redriven.left


async def letters(services: Iterable[Opened], *, kind: str | None, subject: str | None, limit: int) -> list[Row]:
    """Letters set aside, the oldest first, at most `limit` a service."""
    query = {
        **({"kind": kind} if kind else {}),
        **({"headers.ce_subject": subject} if subject else {}),
    }
    rows = []
    for opened in services:
        order = [("at", 1), ("topic", 1), ("partition", 1), ("offset", 1)]
        found = opened.store.db["_dead"].find(query, {"body": 0}, sort=order, limit=limit)
        rows += [_row(opened.name, each) async for each in found]
    return rows


async def letter(opened: Opened, id: str) -> Whole:
    """Raises `Refused` when there is none."""
    found = await opened.store.db["_dead"].find_one({"_id": id})
    if found is None:
        raise Refused(NO_SUCH_LETTER, service=opened.name, id=id)
    waiting = await opened.delivery.waiting(found["stream"])
    return Whole(
        row=_row(opened.name, found),
        key=(found["key"] or b"").decode(errors="replace"),
        headers=found["headers"],
        body=found["body"].decode(errors="backslashreplace"),
        waiting=waiting if id in waiting else [],
    )


async def redrive(opened: Opened, ids: Iterable[str], *, by: str, surely: bool = True) -> Done:
    """Handle letters again, each once, also when it has gone with an earlier one.

    Raises `Refused` for one that is not there, unless it is not `surely` so: somebody else may have dealt with it.
    """
    done = Done(opened.name)
    for id in ids:
        if id in done.done or id in done.left:
            continue
        try:
            done.add(await opened.delivery.redrive(id, by=by))
        except NoSuchLetter:
            if surely:
                raise Refused(NO_SUCH_LETTER, service=opened.name, id=id) from None
    return done


async def redrive_all(opened: Opened, *, kind: str | None, subject: str | None, by: str) -> Done:
    """Handle everything again that was set aside until now, each stream in its order."""
    rows = await letters([opened], kind=kind, subject=subject, limit=0)
    return await redrive(opened, [row.id for row in rows], by=by, surely=False)


async def drop(opened: Opened, ids: Sequence[str], *, by: str) -> tuple[list[str], Done]:
    """Give letters up; returns their ids, and what became of those that waited behind them. Raises `Refused`."""
    dropped, done = [], Done(opened.name)
    for id in ids:
        try:
            done.add(await opened.delivery.drop(id, by=by))
        except NoSuchLetter:
            raise Refused(NO_SUCH_LETTER, service=opened.name, id=id) from None
        dropped.append(id)
    done.left = {id: why for id, why in done.left.items() if id not in dropped}
    return dropped, done


def _row(service: str, found: Mapping[str, Any]) -> Row:
    headers = found["headers"]
    return Row(
        service=service,
        id=found["_id"],
        kind=found["kind"],
        type=headers.get("ce_type", ""),
        subject=headers.get("ce_subject", ""),
        place=f"{found['topic']}:{found['partition']}:{found['offset']}",
        at=found["at"],
        reason=found["reason"],
    )
