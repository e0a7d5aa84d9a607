"""Sends what is due, outside every transaction.

    claim (a unit) ─► send (the channel) ─► mark (a unit)

A claim moves the delivery's due time on, which is its lease: a process that dies with it leaves a delivery that falls
due again, and is sent again under the same key, so the channel passes it on once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

import httpx
import structlog
from opentelemetry.trace import SpanKind, Status, StatusCode

from services.notify.channels import TIMEOUT_SECONDS, Channel, Rejected, Retry, SmsGateway
from services.notify.domain import pause
from services.notify.store import Contact, Delivery, Message, deliveries_due, texts_of
from shared.contracts.notify import DeliveryFailed, DeliveryMade
from shared.faults import fault_point
from shared.sealed import Sealer
from shared.service import Runtime
from shared.telemetry import span_from
from shared.unit import Unit

log = structlog.get_logger()

LANES = 4
AT_ONCE = 16
IDLE_SECONDS = 0.25
LEASE = timedelta(seconds=30)


class Sender:
    """Sends deliveries through their channels; `claim` and `deliver` are one round."""

    def __init__(self, runtime: Runtime, channels: Mapping[str, Channel]) -> None:
        self._store, self._tracer, self._channels = runtime.store, runtime.tracer, channels
        self._sealer = Sealer(runtime.settings, "notify")
        self._zone = ZoneInfo(runtime.settings.zone)
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Send for ever. Lanes send side by side, and look for work one at a time."""
        lanes = [asyncio.create_task(self._lane()) for _ in range(LANES)]
        try:
            await asyncio.gather(*lanes)
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)

    async def _lane(self) -> None:
        while True:
            async with self._turn:
                claimed = await self.claim()
                if not claimed:
                    await asyncio.sleep(IDLE_SECONDS)
            await self.deliver(claimed)

    async def claim(self) -> list[Delivery]:
        """Take deliveries that are due; nobody else takes them before the lease ends."""

        async def take(unit: Unit) -> list[Delivery]:
            due = await deliveries_due(unit, AT_ONCE)
            for delivery in due:
                delivery.attempts += 1
                delivery.due_at = unit.now + LEASE
                unit.save(delivery)
            return due

        return await self._store.transact(take)

    async def deliver(self, claimed: Sequence[Delivery]) -> None:
        """Send what was claimed, each on its own. What fails in a way not foreseen falls due again with its lease."""
        ends = await asyncio.gather(*map(self._deliver, claimed), return_exceptions=True)
        for delivery, error in zip(claimed, ends, strict=True):
            if error is not None:
                log.error("delivery left to its lease", delivery_id=delivery.id, exc_info=error)

    async def _deliver(self, delivery: Delivery) -> None:
        attributes: dict[str, str | int] = {"notify.channel": delivery.channel, "notify.attempt": delivery.attempts}
        with span_from(self._tracer, f"send {delivery.channel}", delivery.trace, SpanKind.CLIENT, attributes) as span:
            try:
                reason = await self._send(delivery)
            except Retry as error:
                span.set_status(Status(StatusCode.ERROR, error.trouble))
                await self._later(delivery, error)
                return
            if reason:
                span.set_status(Status(StatusCode.ERROR, reason))
            fault_point("sent_before_marked", reason is None)
            await self._mark(delivery, reason)

    async def _send(self, delivery: Delivery) -> str | None:
        """Hand one message over; returns why it never can be. Raises `Retry`."""
        unit = self._store.reading()
        contact = await unit.get(Contact, delivery.person_id)
        message = await unit.get(Message, delivery.message_id)
        if contact is None or message is None:
            return "contact-withdrawn"
        if unit.now >= delivery.give_up_at:
            return "too-late"
        [text] = await texts_of(unit, [message], contact.language, self._zone)
        address = self._sealer.open(contact.sealed, subject=contact.id, field="address")
        try:
            await self._channels[delivery.channel].send(address, text, delivery.id)
        except Rejected:
            return "rejected"
        return None

    async def _later(self, delivery: Delivery, error: Retry) -> None:
        """Try again after a pause, unless another process has taken it up or it will be of no use by then."""
        wait = pause(error.trouble, delivery.attempts, error.asked_seconds)
        log.warning("channel did not take a message", channel=delivery.channel, trouble=error.trouble)

        async def put_back(unit: Unit) -> bool:
            kept = await unit.get(Delivery, delivery.id)
            if kept and kept.state == "waiting" and kept.attempts == delivery.attempts:
                if unit.now + wait >= kept.give_up_at:
                    return False
                kept.due_at = unit.now + wait
                unit.save(kept)
            return True

        if not await self._store.transact(put_back):
            await self._mark(delivery, error.trouble)

    async def _mark(self, delivery: Delivery, reason: str | None) -> None:
        """Say how it ended, once: made, or failed for a reason."""

        async def mark(unit: Unit) -> None:
            kept = await unit.get(Delivery, delivery.id)
            if kept is None or kept.state != "waiting":
                return
            kept.state = "failed" if reason else "made"
            unit.save(kept)
            facts = {
                "delivery_id": kept.id,
                "person_id": kept.person_id,
                "about": kept.about,
                "channel": kept.channel,
            }
            if reason:
                unit.publish(DeliveryFailed(**facts, reason=reason, at=unit.now))
            else:
                unit.publish(DeliveryMade(**facts, at=unit.now))

        await self._store.transact(mark)


async def send_forever(runtime: Runtime) -> None:
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
        await Sender(runtime, {"sms": SmsGateway(runtime.settings.sms_url, client)}).run()
