"""Sending outside: through a provider that works, fails, is slow, or never learns that we know."""

import asyncio
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from services.notify import channels
from services.notify.channels import SmsGateway
from services.notify.sender import Sender
from services.notify.store import Delivery
from shared import clock
from shared.contracts.matching import OfferMade, PlacementMade
from shared.contracts.notify import DeliveryFailed, DeliveryMade
from shared.contracts.posting import EmployerVerified
from shared.providers import provider_client
from shared.sending import AT_ONCE, LEASE
from shared.testing import Harness
from shared.unit import outbox_row
from tests.service.notify.sink import Sink, Turn
from tests.service.notify.story import EMPLOYER, PHONE, WORKER, reach, said, send, until

pytestmark = [pytest.mark.feature("F8"), pytest.mark.feature("F13")]


async def offered(notify: Harness, **changes: object) -> None:
    """The worker can be reached, and is told of an offer that is open for a minute."""
    await reach(notify)
    await notify.receives(said(OfferMade, expires_at=clock.now() + timedelta(minutes=1), **changes))


async def only_delivery(notify: Harness) -> Delivery:
    [delivery] = await notify.all(Delivery)
    return delivery


async def test_a_message_reaches_the_phone_in_the_persons_language(notify: Harness, sender: Sender, sink: Sink) -> None:
    await reach(notify, language="en")
    await reach(notify, EMPLOYER, "+8619900000002", "zh")
    await notify.receives(said(PlacementMade))
    assert await send(sender) == 2
    texts = {body["to"]: body["text"] for body in sink.passed_on.values()}
    assert texts[PHONE].startswith("You have the job: 快件分拣员")
    assert texts["+8619900000002"].startswith("「快件分拣员")
    assert {delivery.state for delivery in await notify.all(Delivery)} == {"made"}
    placement = said(PlacementMade).placement_id
    assert sorted(await notify.published(), key=lambda event: str(event.person_id != WORKER)) == [
        DeliveryMade(
            delivery_id=f"placement-made:{placement}:{person}:sms",
            person_id=person,
            about=f"placement-made:{placement}",
            channel="sms",
            at=clock.now(),
        )
        for person in (WORKER, EMPLOYER)
    ]
    assert await send(sender) == 0


async def test_whoever_gave_no_contact_point_is_told_in_the_list_only(notify: Harness, sender: Sender) -> None:
    await notify.receives(said(OfferMade))
    assert await send(sender) == 0


@pytest.mark.parametrize(
    ("turn", "seconds"),
    [(500, 2), (502, 2), ("cut", 2), ("hang", 2), (429, 30), (503, 30), (401, 60), (404, 60), (302, 60)],
)
async def test_a_provider_that_fails_is_asked_again_after_a_pause(
    notify: Harness, sender: Sender, sink: Sink, monkeypatch: pytest.MonkeyPatch, turn: Turn, seconds: int
) -> None:
    if turn == "hang":
        monkeypatch.setattr(channels, "TIMEOUT_SECONDS", 0.2)
    await reach(notify)
    await notify.receives(said(PlacementMade))
    sink.turns.append(turn)
    assert await send(sender) == 1
    monkeypatch.setattr(channels, "TIMEOUT_SECONDS", 30)
    notify.clock.advance(seconds=seconds - 1)
    assert await send(sender) == 0
    notify.clock.advance(seconds=1)
    assert await send(sender) == 1
    assert len(sink.passed_on) == 1
    assert list(sink.asked_by_key.values()) == [2]
    assert len(await notify.published(DeliveryMade)) == 1
    assert await notify.published(DeliveryFailed) == []


async def test_a_provider_that_cannot_be_reached_is_asked_again(notify: Harness, sink: Sink) -> None:
    await reach(notify)
    await notify.receives(said(PlacementMade))
    async with provider_client() as client:
        nobody = Sender(notify.runtime, {"sms": SmsGateway("http://127.0.0.1:1/sms", client)})
        assert await send(nobody) == 1
        notify.clock.advance(seconds=2)
        again = Sender(notify.runtime, {"sms": SmsGateway(sink.url, client)})
        assert await send(again) == 1
    assert len(sink.passed_on) == 1


async def test_pauses_grow_while_it_keeps_failing(notify: Harness, sender: Sender, sink: Sink) -> None:
    await reach(notify)
    await notify.receives(said(PlacementMade))
    sink.turns.extend([500] * 4)
    waited = []
    for _ in range(4):
        assert await send(sender) == 1
        due_at = (await only_delivery(notify)).due_at
        waited.append((due_at - clock.now()).total_seconds())
        notify.clock.now = due_at
    assert waited == [2, 4, 8, 16]


async def test_a_provider_that_says_when_is_asked_then(notify: Harness, sender: Sender, sink: Sink) -> None:
    await reach(notify)
    await notify.receives(said(PlacementMade))
    sink.turns.append(429)
    sink.headers["retry-after"] = "7"
    await send(sender)
    assert (await only_delivery(notify)).due_at == clock.now() + timedelta(seconds=7)


