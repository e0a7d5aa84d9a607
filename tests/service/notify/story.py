"""One story in events: the recorded examples, which are of one gig, one worker and one employer; all made up."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from services.notify.sender import Sender
from services.notify.store import Message
from shared.contracts import Event
from shared.contracts.matching import PlacementMade
from shared.contracts.record import EXAMPLES
from shared.testing import Harness

E = TypeVar("E", bound=Event)

PHONE = "+8619900000001"


def said(kind: type[E], **changes: Any) -> E:
    """The recorded example of an event, with other values for some of its fields."""
    example = json.loads((EXAMPLES / f"{kind.type}.json").read_text("utf-8"))
    return kind.model_validate(example | changes)


WORKER = said(PlacementMade).worker_id
EMPLOYER = said(PlacementMade).employer_id


async def reach(
    notify: Harness, person: str = WORKER, address: str = PHONE, language: str = "zh", channel: str = "sms", **more: str
) -> None:
    """The person gives a contact point."""
    form = {"channel": channel, "address": address, "language": language, "consent": True, **more}
    role: Any = "employer" if person == EMPLOYER else "worker"
    answer = await notify.http.put("/contact", json=form, headers=notify.as_(role, person))
    assert answer.status_code == 200, answer.text


async def prefer(notify: Harness, person: str = WORKER, **wishes: Any) -> None:
    """The person says how they wish to be told."""
    answer = await notify.http.put("/preferences", json=wishes, headers=notify.as_("worker", person))
    assert answer.status_code == 200, answer.text


async def messages(notify: Harness, person: str = WORKER, **headers: str) -> list[dict[str, Any]]:
    """What a person has been told, oldest first."""
    answer = await notify.http.get("/messages?limit=100", headers=notify.as_("worker", person, **headers))
    assert answer.status_code == 200, answer.text
    return list(reversed(answer.json()["items"]))


async def told(notify: Harness) -> list[tuple[str, str]]:
    """Who was told of what, by kind and part, in no particular order."""
    return sorted((message.kind, message.part) for message in await notify.all(Message))


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that happens beside the test; the bound only keeps a broken build from hanging."""
    async with asyncio.timeout(20):
        while True:
            if await true():
                return
            await asyncio.sleep(0.01)


async def send(sender: Sender) -> int:
    """One round of the sender; how many deliveries it took."""
    claimed = await sender.claim()
    await sender.deliver(claimed)
    return len(claimed)
