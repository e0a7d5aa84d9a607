"""HTTP in: a command runs whole in a unit, once per idempotency key, and answers errors as problem details.

    routes = Routes("posting")                         # mounted below /api/posting

    @routes.post("/gigs", status_code=201)
    async def post_gig(draft: GigDraft, employer: Employer, unit: InUnit) -> GigView: ...

A POST, PUT, PATCH or DELETE runs in a transaction and may run again before it commits, so it uses nothing but its
unit. A GET has a unit that only reads.
"""

import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pymongo.errors import PyMongoError
from starlette.exceptions import HTTPException

from shared.auth import Caller
from shared.auth import caller as token_caller
from shared.problems import Invalid, Problem, Text
from shared.sealed import ERASED, PersonalSealer, PersonKey, erased
from shared.store import Contended, DatabaseDown, Store
from shared.unit import Document, Unit
from shared.wording import faults_of, status_text

log = structlog.get_logger()

BODY_BYTES = 1024 * 1024
KEY_LENGTH = 200
ANSWER = "answer"

BUSY = Text("Too many are doing this at once. Try again.", "同时操作的人太多，请重试。")
AWAY = Text(
    "The service cannot reach its database now. Nothing was changed, or try again with the same key.",
    "服务暂时无法访问数据库。请用同一个幂等键重试。",
)
REUSED = Text(
    "This idempotency key was used for another request. Use a new key.", "此幂等键已用于另一个请求，请换一个新键。"
)
LONG_KEY = Text("An idempotency key has 1 to {most} characters.", "幂等键的长度应为 1 到 {most} 个字符。")
TOO_LARGE = Text("A request body may have at most {most} bytes.", "请求正文最多 {most} 字节。")
BROKEN = Text(
    "Something went wrong on our side. It is recorded; please try again.", "服务内部出错，已记录，请稍后重试。"
)
INVALID = Text("Some fields are not right; see `errors`.", "部分字段有误，详见 errors。")


def language_of(request: Request) -> str:
    """zh or en, whichever `Accept-Language` (RFC 9110, 12.5.4) prefers; zh when it says nothing."""
    best, chosen = 0.0, "zh"
    for part in request.headers.get("accept-language", "").split(","):
        tag, _, weight = part.strip().partition(";q=")
        primary = tag.split("-")[0].lower()
        try:
            quality = float(weight or 1)
        except ValueError:
            continue
        if primary in ("zh", "en") and quality > best:
            best, chosen = quality, primary
    return chosen


def problem_response(request: Request, problem: Problem, headers: dict[str, str] | None = None) -> Response:
    body = problem.body(language_of(request)) | {"instance": request.url.path}
    return JSONResponse(body, problem.status, headers=headers, media_type="application/problem+json")


class Answer(Document):
    """The first answer to a command with an idempotency key, sealed. The id is the key, behind whose it is."""

    collection = "_answers"

    at: datetime
    request: str
    status: int
    body: bytes
    media_type: str | None


async def unit_of(request: Request) -> Unit:
    unit: Unit = request.state.unit
    return unit


InUnit = Annotated[Unit, Depends(unit_of)]


async def sealer_of(request: Request) -> PersonalSealer:
    return PersonalSealer(request.app.state.sealer, await unit_of(request))


InSealer = Annotated[PersonalSealer, Depends(sealer_of)]
"""Seals and opens what is of people, each with their own key, in the request's unit."""


class UnitRoute(APIRoute):
    """Gives each request its unit; commits a command's unit with its answer."""

    def __init__(self, *args: Any, **more: Any) -> None:
        if not {"GET", "HEAD"} & set(more.get("methods") or ["GET"]):
            more["openapi_extra"] = {"parameters": [IDEMPOTENCY_KEY], **(more.get("openapi_extra") or {})}
        super().__init__(*args, **more)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def run(request: Request) -> Response:
            reading = request.method in ("GET", "HEAD")
            with request.app.state.admission.let_in(reading=reading):
                return await (look(request) if reading else act(request))

        async def look(request: Request) -> Response:
            request.state.unit = request.app.state.store.reading()
            return await handle(request)

        async def act(request: Request) -> Response:
            store: Store = request.app.state.store
            await read_body(request)
            key = await _idempotency_key(request)

            async def command(unit: Unit) -> Response:
                request.state.unit = unit
                if key is None:
                    return await handle(request)
                return await _once(unit, *key, request, handle)

            return await store.command(command)

        return run


