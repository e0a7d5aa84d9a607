"""Notify over HTTP: contact points and preferences, a person's messages and the live stream of them; what many hear."""

import asyncio
import hmac
import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from fastapi import Header, Path, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pymongo.errors import PyMongoError
from starlette.types import Message as AsgiMessage
from starlette.types import Send

from services.notify import push
from services.notify.broadcast import post_notice, raise_alert, withdraw_alert
from services.notify.channels import may_post_to
from services.notify.domain import ORDER, SEVERAL, Via, masked
from services.notify.live import Live
from services.notify.rules import Hour
from services.notify.store import (
    RULES,
    Alert,
    Contact,
    Delivery,
    Gig,
    Member,
    Message,
    Notice,
    Point,
    Preferences,
    alerts_on,
    keep_or_delete,
    last_of,
    messages_before,
    others_at,
    texts_of,
)
from services.notify.telling import take_receipt
from services.notify.texts import TEMPLATES, Language
from shared import clock
from shared.audit import audit
from shared.auth import Anyone, Clerk, Worker
from shared.contracts.notify import AlertKind
from shared.contracts.terms import Instant
from shared.districts import GivenDistrict
from shared.http import InSealer, InUnit, Routes, language_of
from shared.problems import Conflict, Forbidden, Invalid, Missing, Problem, Text
from shared.rulebook import add_routes
from shared.sealed import PersonalSealer
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

LASTS_AT_MOST = timedelta(days=7)
GROUPS_EACH = 20

ALERT = Text("alert", "提醒")
CONTACT = Text("contact point", "联系方式")
DELIVERY = Text("message on its way", "发送中的消息")
GIG = Text("gig", "岗位")
NEEDED = Text("is needed: a webhook's posts are signed with it", "为必填项：用于对 webhook 请求签名")
OF_PUSH = Text("are for web push, and needed there", "仅用于浏览器推送，且为必填项")
NOT_OUTSIDE = Text(
    "must be https, and a host that the whole Internet reaches: no private, local or reserved address",
    "须为 https，且主机可从公网访问；不得为内网、本机或保留地址",
)
NOT_A_PROVIDER = Text("The token is not the one that providers share with us.", "令牌与服务商约定的不符。")
NOT_YOUR_DISTRICT = Text("This is for a clerk of that district.", "仅限该区县的工作人员操作。")
OVER = Text("The alert is over.", "该提醒已过有效期。")
NOT_SO_LONG = Text("must lie ahead, and at most {most} days", "须在将来，且不超过 {most} 天")
GROUPS = Text("You are in {most} groups already. Leave one.", "您已加入 {most} 个驿站群，请先退出一个。")
TOO_MANY = Text("You have {most} live streams open already. Close one.", "您已打开 {most} 个实时消息流，请先关闭一个。")


_PHONE = (
    re.compile(r"\+[1-9][0-9]{7,14}"),
    ("must be a number as in E.164: + and 8 to 15 digits", "应为 E.164 号码：+ 加 8 至 15 位数字"),
)
ADDRESSES: Mapping[Via, tuple[re.Pattern[str], tuple[str, str]]] = {
    "sms": _PHONE,
    "voice": _PHONE,
    "email": (
        re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,190}\.[A-Za-z]{2,63}"),
        ("must be an e-mail address", "应为电子邮件地址"),
    ),
    "webhook": (
        re.compile(r"https?://[A-Za-z0-9.-]{1,253}(:[1-5]?[0-9]{1,4})?(/[!-\"$-~]*)?"),
        ("must be an https address without a user or fragment", "应为 https 地址，不含用户信息和片段"),
    ),
    "push": (
        re.compile(r"https?://[A-Za-z0-9.-]{1,253}(:[1-5]?[0-9]{1,4})?/[!-\"$-~]*"),
        ("must be a push service's https address", "应为推送服务的 https 地址"),
    ),
    "wechat": (re.compile(r"[0-9A-Za-z_-]{20,64}"), ("must be a follower's openid", "应为关注者的 openid")),
    "wecom": (re.compile(r"[0-9A-Za-z-]{16,64}"), ("must be the key of a group's robot", "应为群机器人的 key")),
}
"""What an address of a channel looks like, and how that is said."""


