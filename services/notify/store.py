"""What notify remembers: how to reach a person, what it told them, and what is still on its way to their phone."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, model_validator
from pymongo import IndexModel

from services.notify.domain import EARTH_M, SEVERAL, Via
from services.notify.rules import SHIPPED, Rules
from services.notify.texts import Fact, Facts, Language, Part, say
from shared.contracts.notify import AlertKind
from shared.once import OnceAUnit
from shared.rulebook import RuleBook, RuleVersion
from shared.settings import Settings
from shared.unit import Document, Unit

MESSAGE_DAYS = 180
DELIVERY_DAYS = 30
PLACES_EACH = 10


class Point(BaseModel):
    """Where one channel reaches a person, with their consent: an address, sealed under the person's id.

    Behind a `#`, as a fragment is never sent, a webhook's address carries the secret that its posts are signed with,
    and that of a browser's push service the two keys of the subscription, joined by a dot.
    """

    channel: Via
    sealed: bytes
    blind: str
    language: Language
    consented_at: datetime


class Contact(Document):
    """A person's contact points, sealed: one for each channel, and of web push one for each browser.

    The id is the person's; who has none has no contact.
    """

    collection = "contacts"
    indexes: ClassVar = [IndexModel("points.blind")]

    points: list[Point]

    @model_validator(mode="before")
    @classmethod
    def _from_when_there_was_one(cls, row: Any) -> Any:
        if isinstance(row, Mapping) and "points" not in row:
            return {**row, "points": [{name: row.get(name) for name in Point.model_fields}]}
        return row

    @property
    def language(self) -> Language:
        """The language in which they read what is not sent to a certain point."""
        return self.points[0].language

    def of(self, channel: Via) -> list[Point]:
        return [point for point in self.points if point.channel == channel]

    def put(self, point: Point) -> None:
        """Take the place of the channel's point before, or come behind the others.

        Where a channel has several it takes its own place; of more than `PLACES_EACH` the oldest goes.
        """

        def replaced(each: Point) -> bool:
            same = channel not in SEVERAL or each.blind == point.blind
            return each.channel == channel and same

        channel = point.channel
        if any(replaced(each) for each in self.points):
            self.points = [point if replaced(each) else each for each in self.points]
            return
        self.points.append(point)
        for oldest in self.of(channel)[:-PLACES_EACH]:
            self.points.remove(oldest)

    def drop(self, points: Collection[tuple[Via, str]]) -> None:
        """Take away points by their channel and blind index: one phone may be two of them."""
        self.points = [point for point in self.points if (point.channel, point.blind) not in points]


class Preferences(Document):
    """How a person wishes to be told, beside where. The id is the person's.

    `order` of channels goes before ours; `channels` says for a kind of message which it takes, none at all when empty;
    what is of a kind in `digest` is gathered for a day. `quiet_from` and `quiet_until` stand for the rules' hours.
    """

    collection = "preferences"

    order: list[Via] = []
    channels: dict[str, list[Via]] = {}
    digest: list[str] = []
    quiet_from: str | None = None
    quiet_until: str | None = None


class Mailbox(Document):
    """How many messages a person has had, and how many went outside on `day`; the id is the person's.

    Every message passes this one document, so a person's messages are committed in the order of their numbers: who has
    read up to a number has missed none below it.
    """

    collection = "mailboxes"

    last: int = 0
    day: str = ""
    outward: int = 0


class Message(Document):
    """What one person is told of one event, as facts: its text is made when it is read, in the reader's language.

    The id is `<about>:<person>`, so there is one for each event and person. `context` is the id of an earlier message
    whose facts it needs, such as the title of the gig.
    """

    collection = "messages"
    indexes: ClassVar = [
        IndexModel([("person_id", 1), ("sequence", 1)], unique=True),
        IndexModel(
            [("refs.alert_id", 1), ("person_id", 1)], partialFilterExpression={"refs.alert_id": {"$exists": True}}
        ),
        IndexModel("at", expireAfterSeconds=MESSAGE_DAYS * 86_400),
    ]

    person_id: str
    sequence: int
    part: Part
    kind: str
    facts: dict[str, Fact]
    refs: dict[str, str]
    context: str | None
    at: datetime


class Delivery(Document):
    """A message on its way to a contact point. The id is the key under which the channel takes it once.

    `due_at` is when it is tried next; whoever tries moves it on first, so that it is not tried by two at once.

    `made`: the provider took it; `delivered`: and says that it arrived; `spared`: it stood in for one that did, or what
    it says was withdrawn.
    `others` are the channels that stand in, in their order; each gives up after `patience_seconds` while there are any,
    and the last at `until`; `worth_until` is the message's own end, if it has one. `gathers` are the messages of a
    digest, of which `message_id` is the first.
    """

    collection = "deliveries"
    indexes: ClassVar = [
        IndexModel([("state", 1), ("due_at", 1)]),
        IndexModel("person_id"),
        IndexModel("at", expireAfterSeconds=DELIVERY_DAYS * 86_400),
    ]

    person_id: str
    message_id: str
    about: str
    channel: Via
    state: Literal["waiting", "made", "delivered", "failed", "spared"] = "waiting"
    due_at: datetime
    give_up_at: datetime
    attempts: int = 0
    trace: dict[str, str]
    at: datetime
    urgent: bool = False
    others: list[Via] = []
    patience_seconds: int = 0
    until: datetime | None = None
    worth_until: datetime | None = None
    gathers: list[str] = []


class Gig(Document):
    """Whose a gig is and what it is called; and whether its employer knows that it is full."""

    collection = "gigs"

    employer_id: str
    title: str
    full: bool = False
    times_full: int = 0


class Standing(Document):
    """How often an employer was told that it may not post. The id is the employer's."""

    collection = "standings"

    suspensions: int = 0


