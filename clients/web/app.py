"""The web process: the live page, the pages of workers, employers and clerks, the documentation pages, and what plays
its part on one machine: a trace view, an SMS sink and an insurer.

It owns no data of the market: the board comes from matching through the gateway, events from the open topics, traces
by OTLP. Everything here is in memory and may be lost.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clients.city.places import city
from clients.web.events import Feed, Tail, open_topics
from clients.web.insurer import Books, Enrolment, Policy, Withdrawal
from clients.web.sms import Posted, Sent, Sms, SmsSink
from clients.web.traces import TraceStore, decode
from shared.broker import Broker
from shared.http import install_errors, language_of
from shared.problems import Missing, Problem, Text
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = Path(__file__).with_name("page")
DOCS = ROOT / "docs" / "site"
TOPICS = ROOT / "deploy" / "topics.yaml"

OTLP_BYTES = 16 * 1024 * 1024
READERS_AT_MOST = 1_000

PAGE_CSP = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
# The documentation pages bring vendored viewers, which set styles and images of their own.
DOCS_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
PAGE_MAY = "camera=(), geolocation=(), microphone=()"
PEOPLE_MAY = "camera=(self), geolocation=(self), microphone=()"
"""The pages of people read a work site's QR code, and look around where somebody is."""
ROLES = ("worker", "employer", "clerk")

TRACE = Text("trace here", "追踪记录")
PAGE_GONE = Text("page", "页面")
NOT_OTLP = Text("This is not an OTLP trace request in protobuf: {why}.", "正文不是 protobuf 格式的 OTLP 请求：{why}。")
PROTOBUF_ONLY = Text("Traces are taken as application/x-protobuf.", "追踪数据只接受 application/x-protobuf。")
TOO_MUCH = Text("A trace request may have at most {most} bytes unpacked.", "追踪请求解压后最多 {most} 字节。")
CROWDED = Text("Too many are watching the events. Try again later.", "观看实时事件的人太多，请稍后再试。")


class Guard:
    """Security headers on every answer; and what is for this machine alone is not there for who comes by a gateway."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        headers = HEADERS | {
            "content-security-policy": DOCS_CSP if path.startswith("/docs") else PAGE_CSP,
            "permissions-policy": PEOPLE_MAY if path.removeprefix("/") in ROLES else PAGE_MAY,
        }

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        if path.startswith(("/sms", "/insurer", "/otlp")) and any(
            name == b"x-forwarded-for" for name, _ in scope["headers"]
        ):
            await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)


@dataclass(frozen=True)
class Held:
    """What this process holds while it lives."""

    feed: Feed
    traces: TraceStore
    sms: SmsSink
    insurer: Books
    docs: Path


def held(request: Request) -> Held:
    found: Held = request.app.state.held
    return found


InHand = Annotated[Held, Depends(held)]
IdempotencyKey = Annotated[str, Header(min_length=1, max_length=200)]

routes = APIRouter()


def make_app(
    settings: Settings, *, feed: Feed | None = None, traces: TraceStore | None = None, docs: Path = DOCS
) -> FastAPI:
    """The web process as an ASGI application. With a `feed` given, that is shown, and Kafka is not followed."""
    store = traces if traces is not None else TraceStore()  # an empty store is false
    in_hand = Held(feed or Feed(), store, SmsSink(), Books(), docs)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if feed:
            yield
            return
        tail = asyncio.create_task(Tail(Broker.of(settings, "web"), open_topics(TOPICS), in_hand.feed).run())
        try:
            yield
        finally:
            tail.cancel()
            await asyncio.gather(tail, return_exceptions=True)

    app = FastAPI(title="Kuaizhao web", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.held = in_hand
    install_errors(app)
    app.add_middleware(Guard)
    app.include_router(routes)
    app.mount("/page", StaticFiles(directory=PAGE))
    if docs.is_dir():
        app.mount("/docs", StaticFiles(directory=docs, html=True))
    return app


# --- the page --------------------------------------------------------------------------------------------------------


@routes.get("/")
async def page(request: Request, lang: str = "") -> Response:
    """The live page."""
    return _in_language("index.html", request, lang)


def _role_page(role: str) -> Callable[..., Awaitable[Response]]:
    async def people(request: Request, lang: str = "") -> Response:
        return _in_language("people/index.html", request, lang, ROLE=role)

    return people


for _role in ROLES:
    routes.get(f"/{_role}")(_role_page(_role))


def _in_language(name: str, request: Request, lang: str, **filled: str) -> Response:
    language = lang if lang in ("zh", "en") else language_of(request)
    html = (PAGE / name).read_text(encoding="utf-8")
    if language == "en":
        html = html.replace('<html lang="zh-CN">', '<html lang="en">')
    for word, text in filled.items():
        html = html.replace(word, text)
    return HTMLResponse(html, headers={"cache-control": "no-cache", "vary": "accept-language"})


@routes.get("/offline.js")
async def offline() -> Response:
    """The workers' service worker. It stands here, since one may only keep pages of its own folder."""
    return FileResponse(PAGE / "people" / "shell-offline.js", headers={"cache-control": "no-cache"})


@routes.get("/live/places")
async def places() -> Response:
    """The names of districts and occupations, and the skill that each occupation is."""
    districts = [
        {
            "code": district.code,
            "zh": district.name,
            "en": district.name_en,
            "area": {"zh": city().area(district.code).name, "en": city().area(district.code).name_en},
        }
        for district in city().districts
    ]
    occupations = {o.code: {"zh": o.name, "en": o.name_en, "skill": o.skill} for o in city().occupations}
    return JSONResponse({"districts": districts, "occupations": occupations}, headers={"cache-control": "max-age=300"})


