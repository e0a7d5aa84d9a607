"""What notify remembers: how to reach a person, what it told them, and what is still on its way to their phone."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

from pymongo import IndexModel

from services.notify.texts import Fact, Facts, Language, Part, say
from shared.unit import Document, Unit

MESSAGE_DAYS = 180
DELIVERY_DAYS = 30


class Contact(Document):
    """A person's contact point, with their consent to be told through it. The id is the person's."""

    collection = "contacts"
    indexes: ClassVar = [IndexModel("blind")]

    channel: Literal["sms"]
    sealed: bytes
    blind: str
    language: Language
    consented_at: datetime


class Mailbox(Document):
    """How many messages a person has had; the id is the person's.

    Every message passes this one document, so a person's messages are committed in the order of their numbers: who has
    read up to a number has missed none below it.
    """

    collection = "mailboxes"

    last: int = 0


class Message(Document):
    """What one person is told of one event, as facts: its text is made when it is read, in the reader's language.

    The id is `<about>:<person>`, so there is one for each event and person. `context` is the id of an earlier message
    whose facts it needs, such as the title of the gig.
    """

    collection = "messages"
    indexes: ClassVar = [
        IndexModel([("person_id", 1), ("sequence", 1)], unique=True),
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
    """

    collection = "deliveries"
    indexes: ClassVar = [
        IndexModel([("state", 1), ("due_at", 1)]),
        IndexModel("at", expireAfterSeconds=DELIVERY_DAYS * 86_400),
    ]

    person_id: str
    message_id: str
    about: str
    channel: Literal["sms"]
    state: Literal["waiting", "made", "failed"] = "waiting"
    due_at: datetime
    give_up_at: datetime
    attempts: int = 0
    trace: dict[str, str]
    at: datetime


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


DOCUMENTS: list[type[Document]] = [Contact, Mailbox, Message, Delivery, Gig, Standing]


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