@pytest.mark.parametrize("status", [400, 422])
async def test_what_the_provider_refuses_has_failed_at_once(
    notify: Harness, sender: Sender, sink: Sink, status: int
) -> None:
    await offered(notify)
    sink.turns.append(status)
    await send(sender)
    [failed] = await notify.published(DeliveryFailed)
    assert (failed.reason, failed.about) == ("rejected", f"offer-made:{said(OfferMade).offer_id}")
    notify.clock.advance(hours=1)
    assert await send(sender) == 0
    assert len(sink.asked) == 1


async def test_an_offer_is_not_sent_when_it_is_over(notify: Harness, sender: Sender, sink: Sink) -> None:
    await offered(notify)
    notify.clock.advance(minutes=1)
    await send(sender)
    [failed] = await notify.published(DeliveryFailed)
    assert failed.reason == "too-late"
    assert sink.asked == []


async def test_it_gives_up_when_the_next_try_would_be_too_late(notify: Harness, sender: Sender, sink: Sink) -> None:
    await offered(notify)
    notify.clock.advance(seconds=58)
    sink.turns.append(500)
    await send(sender)
    [failed] = await notify.published(DeliveryFailed)
    assert failed.reason == "broken"
    assert (await only_delivery(notify)).state == "failed"


async def test_other_messages_are_given_up_after_hours(notify: Harness, sender: Sender, sink: Sink) -> None:
    await reach(notify)
    await notify.receives(said(PlacementMade))
    for _ in range(200):
        sink.turns.append(500)
        await send(sender)
        delivery = await only_delivery(notify)
        if delivery.state == "failed":
            break
        notify.clock.now = delivery.due_at
    assert len(await notify.published(DeliveryFailed)) == 1
    assert timedelta(hours=5, minutes=50) < clock.now() - delivery.at < timedelta(hours=6)


async def test_withdrawn_consent_stops_what_is_on_its_way(notify: Harness, sender: Sender, sink: Sink) -> None:
    await offered(notify)
    await notify.http.delete("/contact", headers=notify.as_("worker", WORKER))
    await send(sender)
    [failed] = await notify.published(DeliveryFailed)
    assert failed.reason == "contact-withdrawn"
    assert sink.asked == []


async def test_a_changed_number_gets_what_is_on_its_way(notify: Harness, sender: Sender, sink: Sink) -> None:
    await offered(notify)
    await reach(notify, address="+8619900000009")
    await send(sender)
    assert [body["to"] for body in sink.passed_on.values()] == ["+8619900000009"]


class Killed(BaseException):
    """The process ends here: nothing behind this point runs."""


class DyingGateway(SmsGateway):
    """Hands over, and dies before anybody can note that it did."""

    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        await super().send(address, text, idempotency_key)
        raise Killed


async def test_a_sender_killed_between_send_and_mark_sends_again_and_the_phone_rings_once(
    notify: Harness, sender: Sender, sink: Sink
) -> None:
    await reach(notify)
    await notify.receives(said(PlacementMade))
    async with provider_client() as client:
        dying = Sender(notify.runtime, {"sms": DyingGateway(sink.url, client)})
        with pytest.raises(Killed):
            await send(dying)
    assert (await only_delivery(notify)).state == "waiting"
    assert await send(sender) == 0  # its lease still stands
    notify.clock.now += LEASE
    assert await send(sender) == 1
    assert list(sink.asked_by_key.values()) == [2]
    assert len(sink.passed_on) == 1
    assert len(await notify.published(DeliveryMade)) == 1


async def test_a_sender_that_outlived_its_lease_says_nothing_twice(notify: Harness, sender: Sender, sink: Sink) -> None:
    await reach(notify)
    await notify.receives(said(PlacementMade))
    slow = await sender.claim()
    notify.clock.now += LEASE
    assert await send(sender) == 1
    await sender.deliver(slow)
    assert list(sink.asked_by_key.values()) == [2]
    assert len(sink.passed_on) == 1
    assert len(await notify.published(DeliveryMade)) == 1


async def test_a_sender_that_outlived_its_lease_leaves_the_next_one_its_own(
    notify: Harness, sender: Sender, sink: Sink
) -> None:
    await reach(notify)
    await notify.receives(said(PlacementMade))
    slow = await sender.claim()
    notify.clock.now += LEASE
    [held] = await sender.claim()
    sink.turns.append(500)
    await sender.deliver(slow)
    assert (await only_delivery(notify)).due_at == held.due_at == clock.now() + LEASE


class StumblingGateway(SmsGateway):
    """Fails once, in a way that nobody foresaw."""

    stumbled = False

    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        if not self.stumbled:
            self.stumbled = True
            raise ZeroDivisionError
        await super().send(address, text, idempotency_key)