def Routes(service: str) -> APIRouter:  # noqa: N802 - reads as the class it returns
    """A router below /api/<service> whose commands run in units."""
    return APIRouter(prefix=f"/api/{service}", route_class=UnitRoute)


async def read_body(request: Request) -> bytes:
    """The whole body; 413 when it is larger than one may be."""
    body = b""
    if int(request.headers.get("content-length") or 0) <= BODY_BYTES:
        body = await request.body()
    if len(body) > BODY_BYTES or int(request.headers.get("content-length") or 0) > BODY_BYTES:
        raise Problem(413, "too-large", TOO_LARGE, most=BODY_BYTES)
    return body


async def _idempotency_key(request: Request) -> tuple[str, str] | None:
    """Whose command it is, and its key, which belongs to its caller; None when the client sent none."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= KEY_LENGTH:
        raise Invalid("Idempotency-Key", LONG_KEY, most=KEY_LENGTH)
    if "authorization" not in request.headers:
        return "public", f"public:{key}"
    found: Caller = await token_caller(request)
    return found.id, f"{found.role}:{found.id}:{key}"


async def _once(
    unit: Unit, owner: str, key: str, request: Request, handle: Callable[[Request], Awaitable[Response]]
) -> Response:
    """The first answer to this key again, or the command and its answer kept in the same transaction."""
    sealer = PersonalSealer(request.app.state.sealer, unit)
    await unit.load_each({PersonKey: [owner], Answer: [key]})
    if await erased(unit, owner):
        raise Problem(401, "account-erased", ERASED)
    asked = hashlib.sha256(await request.body()).hexdigest()
    # Blind: who reads the database must not find out a phone number or a code by trying them all.
    digest = sealer.blind(f"{request.method} {request.url.path} {asked}", field="request")
    kept = await unit.get(Answer, key)
    if kept:
        if kept.request != digest:
            raise Problem(422, "idempotency-key-reused", REUSED)
        return Response(
            await sealer.open(kept.body, of=owner, field=ANSWER),
            kept.status,
            media_type=kept.media_type,
            headers={"idempotency-replayed": "true"},
        )
    response = await handle(request)
    body = await sealer.seal(bytes(response.body).decode(), of=owner, field=ANSWER)
    answer = Answer(
        id=key,
        at=unit.now,
        request=digest,
        status=response.status_code,
        body=body,
        media_type=response.media_type,
    )
    unit.save(answer)  # two of one key at the same time: the second meets this, and finds the first's answer
    return response


IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Any text of the client's, new for each command. The same key again gives the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH},
}

PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "Why something was refused (RFC 9457), in the language that `Accept-Language` prefers: zh or en.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for a person."},
        "code": {"type": "string", "description": "A stable name for a program."},
        "instance": {"type": "string"},
        "facts": {"type": "object", "description": "Figures that the sentence holds."},
        "errors": {
            "type": "array",
            "description": "The fields that are not right, and what would be.",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
                "required": ["field", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code"],
}

REFUSED: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


class Api(FastAPI):
    """An application that answers problem details, and whose OpenAPI description says so."""

    def __init__(self, **options: Any) -> None:
        super().__init__(responses=REFUSED, **options)
        install_errors(self)

    def openapi(self) -> dict[str, Any]:
        described = super().openapi()
        described.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
        return described


def install_errors(app: FastAPI) -> None:
    """Answer every error as problem details in the caller's language."""

    @app.exception_handler(Problem)
    async def refused(request: Request, problem: Problem) -> Response:
        headers = {"www-authenticate": "Bearer"} if problem.status == 401 else {}
        if "retry_after" in problem.facts:
            headers["retry-after"] = str(problem.facts["retry_after"])
        return problem_response(request, problem, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return problem_response(request, Problem(422, "invalid-fields", INVALID, faults=faults_of(error.errors())))

    @app.exception_handler(Contended)
    async def contended(request: Request, _: Contended) -> Response:
        return problem_response(request, Problem(503, "busy", BUSY), {"retry-after": "1"})

    @app.exception_handler(DatabaseDown)
    @app.exception_handler(PyMongoError)
    async def away(request: Request, error: Exception) -> Response:
        log.warning("database does not answer", error=repr(error)[:300])
        return problem_response(request, Problem(503, "database-unavailable", AWAY), {"retry-after": "2"})

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        problem = Problem(error.status_code, f"http-{error.status_code}", status_text(error.status_code))
        return problem_response(request, problem, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        log.error("request failed", path=request.scope.get("route") and request.scope["route"].path, exc_info=error)
        return problem_response(request, Problem(500, "internal", BROKEN))
