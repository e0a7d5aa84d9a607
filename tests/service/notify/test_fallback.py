"""What stands in for a channel that fails or whose message does not arrive: the next one, once, within a minute."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from services.notify.channels import SmsGateway, VoiceGateway
from services.notify.sender import Sender
from services.notify.store import Delivery
from shared.contracts.matching import OfferMade, PlacementMade
from shared.contracts.notify import DeliveryFailed, DeliveryMade
from shared.contracts.rights import PayDue
from shared.providers import provider_client
from shared.testing import Harness
from tests.service.notify.post import PostOffice
from tests.service.notify.sink import Sink
from tests.service.notify.story import WORKER, prefer, reach, said, send

pytestmark = [pytest.mark.feature("F8"), pytest.mark.feature("F13")]

TOKEN = "a-token-that-providers-share"
KEY = f"placement-made:{said(PlacementMade).placement_id}:{WORKER}"


@pytest.fixture
def receipts(notify: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Providers have been given a token to send receipts with."""
    monkeypatch.setattr(notify.runtime.settings, "receipts_token", SecretStr(TOKEN))


@pytest.fixture
async def placed(notify: Harness) -> None:
    """A worker without a smartphone has the job: told by SMS, and called if that does not arrive."""
    await reach(notify)
    await reach(notify, channel="voice")
    await notify.receives(said(PlacementMade))


async def receipt(notify: Harness, channel: str, outcome: str, token: str = TOKEN) -> int:
    form = {"delivery_id": f"{KEY}:{channel}", "outcome": outcome}
    answer = await notify.http.post("/receipts", json=form, headers={"authorization": f"Bearer {token}"})
    return answer.status_code


async def states(notify: Harness) -> dict[str, str]:
    return {each.channel: each.state for each in await notify.all(Delivery)}


@pytest.mark.usefixtures("placed")
async def test_a_message_that_the_provider_refuses_is_read_over_the_phone(
    notify: Harness, every: Sender, sink: Sink
) -> None:
    sink.turns.append(400)
    assert await send(every) == 1
    assert await send(every) == 1
    assert await send(every) == 0
    assert list(sink.passed_on) == [f"{KEY}:voice"]
    assert await states(notify) == {"sms": "failed", "voice": "made"}
    assert [failed.channel for failed in await notify.published(DeliveryFailed)] == ["sms"]
    assert [made.channel for made in await notify.published(DeliveryMade)] == ["voice"]


@pytest.mark.usefixtures("placed")
async def test_a_provider_that_is_down_gives_way_within_a_minute(notify: Harness, sink: Sink) -> None:
    begun = notify.clock.now
    async with provider_client() as client:
        sender = Sender(
            notify.runtime,
            {"sms": SmsGateway("http://127.0.0.1:1/sms", client), "voice": VoiceGateway(sink.url, client)},
        )
        while not sink.passed_on:
            if not await send(sender):
                notify.clock.advance(seconds=1)
    assert notify.clock.now - begun < timedelta(seconds=60)
    assert list(sink.passed_on) == [f"{KEY}:voice"]


@pytest.mark.usefixtures("receipts", "placed")
async def test_a_message_that_is_not_receipted_is_followed_by_a_call_within_a_minute(
    notify: Harness, every: Sender, sink: Sink
) -> None:
    begun = notify.clock.now
    assert await send(every) == 1
    while await send(every) == 0:
        notify.clock.advance(seconds=1)
    assert timedelta(seconds=30) < notify.clock.now - begun < timedelta(seconds=60)
    assert list(sink.passed_on) == [f"{KEY}:sms", f"{KEY}:voice"]


@pytest.mark.usefixtures("receipts", "placed")
async def test_a_message_that_arrived_is_followed_by_nothing(notify: Harness, every: Sender, sink: Sink) -> None:
    await send(every)
    for _ in range(2):
        assert await receipt(notify, "sms", "delivered") == 204
    notify.clock.advance(hours=1)
    assert await send(every) == 0
    assert list(sink.passed_on) == [f"{KEY}:sms"]
    assert await states(notify) == {"sms": "delivered", "voice": "spared"}
    assert len(await notify.published()) == 1


@pytest.mark.usefixtures("receipts", "placed")
async def test_a_message_that_did_not_arrive_is_followed_by_a_call_at_once_and_once(
    notify: Harness, every: Sender, sink: Sink
) -> None:
    await send(every)
    for outcome in ("failed", "failed", "delivered", "failed"):
        assert await receipt(notify, "sms", outcome) == 204
        await send(every)
    assert list(sink.asked_by_key.values()) == [1, 1]
    assert await states(notify) == {"sms": "failed", "voice": "made"}
    assert [failed.reason for failed in await notify.published(DeliveryFailed)] == ["not-delivered"]
    assert await receipt(notify, "voice", "failed") == 204
    notify.clock.advance(hours=1)
    assert await send(every) == 0
    assert await states(notify) == {"sms": "failed", "voice": "failed"}


