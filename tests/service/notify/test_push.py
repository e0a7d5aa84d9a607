"""Web push: who is subscribed, what a push service is asked, and what becomes of its answers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.notify import push
from services.notify.channels import WebPush, webhook_client
from services.notify.sender import Sender
from services.notify.store import PLACES_EACH, Contact, Delivery
from shared.contracts.matching import PlacementMade
from shared.contracts.notify import DeliveryFailed, DeliveryMade
from shared.sending import LEASE
from shared.testing import Harness
from tests.service.notify.browser import Browser
from tests.service.notify.sink import Sink
from tests.service.notify.story import WORKER, reach, said, send

pytestmark = pytest.mark.feature("F8")

KEY = f"placement-made:{said(PlacementMade).placement_id}:{WORKER}:push"


@pytest.fixture
def browser(notify: Harness, sink: Sink) -> Browser:
    notify.runtime.settings.webhooks_may_be_local = True
    browser = Browser(sink)
    sink.reads = browser.take
    return browser


@pytest.fixture
async def pushing(notify: Harness, every: Sender) -> AsyncIterator[Sender]:
    async with webhook_client() as client:
        channel = WebPush(client, push.sender_of(notify.runtime.settings), local=True)
        yield Sender(notify.runtime, {**every.channels, "push": channel})


async def subscribe(notify: Harness, browser: Browser, person: str = WORKER, **changes: Any) -> Any:
    form = {"channel": "push", "language": "en", "consent": True, **browser.subscription, **changes}
    return await notify.http.put("/contact", json=form, headers=notify.as_("worker", person))


async def test_a_browser_gets_a_message_that_only_it_can_read(
    notify: Harness, pushing: Sender, sink: Sink, browser: Browser
) -> None:
    answer = await subscribe(notify, browser)
    assert answer.json()["address"] == "http://127.0.0.1/****"
    sink.turns.append(201)
    for id in ("m1", "m1", "m2"):
        await notify.receives(said(PlacementMade), id=id)
    assert await send(pushing) == 1
    assert await send(pushing) == 0
    [body] = sink.asked
    assert body["id"] == KEY
    assert body["text"].startswith("You have the job")
    assert b"You have the job" not in sink.raw[0]
    assert (browser.headers["content-encoding"], browser.headers["ttl"]) == ("aes128gcm", "3600")
    assert len(browser.headers["topic"]) == 32
    [made] = await notify.published(DeliveryMade)
    assert made.channel == "push"


async def test_a_push_service_is_told_from_whom_it_is(notify: Harness, pushing: Sender, browser: Browser) -> None:
    await subscribe(notify, browser)
    await notify.receives(said(PlacementMade))
    await send(pushing)
    public = (await notify.http.get("/push-key")).json()["public_key"]
    assert browser.taken_from["k"] == public
    assert browser.taken_from["aud"] == browser.origin
    assert browser.taken_from["sub"] == "mailto:kuaizhao@localhost"


@pytest.mark.parametrize("status", [404, 410])
async def test_a_subscription_that_is_gone_is_forgotten_and_the_next_channel_stands_in(
    notify: Harness, pushing: Sender, sink: Sink, browser: Browser, status: int
) -> None:
    await subscribe(notify, browser)
    await reach(notify, channel="email", address="worker@example.org")
    await notify.receives(said(PlacementMade))
    sink.turns.append(status)
    assert await send(pushing) == 1
    [contact] = await notify.all(Contact)
    assert [point.channel for point in contact.points] == ["email"]
    assert [failed.reason for failed in await notify.published(DeliveryFailed)] == ["rejected"]
    assert await send(pushing) == 1
    assert {each.channel: each.state for each in await notify.all(Delivery)} == {"push": "failed", "email": "made"}


async def test_who_has_no_point_left_has_no_contact(
    notify: Harness, pushing: Sender, sink: Sink, browser: Browser
) -> None:
    await subscribe(notify, browser)
    await notify.receives(said(PlacementMade))
    sink.turns.append(410)
    await send(pushing)
    assert await notify.all(Contact) == []


async def test_a_busy_push_service_is_asked_again_when_it_said(
    notify: Harness, pushing: Sender, sink: Sink, browser: Browser
) -> None:
    await subscribe(notify, browser)
    await notify.receives(said(PlacementMade))
    sink.turns.append(429)
    sink.headers["retry-after"] = "60"
    assert await send(pushing) == 1
    notify.clock.advance(seconds=59)
    assert await send(pushing) == 0
    notify.clock.advance(seconds=1)
    assert await send(pushing) == 1
    assert len(sink.passed_on) == 1
    assert len(await notify.published(DeliveryMade)) == 1


@pytest.mark.parametrize("turn", [500, 503, "cut"])
async def test_a_push_service_that_is_down_loses_nothing(
    notify: Harness, pushing: Sender, sink: Sink, browser: Browser, turn: Any
) -> None:
    await subscribe(notify, browser)
    await notify.receives(said(PlacementMade))
    sink.turns.append(turn)
    await send(pushing)
    [contact] = await notify.all(Contact)
    assert [point.channel for point in contact.points] == ["push"]
    notify.clock.advance(minutes=1)
    assert await send(pushing) == 1
    assert len(sink.passed_on) == 1


@pytest.mark.feature("F13")
async def test_a_message_sent_again_takes_the_place_of_the_first(
    notify: Harness, pushing: Sender, sink: Sink, browser: Browser
) -> None:
    """Its sender died behind the push service: the same topic there, the same id for the service worker."""
    await subscribe(notify, browser)
    await notify.receives(said(PlacementMade))
    topics = []
    claimed = await pushing.claim()
    [delivery] = claimed
    await pushing.channels["push"].send(
        f"{browser.endpoint}#{'.'.join(browser.subscription['keys'].values())}", "text", delivery.id
    )
    topics.append(browser.headers["topic"])
    notify.clock.now += LEASE
    assert await send(pushing) == 1
    topics.append(browser.headers["topic"])
    assert topics[0] == topics[1]
    assert len(sink.asked) == 2
    assert len(sink.passed_on) == 1


async def test_a_person_has_several_browsers_and_one_is_enough(
    notify: Harness, pushing: Sender, sink: Sink, browser: Browser
) -> None:
    other = Browser(sink, "two")
    for each in (browser, other, browser):
        await subscribe(notify, each)
    sink.reads = lambda head, raw: (browser if "/push/one" in head else other).take(head, raw)
    await notify.receives(said(PlacementMade))
    sink.turns.append(410)
    assert await send(pushing) == 1
    assert len(sink.asked) == 2
    assert len(await notify.published(DeliveryMade)) == 1
    [contact] = await notify.all(Contact)
    assert len(contact.points) == 1


async def test_of_too_many_browsers_the_oldest_goes(notify: Harness, sink: Sink, browser: Browser) -> None:
    for number in range(PLACES_EACH + 1):
        assert (await subscribe(notify, Browser(sink, str(number)))).status_code == 200
    [contact] = await notify.all(Contact)
    assert len(contact.points) == PLACES_EACH


async def test_a_browser_belongs_to_who_subscribed_last(notify: Harness, browser: Browser) -> None:
    """Two people share a phone: whoever signed in last is told on it, and nobody else."""
    await reach(notify, "one")
    for person in ("one", "two"):
        await subscribe(notify, browser, person)
    points = {contact.id: [point.channel for point in contact.points] for contact in await notify.all(Contact)}
    assert points == {"one": ["sms"], "two": ["push"]}
    await notify.http.delete("/contacts/push", headers=notify.as_("worker", "two"))
    assert [contact.id for contact in await notify.all(Contact)] == ["one"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"address": "https://10.0.0.1/push/x"}, "address"),
        ({"address": "https://push.internal/x"}, "address"),
        ({"address": "http://push.example.org/x"}, "address"),
        ({"address": "push.example.org"}, "address"),
        ({"keys": None}, "keys"),
        ({"keys": {"p256dh": "x", "auth": "A" * 22}}, "keys.p256dh"),
        ({"channel": "sms", "address": "+8619900000001"}, "keys"),
    ],
)
async def test_what_is_no_subscription_is_named(
    notify: Harness, browser: Browser, changes: dict[str, Any], field: str
) -> None:
    notify.runtime.settings.webhooks_may_be_local = False
    form = {"address": "https://push.example.org/x", **changes}
    answer = await subscribe(notify, browser, **form)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    assert await notify.all(Contact) == []
