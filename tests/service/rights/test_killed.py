"""A sender that is killed between the insurer's answer and its own mark: another asks again, and one cover counts."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.rights import covers
from services.rights.store import Cover
from shared.contracts.rights import CoverConfirmed
from shared.testing import Harness
from tests.service.processes import PATIENCE_SECONDS, by_the_wall, killed, process_of
from tests.service.rights.insurer import RecordingInsurer, recording_insurer
from tests.service.rights.placements import placement_cancelled, placement_made

pytestmark = [pytest.mark.feature("F21"), pytest.mark.feature("F13")]


@pytest.fixture
async def insurer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RecordingInsurer]:
    monkeypatch.setattr(covers, "has_insurer", lambda: True)
    async with recording_insurer() as insurer:
        yield insurer


@pytest.mark.parametrize(("knows_keys", "entries"), [(True, 1), (False, 2)], ids=["once", "twice without keys"])
@pytest.mark.parametrize("ask", ["enrol", "withdraw"])
async def test_what_was_asked_before_it_was_marked_is_asked_again_under_the_same_key(
    rights: Harness, mongo_url: str, insurer: RecordingInsurer, ask: str, knows_keys: bool, entries: int
) -> None:
    """An insurer that knows no keys enters it twice: it is the key that makes one entry of them."""
    insurer.knows_keys = knows_keys
    by_the_wall(rights)
    now = rights.clock.now
    await rights.receives(placement_made(start=now))
    if ask == "withdraw":
        async with process_of(rights, mongo_url, INSURER_URL=insurer.url):
            await _marked(rights, "active")
        await rights.receives(placement_cancelled(at=now))
    await killed(rights, mongo_url, "asked_before_marked", INSURER_URL=insurer.url)
    [cover] = await rights.all(Cover)
    assert (cover.ask, cover.attempts) == (ask, 1)
    # Its lease ends.
    await rights.runtime.store.db["covers"].update_one({}, {"$set": {"due_at": now}})
    async with process_of(rights, mongo_url, INSURER_URL=insurer.url):
        await _marked(rights, "active" if ask == "enrol" else "withdrawn")
    books = insurer.covered if ask == "enrol" else insurer.withdrawn
    assert insurer.asked_by_key[f"{ask}:regional-scheme:placement-1"] == 2
    assert len(books) == entries
    assert len(await rights.published(CoverConfirmed)) == 1


async def _marked(rights: Harness, status: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while [(one.status, one.ask) for one in await rights.all(Cover)] != [(status, None)]:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)