class Presence(Document):
    """Where a person waits for work, as the middle of a cell of about 170 m; gone when they no longer do.

    A personal trait that is not sealed, since it is searched by distance. The id is the presence's.
    """

    collection = "presences"
    indexes: ClassVar = [
        IndexModel([("where", "2dsphere"), ("worker_id", 1)]),
        IndexModel("until", expireAfterSeconds=0),
    ]

    worker_id: str
    where: dict[str, Any]
    until: datetime


class Member(Document):
    """A person in a station's group. The id is `<station>/<person>`."""

    collection = "members"
    indexes: ClassVar = [IndexModel([("station_id", 1), ("person_id", 1)]), IndexModel("person_id")]

    station_id: str
    person_id: str
    at: datetime


class Alert(Document):
    """A warning to those near a place while it lasts. Its text is public: a clerk wrote it for everybody.

    `withdrawn_at`: it was taken back.
    """

    collection = "alerts"
    indexes: ClassVar = [IndexModel("until"), IndexModel("at")]

    kind: AlertKind
    district: str
    lat: float
    lon: float
    radius_m: int
    zh: str
    en: str
    at: datetime
    until: datetime
    by: str
    withdrawn_at: datetime | None = None

    def lasts(self, now: datetime) -> bool:
        return now < self.until and self.withdrawn_at is None


class Notice(Document):
    """What a clerk tells a station's group, about a gig or not. Its text is public."""

    collection = "notices"
    indexes: ClassVar = [IndexModel([("station_id", 1), ("at", -1)])]

    station_id: str
    district: str
    gig_id: str | None
    zh: str
    en: str
    at: datetime
    until: datetime
    by: str


DOCUMENTS: list[type[Document]] = [
    *(Contact, Preferences, Mailbox, Message, Delivery, Gig, Standing),
    *(Presence, Member, Alert, Notice, RuleVersion),
]

RULES = RuleBook(Rules, SHIPPED)


@cache
def zone() -> ZoneInfo:
    """The zone whose hours and days count: KUAIZHAO_ZONE."""
    return ZoneInfo(Settings().zone)


async def messages_after(unit: Unit, person_id: str, sequence: int, limit: int) -> list[Message]:
    """A person's messages behind a number, oldest first."""
    query = {"person_id": person_id, "sequence": {"$gt": sequence}}
    return await unit.find(Message, query, sort=[("sequence", 1)], limit=limit)


async def messages_before(unit: Unit, person_id: str, sequence: int | None, limit: int) -> list[Message]:
    """A person's messages, newest first, beginning below a number."""
    query = {"person_id": person_id, **({"sequence": {"$lt": sequence}} if sequence is not None else {})}
    return await unit.find(Message, query, sort=[("sequence", -1)], limit=limit)


