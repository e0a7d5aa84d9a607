"""Notify over HTTP: a person's contact point, their messages, and the live stream of them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import Header, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, StringConstraints, field_validator
from pymongo.errors import PyMongoError
from starlette.types import Message as AsgiMessage
from starlette.types import Send

from services.notify.domain import masked
from services.notify.live import Live
from services.notify.store import Contact, Message, last_of, messages_before, texts_of
from services.notify.texts import Language
from shared.auth import Anyone
from shared.http import InUnit, Routes, language_of
from shared.problems import Missing, Problem, Text
from shared.sealed import Sealer
from shared.service import Runtime
from shared.unit import Unit
from shared.wording import Said

routes = Routes("notify")

HEARTBEAT_SECONDS = 15.0
STREAM_SECONDS = 3600.0
"""A stream ends after an hour, so that a token that was withdrawn is asked for again."""
SLOW_SECONDS = 10.0
"""A client that has not taken what it was sent for so long is let go; it comes back for the rest."""
RETRY_MS = 2000
STREAMS_EACH = 5
RECENT = 20

CONTACT = Text("contact point", "联系方式")
TOO_MANY = Text("You have {most} live streams open already. Close one.", "您已打开 {most} 个实时消息流，请先关闭一个。")


class ContactForm(BaseModel):
    """How a person wishes to be told: a phone number as in E.164, and their consent."""

    model_config = ConfigDict(extra="forbid")

    channel: Literal["sms"]
    address: Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{7,14}$")]
    language: Language
    consent: bool

    @field_validator("consent")
    @classmethod
    def _given(cls, consent: bool) -> bool:
        if not consent:
            raise Said("must be true: nobody is written to without their consent", "须为 true：未经同意不得发送消息")
        return consent


class ContactView(BaseModel):
    """A contact point, its address masked."""

    channel: Literal["sms"]
    address: str
    language: Language
    consented_at: datetime


class MessageView(BaseModel):
    """One message. `sequence` counts a person's messages; `refs` are the ids of what it is about."""

    sequence: int
    kind: str
    text: str
    refs: dict[str, str]
    at: datetime


class MessagePage(BaseModel):
    items: list[MessageView]
    next: int | None


@routes.put("/contact")
async def set_contact(form: ContactForm, caller: Anyone, unit: InUnit, request: Request) -> ContactView:
    """Set where and in which language the caller is told of things outside this service."""
    sealer: Sealer = request.app.state.sealer
    contact = Contact(
        id=caller.id,
        channel=form.channel,
        sealed=sealer.seal(form.address, subject=caller.id, field="address"),
        blind=sealer.blind(form.address, field="address"),
        language=form.language,
        consented_at=unit.now,
    )
    before = await unit.get(Contact, caller.id)
    if before:
        contact.version = before.version
    unit.save(contact)
    return _contact_view(contact, form.address)


@routes.get("/contact")
async def read_contact(caller: Anyone, unit: InUnit, request: Request) -> ContactView:
    contact = await unit.get(Contact, caller.id)
    if contact is None:
        raise Missing(CONTACT)
    sealer: Sealer = request.app.state.sealer
    return _contact_view(contact, sealer.open(contact.sealed, subject=caller.id, field="address"))


@routes.delete("/contact", status_code=204)
async def withdraw_contact(caller: Anyone, unit: InUnit) -> None:
    """Withdraw consent: nothing more is sent outside, not even what is on its way."""
    contact = await unit.get(Contact, caller.id)
    if contact:
        unit.delete(contact)


def _contact_view(contact: Contact, address: str) -> ContactView:
    return ContactView(
        channel=contact.channel,
        address=masked(address),
        language=contact.language,
        consented_at=contact.consented_at,
    )


@routes.get("/messages")
async def list_messages(
    caller: Anyone,
    unit: InUnit,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[int | None, Query(ge=1, description="the `next` of the page before")] = None,
) -> MessagePage:
    """The caller's messages, newest first, in the language of their contact point or of the request."""
    messages = await messages_before(unit, caller.id, after, limit)
    items = await _views(unit, messages, await _language(unit, caller.id, request), request)
    return MessagePage(items=items, next=messages[-1].sequence if len(messages) == limit else None)


class EventStream(StreamingResponse):
    """Server-sent events. A client that does not take them is let go, since waiting for it would cost memory."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._events = events

    async def stream_response(self, send: Send) -> None:
        async def send_soon(message: AsgiMessage) -> None:
            async with asyncio.timeout(SLOW_SECONDS):
                await send(message)

        async with aclosing(self._events):
            with suppress(TimeoutError):
                await super().stream_response(send_soon)


@routes.get("/stream", response_class=EventStream, status_code=200)
async def stream(
    caller: Anyone,
    unit: InUnit,
    request: Request,
    last_event_id: Annotated[int | None, Header(ge=0)] = None,
) -> EventStream:
    """The caller's messages as they come, as server-sent events; a comment line when it is quiet.

    `id` is the message's sequence, `event` its kind, `data` a MessageView. With `Last-Event-ID` it begins behind that
    message and so misses none; without, with the latest 20.
    """
    live: Live = request.app.state.live
    if live.count(caller.id) >= STREAMS_EACH:
        raise Problem(429, "too-many-streams", TOO_MANY, most=STREAMS_EACH)
    after = last_event_id
    if after is None:
        after = max(0, (await last_of(unit, [caller.id])).get(caller.id, 0) - RECENT)
    language = await _language(unit, caller.id, request)
    return EventStream(_events(request, caller.id, after, language))


async def _events(request: Request, person_id: str, after: int, language: Language) -> AsyncGenerator[bytes, None]:
    runtime: Runtime = request.app.state.runtime
    live: Live = request.app.state.live
    ends = time.monotonic() + STREAM_SECONDS
    yield format_sse_event(comment="open", retry=RETRY_MS)
    with suppress(PyMongoError):  # the database is away: the client comes back, as after any other end
        async with aclosing(live.follow(runtime.store, person_id, after, HEARTBEAT_SECONDS)) as pages:
            async for page in pages:
                for view in await _views(runtime.store.reading(), page, language, request):
                    yield format_sse_event(id=str(view.sequence), event=view.kind, data_str=view.model_dump_json())
                if not page:
                    yield format_sse_event(comment="quiet")
                if time.monotonic() > ends:
                    return


async def _views(unit: Unit, messages: Sequence[Message], language: Language, request: Request) -> list[MessageView]:
    runtime: Runtime = request.app.state.runtime
    texts = await texts_of(unit, messages, language, ZoneInfo(runtime.settings.zone))
    return [
        MessageView(sequence=one.sequence, kind=one.kind, text=text, refs=one.refs, at=one.at)
        for one, text in zip(messages, texts, strict=True)
    ]


async def _language(unit: Unit, person_id: str, request: Request) -> Language:
    contact = await unit.get(Contact, person_id)
    if contact:
        return contact.language
    return "en" if language_of(request) == "en" else "zh"
