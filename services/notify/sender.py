"""Sends what is due, as shared/sending.py says. A delivery's id is its key, so the channel passes it on once."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

import structlog
from aiohttp import ClientSession
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, use_span

from services.notify import push
from services.notify.channels import (
    Channel,
    Gone,
    Rejected,
    SmsGateway,
    Smtp,
    VoiceGateway,
    Webhook,
    WebPush,
    WeChat,
    WeComRobot,
    webhook_client,
)
from services.notify.domain import Via
from services.notify.store import (
    Contact,
    Delivery,
    Message,
    alert_spreads,
    deliveries_due,
    keep_or_delete,
    load_with_contexts,
    texts_of,
)
from services.notify.telling import ending, fall_back, put_off_in_quiet_hours
from services.notify.texts import digest
from shared import clock
from shared.faults import fault_point
from shared.providers import provider_client
from shared.sealed import PersonalSealer, PersonKey, Shredded
from shared.sending import AT_ONCE, LEASE, Retry, pause, send_in_lanes
from shared.service import Runtime
from shared.settings import Settings
from shared.tasks import end_tasks
from shared.telemetry import span_from
from shared.unit import Unit

log = structlog.get_logger()

RECEIPTED: frozenset[Via] = frozenset({"sms", "voice"})
"""The channels whose providers say that a message arrived, where they have been given a token to say it with."""


ALERT_FIRST = timedelta(seconds=10)
"""For so long sending waits for an alert, in which it should be with everybody (F45)."""

MARK_SECONDS = 0.1
"""A transaction a message would cost more than sending it."""


class Sender:
    """Sends deliveries through their channels; `claim` and `deliver` are one round."""

    def __init__(self, runtime: Runtime, channels: Mapping[Via, Channel]) -> None:
        self._store, self._tracer, self.channels = runtime.store, runtime.tracer, channels
        self._sealer = runtime.sealer
        self._zone = ZoneInfo(runtime.settings.zone)
        self._receipted = RECEIPTED if runtime.settings.receipts_token.get_secret_value() else frozenset()

    async def run(self) -> None:
        """Send for ever."""
        await send_in_lanes(self.claim, self.deliver)

    async def claim(self) -> list[Delivery]:
        """Take deliveries that are due; nobody else takes them before the lease ends.

        None while an alert goes into people's lists: the last of those is to have it before the first has an SMS.
        """

        async def take(unit: Unit) -> list[Delivery]:
            if await alert_spreads(unit, since=unit.now - ALERT_FIRST):
                return []
            due = await put_off_in_quiet_hours(unit, await deliveries_due(unit, AT_ONCE))
            for delivery in due:
                delivery.attempts += 1
                delivery.due_at = unit.now + LEASE
                unit.save(delivery)
            return list(due)

        # Most often there is nothing: one question says so, where a transaction would be four.
        if not await deliveries_due(self._store.reading(), 1):
            return []
        return await self._store.transact(take)

    async def deliver(self, claimed: Sequence[Delivery]) -> None:
        """Send what was claimed side by side; what has ended is marked together, whatever the rest still waits for."""
        unit = self._store.reading()
        for kind in (Contact, PersonKey):
            await unit.load(kind, [delivery.person_id for delivery in claimed])
        await load_with_contexts(unit, [id for each in claimed for id in (each.message_id, *each.gathers)])
        sending = {asyncio.create_task(self._send(delivery, unit)) for delivery in claimed}
        try:
            while sending:
                ended, sending = await asyncio.wait(sending, timeout=MARK_SECONDS)
                await self._mark([end for end in (task.result() for task in ended) if end])
        finally:
            await end_tasks(*sending)

    async def _send(self, delivery: Delivery, loaded: Unit) -> "_End | None":
        """Hand one message over; how that ended, or None for what nobody foresaw: it falls due with its lease."""
        attributes: dict[str, str | int] = {"notify.channel": delivery.channel, "notify.attempt": delivery.attempts}
        with span_from(self._tracer, f"send {delivery.channel}", delivery.trace, SpanKind.CLIENT, attributes) as span:
            gone: list[str] = []
            try:
                reason = await self._hand_over(delivery, loaded, gone)
            except Retry as again:
                log.warning("channel did not take a message", channel=delivery.channel, trouble=again.trouble)
                span.set_status(Status(StatusCode.ERROR, again.trouble))
                return _End(delivery, span, again=again, gone=gone)
            except Exception as error:
                log.error("delivery left to its lease", delivery_id=delivery.id, exc_info=error)
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                return None
            if reason:
                span.set_status(Status(StatusCode.ERROR, reason))
            fault_point("sent_before_marked", reason is None)
            return _End(delivery, span, reason=reason, gone=gone)

    async def _hand_over(self, delivery: Delivery, loaded: Unit, gone: list[str]) -> str | None:
        """Returns why it never can be handed over. Raises `Retry`. `gone` gets the places that are no more.

        Where a channel has several places it is enough that one takes it: the others are the same person's.
        """
        if clock.now() >= delivery.give_up_at:
            return "too-late"
        contact = await loaded.get(Contact, delivery.person_id)
        points = contact.of(delivery.channel) if contact else []
        messages = [await loaded.get(Message, id) for id in delivery.gathers or [delivery.message_id]]
        known = [message for message in messages if message]
        if not points or not known:
            return "contact-withdrawn"
        if delivery.channel not in self.channels:
            return "no-channel"
        taken, again, people = False, None, PersonalSealer(self._sealer, loaded)
        for point in points:
            texts = await texts_of(loaded, known, point.language, self._zone)
            text = digest(texts, point.language) if len(texts) > 1 else texts[0]
            try:
                address = await people.open(point.sealed, of=delivery.person_id, field="address")
            except Shredded:
                return "contact-withdrawn"
            try:
                await self.channels[delivery.channel].send(address, text, delivery.id)
                taken = True
            except Gone:
                gone.append(point.blind)
            except Rejected:
                pass
            except Retry as retry:
                again = retry
        if again and not taken:
            raise again
        return None if taken else "rejected"

    async def _mark(self, ends: Sequence["_End"]) -> None:
        """Note how deliveries ended, and say so once; what is worth another try falls due after a pause."""

        async def mark(unit: Unit) -> None:
            await unit.load(Delivery, [end.delivery.id for end in ends])
            for end in ends:
                if end.gone and (contact := await unit.get(Contact, end.delivery.person_id)):
                    contact.drop([(end.delivery.channel, blind) for blind in end.gone])
                    keep_or_delete(unit, contact)
                kept = await unit.get(Delivery, end.delivery.id)
                if kept is None or kept.state != "waiting":
                    continue
                reason = end.reason
                if end.again:
                    if kept.attempts != end.delivery.attempts:
                        continue  # its lease ended, and another process tries now
                    reason = end.again.trouble
                    next_try = unit.now + pause(end.again.trouble, kept.attempts, end.again.asked_seconds)
                    if next_try < kept.give_up_at:
                        kept.due_at = next_try
                        unit.save(kept)
                        continue
                kept.state = "failed" if reason else "made"
                unit.save(kept)
                with use_span(end.span):
                    unit.publish(ending(kept, reason, unit.now))
                    if reason:
                        await fall_back(unit, kept, unit.now)
                    elif kept.urgent and kept.channel in self._receipted:
                        await fall_back(unit, kept, unit.now + timedelta(seconds=kept.patience_seconds))

        if ends:
            await self._store.transact(mark)


@dataclass(frozen=True)
class _End:
    """How one try ended: handed over, failed for a `reason`, or to be tried `again`. The trace goes on from `span`.

    `gone` are the blind indexes of the person's points at which nobody is any more.
    """

    delivery: Delivery
    span: Span
    reason: str | None = None
    again: Retry | None = None
    gone: Sequence[str] = ()


def channels_of(settings: Settings, client: ClientSession, to_webhooks: ClientSession) -> dict[Via, Channel]:
    """The channels that this region has: those whose provider's address is set, and those that need none."""
    channels: dict[Via, Channel] = {
        "sms": SmsGateway(settings.sms_url, client),
        "webhook": Webhook(to_webhooks, local=settings.webhooks_may_be_local),
        "wecom": WeComRobot(settings.wecom_url, client),
        "push": WebPush(to_webhooks, push.sender_of(settings), local=settings.webhooks_may_be_local),
    }
    if settings.wechat_app_id:
        channels["wechat"] = WeChat(
            settings.wechat_url,
            client,
            app_id=settings.wechat_app_id,
            secret=settings.wechat_secret.get_secret_value(),
            template=settings.wechat_template,
            field=settings.wechat_field,
            link=settings.wechat_link,
        )
    if settings.voice_url:
        channels["voice"] = VoiceGateway(settings.voice_url, client)
    if settings.smtp_url.get_secret_value():
        channels["email"] = Smtp(settings.smtp_url.get_secret_value(), settings.email_from)
    return channels


async def send_forever(runtime: Runtime) -> None:
    async with provider_client() as client, webhook_client() as to_webhooks:
        await Sender(runtime, channels_of(runtime.settings, client, to_webhooks)).run()