async def last_of(unit: Unit, people: Iterable[str]) -> dict[str, int]:
    """The number of each person's last message; who has none is left out."""
    return {box.id: box.last for box in await unit.find(Mailbox, {"_id": {"$in": list(people)}})}


async def others_at(unit: Unit, person_id: str, blind: str) -> list[Contact]:
    """The contacts of other people that have the same point."""
    return await unit.find(Contact, {"points.blind": blind, "_id": {"$ne": person_id}})


def keep_or_delete(unit: Unit, contact: Contact) -> None:
    """A contact whose points were taken away; who has none left has no contact."""
    if contact.points:
        unit.save(contact)
    else:
        unit.delete(contact)


async def deliveries_due(unit: Unit, limit: int) -> list[Delivery]:
    query = {"state": "waiting", "due_at": {"$lte": unit.now}}
    return await unit.find(Delivery, query, sort=[("due_at", 1)], limit=limit)


async def load_with_contexts(unit: Unit, ids: Sequence[str]) -> None:
    """Have messages, and those that they refer to, at hand."""
    await unit.load(Message, ids)
    messages = [await unit.get(Message, id) for id in ids]
    await unit.load(Message, [message.context for message in messages if message and message.context])


async def texts_of(unit: Unit, messages: Sequence[Message], language: Language, zone: ZoneInfo) -> list[str]:
    """Messages in words, each with the facts of the one it refers to."""
    await unit.load(Message, [message.context for message in messages if message.context])
    texts = []
    for message in messages:
        context = await unit.get(Message, message.context) if message.context else None
        facts: Facts = {**(context.facts if context else {}), **message.facts}
        texts.append(say(message.kind, message.part, language, facts, zone))
    return texts


# --- who is told together --------------------------------------------------------------------------------------------
async def people_near(unit: Unit, alert: Alert, after: str, limit: int) -> list[str]:
    """Who waits for work within an alert's radius, by id, beginning behind one."""
    circle = {"$centerSphere": [[alert.lon, alert.lat], alert.radius_m / EARTH_M]}
    rows = await unit.aggregate(
        Presence,
        [
            {"$match": {"where": {"$geoWithin": circle}, "until": {"$gt": unit.now}, "worker_id": {"$gt": after}}},
            {"$group": {"_id": "$worker_id"}},
            {"$sort": {"_id": 1}},
            {"$limit": limit},
        ],
    )
    return [row["_id"] for row in rows]


async def members_of(unit: Unit, station_id: str, after: str, limit: int) -> list[str]:
    """A station's group by the people's ids, beginning behind one."""
    query = {"station_id": station_id, "person_id": {"$gt": after}}
    return [each.person_id for each in await unit.find(Member, query, sort=[("person_id", 1)], limit=limit)]


async def people_in_groups(unit: Unit, after: str, limit: int) -> list[str]:
    """Everybody in any station's group, each once, by id, beginning behind one."""
    rows = await unit.aggregate(
        Member,
        [
            {"$match": {"person_id": {"$gt": after}}},
            {"$group": {"_id": "$person_id"}},
            {"$sort": {"_id": 1}},
            {"$limit": limit},
        ],
    )
    return [row["_id"] for row in rows]


_ALERTS_ON = OnceAUnit[str, list[Alert]]()


async def alerts_on(unit: Unit) -> list[Alert]:
    """The alerts that last, the oldest first."""
    lasts = {"until": {"$gt": unit.now}, "withdrawn_at": None}
    return await _ALERTS_ON.get(unit, "", lambda: unit.find(Alert, lasts, sort=[("at", 1)]))


async def people_told(unit: Unit, alert: Alert, after: str, limit: int) -> list[str]:
    """Who was told of an alert, by id, beginning behind one."""
    query = {"refs.alert_id": alert.id, "kind": "alert-raised", "person_id": {"$gt": after}}
    return [each.person_id for each in await unit.find(Message, query, sort=[("person_id", 1)], limit=limit)]


async def alert_spreads(unit: Unit, since: datetime) -> bool:
    """Whether an alert that was raised after `since` is not yet in the list of everybody near it."""
    recent = await unit.find(Alert, {"at": {"$gt": since}})
    return await unit.timer_due("alert", [alert.id for alert in recent])