def _kind(kind: str) -> str:
    if kind not in TEMPLATES or not TEMPLATES[kind].outward:
        raise Said("must be a kind of message that is sent outside", "应为可对外发送的消息类型")
    return kind


Kind = Annotated[str, AfterValidator(_kind)]
PublicText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=300)]
Station = Annotated[str, Path(pattern=r"^[1-9][0-9]{5}-[a-z0-9-]{1,60}$", description="a station's id")]


class PushKeys(BaseModel):
    """`keys` of a browser's `PushSubscription`: a point of P-256 and a secret of 16 bytes, in base64url."""

    model_config = ConfigDict(extra="forbid")

    p256dh: Annotated[str, StringConstraints(max_length=100)]
    auth: Annotated[str, StringConstraints(max_length=50)]

    @field_validator("p256dh")
    @classmethod
    def _a_point(cls, key: str) -> str:
        if not push.is_point(key):
            raise Said("must be an uncompressed point of P-256 in base64url", "应为 base64url 编码的 P-256 非压缩公钥")
        return key

    @field_validator("auth")
    @classmethod
    def _a_secret(cls, secret: str) -> str:
        if not push.is_secret(secret):
            raise Said("must be 16 bytes in base64url", "应为 base64url 编码的 16 字节")
        return secret


class ContactForm(BaseModel):
    """How a person wishes to be told, by one channel, and their consent.

    `address`: a phone number as in E.164 (sms, voice), an e-mail address, an https address (webhook), the key of a
    group's robot (wecom), the openid of a follower (wechat), or the endpoint of a browser's subscription (push), whose
    `keys` come with it. A webhook's posts are signed with `secret`, which is the person's to choose.
    """

    model_config = ConfigDict(extra="forbid")

    channel: Via
    address: Annotated[str, StringConstraints(max_length=1_000)]
    language: Language
    consent: bool
    secret: Annotated[str, StringConstraints(pattern=r"^[!-~]{24,200}$")] | None = None
    keys: PushKeys | None = None

    @field_validator("address")
    @classmethod
    def _of_the_channel(cls, address: str, known: ValidationInfo) -> str:
        channel: Via | None = known.data.get("channel")
        if channel is None:
            return address
        pattern, right = ADDRESSES[channel]
        if not pattern.fullmatch(address):
            raise Said(*right)
        return address

    @field_validator("consent")
    @classmethod
    def _given(cls, consent: bool) -> bool:
        if not consent:
            raise Said("must be true: nobody is written to without their consent", "须为 true：未经同意不得发送消息")
        return consent

    @field_validator("secret")
    @classmethod
    def _of_a_webhook(cls, secret: str | None, known: ValidationInfo) -> str | None:
        if (known.data.get("channel") == "webhook") != (secret is not None):
            raise Said("is for a webhook, and needed there", "仅用于 webhook，且为必填项")
        return secret

    @property
    def whole(self) -> str:
        """The address with what belongs to it."""
        behind = f"{self.keys.p256dh}.{self.keys.auth}" if self.keys else self.secret
        return f"{self.address}#{behind}" if behind else self.address


class ContactView(BaseModel):
    """A contact point, its address masked."""

    channel: Via
    address: str
    language: Language
    consented_at: datetime


class PushKeyView(BaseModel):
    """A point of P-256 in base64url (RFC 8292, 3.2)."""

    public_key: str


