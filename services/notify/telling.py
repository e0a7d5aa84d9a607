"""A message for a person, and its way outside: which channel, at which hour, and what stands in for one that fails.

Nothing is sent here. What is saved is a delivery with a due time, for the sender to claim.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache

from opentelemetry import propagate

from services.notify.domain import ORDER, Via, about, after_quiet, kind_of, next_time, ways
from services.notify.rules import Rules, hour
from services.notify.store import RULES, Contact, Delivery, Mailbox, Message, Preferences, zone
from services.notify.texts import TEMPLATES, Fact, Part
from shared.contracts import Event
from shared.contracts.notify import DeliveryFailed, DeliveryMade
from shared.rules import COUNTRY
from shared.sealed import PersonKey, erased
from shared.unit import Document, Unit

GIVE_UP_AFTER = timedelta(hours=6)
"""A message that could not be sent for so long is of no more use outside; it stays in the person's list."""

GATHERED_AT_MOST = 50
REFS = ("offer_id", "gig_id", "placement_id", "case_id", "alert_id", "notice_id", "article_id")


@cache
def _refs_in(kind: type[Event]) -> tuple[str, ...]:
    """Those that events of a kind have: to ask one for what it lacks is slow."""
    return tuple(name for name in REFS if name in kind.model_fields)


async def tell(
    unit: Unit,
    event: Event,
    part: Part,
    facts: Mapping[str, Fact],
    *,
    person: str | None = None,
    turn: str = "",
    context: str | None = None,
    until: datetime | None = None,
    outside: bool = True,
) -> None:
    """Save one message for one person about one event, and its delivery if they wish to be told outside too.

    Once per person and event: the same event again finds its message and leaves all as it is. `turn` tells apart events
    of one kind and subject; `context` names the event whose facts are needed too; after `until` it is not worth a
    delivery.
    """
    person = person or str(getattr(event, f"{part}_id"))
    identity = f"{about(event)}{turn}"
    key = f"{identity}:{person}"
    if await unit.get(Message, key) or await erased(unit, person):
        return
    mailbox = await unit.get(Mailbox, person) or Mailbox(id=person)
    mailbox.last += 1
    unit.save(mailbox)
    message = Message(
        id=key,
        person_id=person,
        sequence=mailbox.last,
        part=part,
        kind=kind_of(event),
        facts=dict(facts),
        refs={name: ref for name in _refs_in(type(event)) if (ref := getattr(event, name))},
        context=f"{context}:{person}" if context else None,
        at=unit.now,
    )
    unit.save(message)
    unit.nudge(person)
    if outside:
        await _send_outside(unit, message, mailbox, identity, until)


NEEDED: tuple[type[Document], ...] = (Mailbox, Contact, Preferences, PersonKey)
"""Of whoever is told something, beside the message itself."""


async def _send_outside(unit: Unit, message: Message, mailbox: Mailbox, about: str, until: datetime | None) -> None:
    """Save the delivery, if the person wishes one: now or in the morning, alone or with the day's others.

    An urgent message knows no night and no most a day. Who has one channel has no figures of the rules for it either.
    """
    template = TEMPLATES[message.kind]
    contact = await unit.get(Contact, message.person_id)
    if contact is None or not template.outward:
        return
    wishes = await _wishes(unit, message.person_id)
    channels = ways({point.channel for point in contact.points}, wishes.order, wishes.channels, message.kind)
    if not channels:
        return
    due_at, most, patience = unit.now, None, 0
    if not template.urgent or len(channels) > 1:
        rules = await RULES.of(unit, COUNTRY)
        patience = rules.fallback_seconds
        if not template.urgent and message.kind in wishes.digest:
            await _gather(unit, message, channels, next_time(unit.now, hour(rules.digest_at), zone()), patience)
            return
        if not template.urgent:
            due_at, most = _after_quiet(unit.now, wishes, rules), rules.most_a_day
    # What waits for the morning is of the morning's day; in the night before, the count is that day's already.
    day = f"{due_at.astimezone(zone()):%Y-%m-%d}"
    if day > mailbox.day:
        mailbox.day, mailbox.outward = day, 0
    if most is not None and mailbox.outward >= most:
        return
    mailbox.outward += 1
    _save_delivery(
        unit,
        key=message.id,
        person_id=message.person_id,
        message_id=message.id,
        about=about,
        channels=channels,
        due_at=due_at,
        until=min(filter(None, (until, due_at + GIVE_UP_AFTER))),
        worth_until=until,
        patience_seconds=patience,
        urgent=template.urgent,
    )


async def _wishes(unit: Unit, person_id: str) -> Preferences:
    return await unit.get(Preferences, person_id) or Preferences(id=person_id)


def _after_quiet(at: datetime, wishes: Preferences, rules: Rules) -> datetime:
    begins, ends = wishes.quiet_from or rules.quiet_from, wishes.quiet_until or rules.quiet_until
    return after_quiet(at, hour(begins), hour(ends), zone())


async def put_off_in_quiet_hours(unit: Unit, due: Sequence[Delivery]) -> Sequence[Delivery]:
    """What of the deliveries due may go out now; the rest waits for the end of its person's quiet hours.

    Whatever made it due in the night: a channel that fell back, another try, or a day on which nobody sent.
    """
    can_wait = [delivery for delivery in due if not delivery.urgent]
    if not can_wait:
        return due
    rules = await RULES.of(unit, COUNTRY)
    await unit.load(Preferences, [delivery.person_id for delivery in can_wait])
    for delivery in can_wait:
        morning = _after_quiet(unit.now, await _wishes(unit, delivery.person_id), rules)
        if morning == unit.now:
            continue
        waits = morning - unit.now
        delivery.due_at = morning
        delivery.give_up_at += waits
        if delivery.until:
            delivery.until += waits
        if delivery.worth_until:
            delivery.give_up_at = min(delivery.give_up_at, delivery.worth_until)
            delivery.until = min(delivery.until or delivery.worth_until, delivery.worth_until)
        unit.save(delivery)
    return [delivery for delivery in due if delivery.due_at <= unit.now]