@pytest.mark.usefixtures("receipts", "placed")
async def test_a_receipt_may_be_faster_than_the_note_that_the_message_was_taken(
    notify: Harness, every: Sender, sink: Sink
) -> None:
    claimed = await every.claim()
    assert await receipt(notify, "sms", "delivered") == 204
    await every.deliver(claimed)
    assert await states(notify) == {"sms": "delivered"}
    assert [made.channel for made in await notify.published(DeliveryMade)] == ["sms"]
    notify.clock.advance(hours=1)
    assert await send(every) == 0


@pytest.mark.usefixtures("receipts", "placed")
async def test_a_call_that_is_under_way_is_not_called_back(notify: Harness, every: Sender, sink: Sink) -> None:
    await send(every)
    notify.clock.advance(seconds=40)
    claimed = await every.claim()
    assert await receipt(notify, "sms", "delivered") == 204
    await every.deliver(claimed)
    assert await states(notify) == {"sms": "delivered", "voice": "made"}


@pytest.mark.usefixtures("placed")
async def test_without_a_providers_token_there_are_no_receipts(notify: Harness, every: Sender) -> None:
    await send(every)
    assert await receipt(notify, "sms", "delivered", token="") == 401
    assert await states(notify) == {"sms": "made"}


@pytest.mark.usefixtures("receipts", "placed")
async def test_a_receipt_needs_the_token_and_a_message(notify: Harness, every: Sender) -> None:
    assert await receipt(notify, "sms", "delivered", token="another") == 401
    assert await receipt(notify, "email", "delivered") == 404
    assert await receipt(notify, "sms", "perhaps") == 422
    assert await states(notify) == {"sms": "waiting"}


class Killed(BaseException):
    """The process ends here: nothing behind this point runs."""


class DyingGateway(SmsGateway):
    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        try:
            await super().send(address, text, idempotency_key)
        finally:
            raise Killed


@pytest.mark.usefixtures("receipts", "placed")
@pytest.mark.parametrize("dying", ["sms", "voice"])
async def test_senders_killed_on_the_way_leave_one_message_of_each_channel(
    notify: Harness, every: Sender, sink: Sink, dying: Any
) -> None:
    """The SMS is not receipted, so both go out; a kill behind either adds nothing."""
    async with provider_client() as client:
        if dying == "voice":
            await send(every)
            notify.clock.advance(seconds=40)
        killed = Sender(notify.runtime, {**every.channels, dying: DyingGateway(sink.url, client)})
        with pytest.raises(Killed):
            await send(killed)
    await notify.receives(said(PlacementMade), id="again")
    for _ in range(200):
        notify.clock.advance(seconds=1)
        await send(every)
    assert sorted(sink.passed_on) == [f"{KEY}:sms", f"{KEY}:voice"]
    assert sorted(sink.asked_by_key.values()) == [1, 2]
    assert sorted(made.channel for made in await notify.published(DeliveryMade)) == ["sms", "voice"]


async def test_channels_stand_in_for_one_another_in_the_persons_order(
    notify: Harness, every: Sender, sink: Sink, office: PostOffice
) -> None:
    for channel, address in (("sms", "+8619900000001"), ("voice", "+8619900000001"), ("email", "w@example.org")):
        await reach(notify, channel=channel, address=address)
    await prefer(notify, order=["email", "voice"])
    await notify.receives(said(PlacementMade))
    office.turns.append(550)
    sink.turns.append(400)
    tried = []
    while claimed := await every.claim():
        tried += [delivery.channel for delivery in claimed]
        await every.deliver(claimed)
    assert tried == ["email", "voice", "sms"]
    assert list(sink.passed_on) == [f"{KEY}:sms"]


async def test_nothing_stands_in_for_a_message_that_is_over(notify: Harness, every: Sender, sink: Sink) -> None:
    await reach(notify)
    await reach(notify, channel="voice")
    await notify.receives(said(OfferMade, expires_at=notify.clock.now + timedelta(seconds=30)))
    notify.clock.advance(seconds=30)
    assert await send(every) == 1
    assert await send(every) == 0
    assert [failed.reason for failed in await notify.published(DeliveryFailed)] == ["too-late"]
    assert sink.asked == []


async def test_a_channel_that_the_person_withdrew_gives_way(notify: Harness, every: Sender, sink: Sink) -> None:
    await reach(notify)
    await reach(notify, channel="voice")
    await notify.receives(said(PlacementMade))
    await notify.http.delete("/contacts/sms", headers=notify.as_("worker", WORKER))
    await send(every)
    await send(every)
    assert list(sink.passed_on) == [f"{KEY}:voice"]


@pytest.mark.usefixtures("receipts")
async def test_what_can_wait_is_not_doubled_for_want_of_a_receipt(notify: Harness, every: Sender, sink: Sink) -> None:
    notify.clock.now = datetime.fromisoformat("2026-11-23T09:00:00+08:00")
    await reach(notify)
    await reach(notify, channel="voice")
    await notify.receives(said(PayDue))
    await send(every)
    notify.clock.advance(hours=1)
    assert await send(every) == 0
    assert len(sink.passed_on) == 1