class PreferencesForm(BaseModel):
    """How a person wishes to be told, beside where; the whole of it. What is left out is as the market's rules say.

    `order`: which channel is tried first, and which stand in for it in turn. `channels`: for a kind of message the
    channels that it takes in place of those; none: it stays in the list of messages. `digest`: kinds that are gathered
    and sent once a day; not urgent ones. `quiet_from` and `quiet_until`: hours of the region's day without messages
    that can wait, such as 22:00 and 06:00; equal: there are none.
    """

    model_config = ConfigDict(extra="forbid")

    order: Annotated[list[Via], Field(max_length=len(ORDER))] = []
    channels: dict[Kind, Annotated[list[Via], Field(max_length=len(ORDER))]] = {}
    digest: Annotated[list[Kind], Field(max_length=len(TEMPLATES))] = []
    quiet_from: Hour | None = None
    quiet_until: Hour | None = None

    @field_validator("digest")
    @classmethod
    def _can_wait(cls, digest: list[str]) -> list[str]:
        if urgent := sorted(kind for kind in digest if TEMPLATES[kind].urgent):
            raise Said(f"must not have what is urgent: {', '.join(urgent)}", f"不得包含紧急消息：{'、'.join(urgent)}")
        return list(dict.fromkeys(digest))

    @model_validator(mode="after")
    def _both_hours(self) -> Self:
        if (self.quiet_from is None) != (self.quiet_until is None):
            raise Said("quiet_from and quiet_until belong together", "quiet_from 与 quiet_until 须同时填写")
        return self


class ReceiptForm(BaseModel):
    """What a provider knows of a message: `delivery_id` is the idempotency key that it came with."""

    model_config = ConfigDict(extra="forbid")

    delivery_id: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    outcome: Literal["delivered", "failed"]


class NoticeForm(BaseModel):
    """Something urgent for a station's group, in both languages; about a gig or not. After `until` nobody is told."""

    model_config = ConfigDict(extra="forbid")

    zh: PublicText
    en: PublicText
    gig_id: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    until: Instant


class NoticeView(BaseModel):
    notice_id: str
    station_id: str
    gig_id: str | None
    zh: str
    en: str
    at: datetime
    until: datetime


class AlertForm(BaseModel):
    """A verified warning to those within `radius_m` metres of a place (WGS 84), in both languages, until it is over.

    The text is public: it names no private person.
    """

    model_config = ConfigDict(extra="forbid")

    kind: AlertKind
    district: GivenDistrict
    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    radius_m: Annotated[int, Field(ge=100, le=50_000)]
    zh: PublicText
    en: PublicText
    until: Instant


class WithdrawalForm(BaseModel):
    """Why an alert is withdrawn: kept for the record, and told to nobody."""

    model_config = ConfigDict(extra="forbid")

    reason: PublicText


class AlertView(BaseModel):
    alert_id: str
    kind: AlertKind
    district: str
    lat: float
    lon: float
    radius_m: int
    zh: str
    en: str
    at: datetime
    until: datetime
    withdrawn_at: datetime | None = None


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
async def set_contact(
    form: ContactForm, caller: Anyone, unit: InUnit, sealer: InSealer, request: Request
) -> ContactView:
    """Set where and in which language the caller is told of things by a channel outside this service.

    It takes the place of the channel's contact point before; those of other channels stay. Of web push each browser is
    a contact point of its own, up to ten, and belongs to who gave it last.
    """
    runtime: Runtime = request.app.state.runtime
    if form.channel == "webhook" and form.secret is None:
        raise Invalid("secret", NEEDED)
    if (form.channel == "push") != (form.keys is not None):
        raise Invalid("keys", OF_PUSH)
    if form.channel in ("webhook", "push") and not (
        may_post_to(form.address) or runtime.settings.webhooks_may_be_local
    ):
        raise Invalid("address", NOT_OUTSIDE)
    point = Point(
        channel=form.channel,
        sealed=await sealer.seal(form.whole, of=caller.id, field="address"),
        blind=sealer.blind(form.address, field="address"),
        language=form.language,
        consented_at=unit.now,
    )
    contact = await unit.get(Contact, caller.id) or Contact(id=caller.id, points=[])
    contact.put(point)
    unit.save(contact)
    for other in await others_at(unit, caller.id, point.blind) if point.channel in SEVERAL else []:
        other.drop([(point.channel, point.blind)])
        keep_or_delete(unit, other)
    return await _contact_view(sealer, caller.id, point)