async def _gather(
    unit: Unit, message: Message, channels: tuple[Via, ...], due_at: datetime, patience_seconds: int
) -> None:
    """Put a message to the others of its day, or of the next one when theirs is on its way already or full."""
    while True:
        about = f"digest:{due_at.astimezone(zone()):%Y-%m-%d}"
        key = f"{about}:{message.person_id}"
        digest = await unit.get(Delivery, f"{key}:{channels[0]}")
        if digest is None:
            break
        if digest.state == "waiting" and not digest.attempts and len(digest.gathers) < GATHERED_AT_MOST:
            digest.gathers.append(message.id)
            unit.save(digest)
            return
        due_at += timedelta(days=1)
    _save_delivery(
        unit,
        key=key,
        person_id=message.person_id,
        message_id=message.id,
        about=about,
        channels=channels,
        due_at=due_at,
        until=due_at + GIVE_UP_AFTER,
        patience_seconds=patience_seconds,
        gathers=[message.id],
    )


def _save_delivery(
    unit: Unit,
    *,
    key: str,
    person_id: str,
    message_id: str,
    about: str,
    channels: tuple[Via, ...],
    due_at: datetime,
    until: datetime,
    patience_seconds: int,
    urgent: bool = False,
    gathers: Iterable[str] = (),
    worth_until: datetime | None = None,
) -> None:
    """The delivery by the first of these channels, which knows the others."""
    channel, *others = channels
    trace: dict[str, str] = {}
    propagate.inject(trace)
    delivery = Delivery(
        id=f"{key}:{channel}",
        person_id=person_id,
        message_id=message_id,
        about=about,
        channel=channel,
        due_at=due_at,
        give_up_at=min(until, due_at + timedelta(seconds=patience_seconds)) if others else until,
        trace=trace,
        at=unit.now,
        urgent=urgent,
        others=others,
        patience_seconds=patience_seconds,
        until=until,
        worth_until=worth_until,
        gathers=list(gathers),
    )
    unit.save(delivery)


# --- when a channel fails --------------------------------------------------------------------------------------------


def _stands_in(delivery: Delivery) -> str:
    """The id of the delivery that stands in for this one: the same message by the next channel, so there is one."""
    return f"{delivery.id.removesuffix(delivery.channel)}{delivery.others[0]}"


async def fall_back(unit: Unit, delivery: Delivery, due_at: datetime) -> None:
    """Have the next channel stand in at `due_at`, if there is one and the message is still worth it then.

    Asked again, it comes at the earlier of the two times, once.
    """
    until = delivery.until or delivery.give_up_at
    if not delivery.others or due_at >= until:
        return
    known = await unit.get(Delivery, _stands_in(delivery))
    if known is None:
        _save_delivery(
            unit,
            key=delivery.id.removesuffix(f":{delivery.channel}"),
            person_id=delivery.person_id,
            message_id=delivery.message_id,
            about=delivery.about,
            channels=tuple(delivery.others),
            due_at=due_at,
            until=until,
            patience_seconds=delivery.patience_seconds,
            urgent=delivery.urgent,
            gathers=delivery.gathers,
            worth_until=delivery.worth_until,
        )
    elif known.state == "waiting" and not known.attempts and due_at < known.due_at:
        known.due_at = due_at
        unit.save(known)


async def stand_down(unit: Unit, delivery: Delivery) -> None:
    """The message arrived: what would stand in for this delivery is not needed, unless it is under way already."""
    known = await unit.get(Delivery, _stands_in(delivery)) if delivery.others else None
    if known and known.state == "waiting" and not known.attempts:
        known.state = "spared"
        unit.save(known)


async def call_back(unit: Unit, message_id: str) -> bool:
    """A message is wrong: what of it is not under way stays. Whether it went outside, or may have."""
    deliveries = [await unit.get(Delivery, f"{message_id}:{way}") for way in ORDER]
    known = [delivery for delivery in deliveries if delivery]
    for delivery in known:
        if delivery.state == "waiting" and not delivery.attempts:
            delivery.state = "spared"
            unit.save(delivery)
    return any(delivery.state != "spared" for delivery in known)


def ending(delivery: Delivery, reason: str | None, at: datetime) -> DeliveryMade | DeliveryFailed:
    """What is said of a delivery that ended: made, or failed for a reason."""
    facts = {
        "delivery_id": delivery.id,
        "person_id": delivery.person_id,
        "about": delivery.about,
        "channel": delivery.channel,
    }
    return DeliveryFailed(**facts, reason=reason, at=at) if reason else DeliveryMade(**facts, at=at)


async def take_receipt(unit: Unit, delivery: Delivery, *, arrived: bool) -> None:
    """A provider says how a message ended, be it before we know that it was handed over, late, or again.

    One that did not arrive falls to the next channel at once; what failed before stays so.
    """
    if delivery.state == "waiting" and arrived:
        unit.publish(ending(delivery, None, unit.now))
    if delivery.state in ("waiting", "made"):
        delivery.state = "delivered" if arrived else "failed"
        unit.save(delivery)
        if arrived:
            await stand_down(unit, delivery)
        else:
            unit.publish(ending(delivery, "not-delivered", unit.now))
            await fall_back(unit, delivery, unit.now)