@routes.get("/live/events")
async def events(request: Request, has: InHand) -> Response:
    """Events of the market as they come, as a server-sent event stream."""
    if has.feed.readers >= READERS_AT_MOST:
        raise Problem(503, "too-many-readers", CROWDED)
    stream = has.feed.stream(request.headers.get("last-event-id", ""))
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


@routes.get("/live/journey")
async def journey(has: InHand) -> Response:
    """The trace of the latest journey that is complete, folded; null when there is none."""
    found = has.traces.journey()
    view = found.view(found.rows(folded=True)) if found else None
    return JSONResponse({"journey": view}, headers={"cache-control": "no-store"})


@routes.get("/live/traces/{trace_id}")
async def trace(trace_id: str, has: InHand, folded: bool = False) -> Response:
    """One trace as it stands, with every span, or folded as the page shows it."""
    found = has.traces.trace(trace_id.lower())
    if found is None:
        raise Missing(TRACE)
    return JSONResponse(found.view(found.rows(folded=folded)), headers={"cache-control": "no-store"})


@routes.get("/api/openapi.json")
async def openapi(has: InHand) -> Response:
    """The merged description of all services, generated with the documentation pages."""
    if not (has.docs / "openapi.json").is_file():
        raise Missing(PAGE_GONE)
    return FileResponse(has.docs / "openapi.json", media_type="application/json")


# --- for this machine alone ------------------------------------------------------------------------------------------


@routes.post("/otlp/v1/traces")
async def take_traces(request: Request, has: InHand) -> Response:
    """OTLP over HTTP (opentelemetry.io/docs/specs/otlp), in protobuf, plain or gzip."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-protobuf":
        raise Problem(415, "protobuf-only", PROTOBUF_ONLY)
    try:
        has.traces.add(decode(_unpacked(await request.body(), request.headers.get("content-encoding", ""))))
    except (ValueError, zlib.error) as error:
        raise Problem(400, "not-otlp", NOT_OTLP, why=str(error)) from error
    return Response(media_type="application/x-protobuf")  # an empty ExportTraceServiceResponse: all taken


@routes.post("/otlp/v1/metrics")
@routes.post("/otlp/v1/logs")
async def drop() -> Response:
    """Taken and forgotten, so that an exporter of all three signals has nothing to complain of."""
    return Response(media_type="application/x-protobuf")


@routes.post("/sms", status_code=202)
async def send_sms(sms: Sms, has: InHand) -> dict[str, str]:
    return {"message_id": has.sms.take(sms).message_id}


@routes.post("/sms/voice", status_code=202)
async def call(sms: Sms, has: InHand) -> dict[str, str]:
    """A provider that would call the number and read the text."""
    return {"message_id": has.sms.take(sms, "voice").message_id}


@routes.post("/sms/webhook", status_code=202)
async def take_posted(posted: Posted, has: InHand) -> dict[str, str]:
    """The receiver of a webhook."""
    return {"message_id": has.sms.take_posted(posted).message_id}


@routes.get("/sms/latest")
async def latest(has: InHand) -> list[Sent]:
    """The latest messages of SMS, voice and webhooks, the newest first."""
    return has.sms.latest(100)


@routes.get("/sms")
async def read_sms(to: str, has: InHand) -> list[Sent]:
    """The messages and calls for a number, the newest last."""
    # A plus sign that a client did not escape arrives as a blank.
    return has.sms.sent_to("+" + to[1:] if to.startswith(" ") else to)


@routes.post("/insurer/enrolments", status_code=201)
async def enrol(asked: Enrolment, has: InHand, idempotency_key: IdempotencyKey) -> Policy:
    return has.insurer.enrol(asked, idempotency_key)


@routes.post("/insurer/withdrawals")
async def withdraw(asked: Withdrawal, has: InHand, idempotency_key: IdempotencyKey) -> Policy:
    return has.insurer.withdraw(asked)


@routes.get("/insurer/policies")
async def read_policies(has: InHand, reference: str | None = None) -> list[Policy]:
    """What the insurer has in its books, the newest last; of one reference if it is given."""
    return has.insurer.policies(reference)


# --- the process -----------------------------------------------------------------------------------------------------


@routes.get("/live")
async def live() -> dict[str, bool]:
    return {"alive": True}


@routes.get("/ready")
async def ready(has: InHand) -> dict[str, Any]:
    """Ready as soon as it serves: without Kafka the page is there and says what it waits for."""
    return {"ready": True, "reasons": [], "kafka": has.feed.state}


def _unpacked(body: bytes, encoding: str) -> bytes:
    """The body without its gzip; never more than OTLP_BYTES of it, however small it came."""
    if encoding == "gzip":
        unzip = zlib.decompressobj(wbits=31)
        body = unzip.decompress(body, OTLP_BYTES + 1)
        if not unzip.eof and len(body) <= OTLP_BYTES:
            raise ValueError("the gzip is cut short")
    elif encoding not in ("", "identity"):
        raise ValueError(f"the encoding {encoding} is not known here")
    if len(body) > OTLP_BYTES:
        raise Problem(413, "too-large", TOO_MUCH, most=OTLP_BYTES)
    return body