@routes.get("/contact")
async def read_contact(caller: Anyone, unit: InUnit, sealer: InSealer) -> ContactView:
    """The caller's first contact point."""
    contact = await unit.get(Contact, caller.id)
    if contact is None:
        raise Missing(CONTACT)
    return await _contact_view(sealer, caller.id, contact.points[0])


@routes.get("/contacts")
async def list_contacts(caller: Anyone, unit: InUnit, sealer: InSealer) -> list[ContactView]:
    """All of the caller's contact points."""
    contact = await unit.get(Contact, caller.id)
    return [await _contact_view(sealer, caller.id, point) for point in contact.points] if contact else []


@routes.delete("/contact", status_code=204)
async def withdraw_contact(caller: Anyone, unit: InUnit) -> None:
    """Withdraw consent for all channels: nothing more is sent outside, not even what is on its way."""
    contact = await unit.get(Contact, caller.id)
    if contact:
        unit.delete(contact)


@routes.delete("/contacts/{channel}", status_code=204)
async def withdraw_channel(channel: Via, caller: Anyone, unit: InUnit) -> None:
    """Withdraw consent for one channel."""
    contact = await unit.get(Contact, caller.id)
    if contact is None:
        return
    contact.drop([(channel, point.blind) for point in contact.of(channel)])
    keep_or_delete(unit, contact)


async def _contact_view(sealer: PersonalSealer, person_id: str, point: Point) -> ContactView:
    address = (await sealer.open(point.sealed, of=person_id, field="address")).partition("#")[0]
    return ContactView(
        channel=point.channel,
        address=masked(address),
        language=point.language,
        consented_at=point.consented_at,
    )


@routes.get("/push-key")
async def read_push_key(request: Request) -> PushKeyView:
    """The key that browsers subscribe with: `applicationServerKey`. Public, and the same as long as the secret is."""
    runtime: Runtime = request.app.state.runtime
    return PushKeyView(public_key=push.sender_of(runtime.settings).public_key)


@routes.put("/preferences")
async def set_preferences(form: PreferencesForm, caller: Anyone, unit: InUnit) -> PreferencesForm:
    """Set how the caller is told: kinds by channel, the order of channels, quiet hours, what is gathered for a day."""
    before = await unit.get(Preferences, caller.id)
    unit.save(Preferences(id=caller.id, version=before.version if before else 0, **form.model_dump()))
    return form


@routes.get("/preferences")
async def read_preferences(caller: Anyone, unit: InUnit) -> PreferencesForm:
    wishes = await unit.get(Preferences, caller.id) or Preferences(id=caller.id)
    return PreferencesForm(**wishes.model_dump(include=set(PreferencesForm.model_fields)))


@routes.post("/receipts", status_code=204)
async def receive_receipt(form: ReceiptForm, unit: InUnit, request: Request) -> None:
    """A provider says that a message arrived or did not, with the token that it shares with us as its bearer.

    Again, it changes nothing. 404 for a message that is not known.
    """
    runtime: Runtime = request.app.state.runtime
    token = runtime.settings.receipts_token.get_secret_value()
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not token or not hmac.compare_digest(token.encode(), given.encode()):
        raise Problem(401, "invalid-token", NOT_A_PROVIDER)
    delivery = await unit.get(Delivery, form.delivery_id)
    if delivery is None:
        raise Missing(DELIVERY)
    await take_receipt(unit, delivery, arrived=form.outcome == "delivered")


# --- groups and alerts -----------------------------------------------------------------------------------------------


@routes.get("/groups")
async def list_groups(worker: Worker, unit: InUnit) -> list[str]:
    """The stations whose groups the caller is in."""
    return sorted(member.station_id for member in await unit.find(Member, {"person_id": worker.id}))


