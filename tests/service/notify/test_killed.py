"""A sender killed between the provider's answer and its own mark: another sends again, and one message counts."""

import asyncio

import pytest

from services.notify.store import Delivery
from shared.contracts.matching import PlacementMade
from shared.contracts.notify import DeliveryMade
from shared.testing import Harness
from tests.service.notify.sink import Sink
from tests.service.notify.story import reach, said
from tests.service.processes import PATIENCE_SECONDS, by_the_wall, killed, process_of

pytestmark = [pytest.mark.feature("F8"), pytest.mark.feature("F13")]


@pytest.mark.parametrize(("knows_keys", "heard"), [(True, 1), (False, 2)], ids=["once", "twice without keys"])
async def test_what_was_sent_before_it_was_marked_is_sent_again_under_the_same_key(
    notify: Harness, mongo_url: str, sink: Sink, knows_keys: bool, heard: int
) -> None:
    """A provider that knows no keys passes both on: it is the key that makes one message of them."""
    sink.knows_keys = knows_keys
    by_the_wall(notify)
    await reach(notify)
    await notify.receives(said(PlacementMade))
    await killed(notify, mongo_url, "sent_before_marked", SMS_URL=sink.url)
    [delivery] = await notify.all(Delivery)
    assert (delivery.state, delivery.attempts, len(sink.asked)) == ("waiting", 1, 1)
    # Its lease ends.
    await notify.runtime.store.db["deliveries"].update_one({}, {"$set": {"due_at": delivery.at}})
    async with process_of(notify, mongo_url, SMS_URL=sink.url), asyncio.timeout(PATIENCE_SECONDS):
        while [each.state for each in await notify.all(Delivery)] != ["made"]:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)
    assert list(sink.asked_by_key.values()) == [2]
    assert len(sink.passed_on) == heard
    assert len(await notify.published(DeliveryMade)) == 1