async def test_a_failure_nobody_foresaw_is_tried_again_when_its_lease_ends(notify: Harness, sink: Sink) -> None:
    await reach(notify)
    await reach(notify, EMPLOYER, "+8619900000002")
    await notify.receives(said(PlacementMade))
    async with provider_client() as client:
        sender = Sender(notify.runtime, {"sms": StumblingGateway(sink.url, client)})
        assert await send(sender) == 2
        assert len(sink.passed_on) == 1
        notify.clock.now += LEASE
        assert await send(sender) == 1
    assert len(sink.passed_on) == 2


async def test_a_contact_point_that_cannot_be_read_stops_nobody_elses_message(
    notify: Harness, sender: Sender, sink: Sink
) -> None:
    await reach(notify)
    await reach(notify, EMPLOYER, "+8619900000002")
    await notify.runtime.store.db["contacts"].update_one({"_id": EMPLOYER}, {"$set": {"points.0.sealed": bytes(40)}})
    await notify.receives(said(PlacementMade))
    assert await send(sender) == 2
    assert [body["to"] for body in sink.passed_on.values()] == [PHONE]
    notify.clock.advance(hours=6)
    assert await send(sender) == 1
    assert [failed.reason for failed in await notify.published(DeliveryFailed)] == ["too-late"]


@pytest.mark.parametrize("turn", ["taken-but-cut", "answer-twice"])
async def test_a_provider_whose_answer_is_lost_or_doubled_passes_on_one_message(
    notify: Harness, sender: Sender, sink: Sink, turn: Turn
) -> None:
    await reach(notify)
    await notify.receives(said(PlacementMade))
    sink.turns.append(turn)
    await send(sender)
    notify.clock.advance(minutes=1)
    await send(sender)
    await notify.receives(said(OfferMade, expires_at=clock.now() + timedelta(minutes=1)))
    await send(sender)
    assert sorted(key.split(":")[0] for key in sink.passed_on) == ["offer-made", "placement-made"]
    assert len(await notify.published(DeliveryMade)) == 2


async def test_two_senders_share_the_work_and_send_each_once(notify: Harness, sender: Sender, sink: Sink) -> None:
    await reach(notify)
    offers = [said(OfferMade, offer_id=f"offer-{n}", expires_at=clock.now() + timedelta(hours=1)) for n in range(40)]
    await notify.receives(*offers)
    async with provider_client() as client:
        other = Sender(notify.runtime, {"sms": SmsGateway(sink.url, client)})
        rounds = await asyncio.gather(*(send(one) for one in (sender, other, sender, other)))
    assert sum(rounds) == 40
    assert max(rounds) <= AT_ONCE
    assert len(sink.asked) == len(sink.passed_on) == 40


async def test_one_slow_answer_does_not_hold_up_the_others(
    notify: Harness, sender: Sender, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "TIMEOUT_SECONDS", 30.0)
    await reach(notify)
    offers = [said(OfferMade, offer_id=f"offer-{n}", expires_at=clock.now() + timedelta(hours=1)) for n in range(100)]
    sink.turns.append("hang")
    await notify.receives(*offers)
    running = asyncio.create_task(sender.run())

    async def all_but_one_are_made() -> bool:
        return len(await notify.published(DeliveryMade)) == 99

    await until(all_but_one_are_made)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(sink.passed_on) == 99


async def test_the_trace_goes_on_and_nothing_personal_is_said(notify: Harness, sender: Sender, sink: Sink) -> None:
    spans = InMemorySpanExporter()
    notify.runtime.traces.add_span_processor(SimpleSpanProcessor(spans))
    trace = "0af7651916cd43dd8448eb211c80319c"
    await reach(notify)
    row = outbox_row(
        said(PlacementMade), clock.new_id(), 1, "test", clock.now(), {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    )
    letter = notify.letter(row.topic, row.body, **row.headers)
    sink.turns.append(500)
    with capture_logs() as lines:
        await notify.receives_letters(letter, topic=row.topic)
        await send(sender)
        notify.clock.advance(seconds=2)
        await send(sender)
    sent = [span for span in spans.get_finished_spans() if span.name == "send sms"]
    assert [f"{span.context.trace_id:032x}" for span in sent if span.context] == [trace, trace]
    [outgoing] = await notify.runtime.store.db["_outbox"].find({}).to_list()
    assert trace in outgoing["headers"]["traceparent"]
    [text] = [body["text"] for body in sink.passed_on.values()]
    everything = "".join(span.to_json() for span in spans.get_finished_spans()) + repr(lines) + repr(outgoing)
    assert lines
    for personal in (PHONE, PHONE[-8:], text, text.encode("unicode_escape").decode()):
        assert personal not in everything


async def test_an_employers_verification_is_sent_too(notify: Harness, sender: Sender, sink: Sink) -> None:
    await reach(notify, EMPLOYER)
    await notify.receives(said(EmployerVerified))
    await send(sender)
    assert ["核验" in body["text"] for body in sink.passed_on.values()] == [True]