@routes.put("/groups/{station_id}/membership", status_code=204)
async def join_group(station_id: Station, worker: Worker, unit: InUnit) -> None:
    """Hear of a station's urgent gigs from now on."""
    id = f"{station_id}/{worker.id}"
    if await unit.get(Member, id) is None:
        if await unit.count(Member, {"person_id": worker.id}) >= GROUPS_EACH:
            raise Conflict("too-many-groups", GROUPS, most=GROUPS_EACH)
        unit.save(Member(id=id, station_id=station_id, person_id=worker.id, at=unit.now))


@routes.delete("/groups/{station_id}/membership", status_code=204)
async def leave_group(station_id: Station, worker: Worker, unit: InUnit) -> None:
    if member := await unit.get(Member, f"{station_id}/{worker.id}"):
        unit.delete(member)


@routes.post("/groups/{station_id}/notices", status_code=201)
async def post_to_group(station_id: Station, form: NoticeForm, clerk: Clerk, unit: InUnit) -> NoticeView:
    """Tell a station's group something urgent: each member once, at any hour. By a clerk of the station's district.

    404 `not-found` for a gig that is not known.
    """
    district = station_id.partition("-")[0]
    if not clerk.covers(district):
        raise Forbidden(NOT_YOUR_DISTRICT)
    _ends_soon(form.until, unit)
    if form.gig_id and await unit.get(Gig, form.gig_id) is None:
        raise Missing(GIG)
    notice = Notice(
        id=clock.new_id(), station_id=station_id, district=district, at=unit.now, by=clerk.id, **form.model_dump()
    )
    post_notice(unit, notice)
    await audit(unit, clerk.id, "notice posted", notice_id=notice.id, station_id=station_id)
    return NoticeView(notice_id=notice.id, **notice.model_dump(include=set(NoticeView.model_fields)))


@routes.post("/alerts", status_code=201)
async def post_alert(form: AlertForm, clerk: Clerk, unit: InUnit) -> AlertView:
    """Warn those who wait for work within a radius, and those who come while it lasts: each once, at any hour.

    By a clerk of the district, whose act says that it is verified.
    """
    if not clerk.covers(form.district):
        raise Forbidden(NOT_YOUR_DISTRICT)
    _ends_soon(form.until, unit)
    alert = Alert(id=clock.new_id(), at=unit.now, by=clerk.id, **form.model_dump())
    raise_alert(unit, alert)
    await audit(unit, clerk.id, "alert raised", alert_id=alert.id, district=alert.district)
    return _alert_view(alert)


@routes.post("/alerts/{alert_id}/withdraw")
async def take_back_alert(alert_id: str, form: WithdrawalForm, clerk: Clerk, unit: InUnit) -> AlertView:
    """Withdraw an alert that does not hold: who was told is told that, and nobody else is told of it any more.

    By a clerk of its district; again, it changes nothing. 409 `alert-over` when its time has passed.
    """
    alert = await unit.get(Alert, alert_id)
    if alert is None:
        raise Missing(ALERT)
    if not clerk.covers(alert.district):
        raise Forbidden(NOT_YOUR_DISTRICT)
    if alert.withdrawn_at is None:
        if not alert.lasts(unit.now):
            raise Conflict("alert-over", OVER)
        withdraw_alert(unit, alert)
        await audit(unit, clerk.id, "alert withdrawn", alert_id=alert.id, reason=form.reason)
    return _alert_view(alert)


@routes.get("/alerts")
async def list_alerts(unit: InUnit) -> list[AlertView]:
    """The alerts that last. Public."""
    return [_alert_view(alert) for alert in await alerts_on(unit)]


def _ends_soon(until: datetime, unit: Unit) -> None:
    if not unit.now < until <= unit.now + LASTS_AT_MOST:
        raise Invalid("until", NOT_SO_LONG, most=LASTS_AT_MOST.days)


def _alert_view(alert: Alert) -> AlertView:
    return AlertView(alert_id=alert.id, **alert.model_dump(include=set(AlertView.model_fields)))


# --- messages --------------------------------------------------------------------------------------------------------


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


add_routes(routes, RULES)
