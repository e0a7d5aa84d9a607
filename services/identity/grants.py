"""What may be sent to /token, as a form or as JSON (RFC 6749), and how it is refused."""

import base64
import binascii
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, unquote_plus

import orjson
from fastapi import Request
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError

from services.identity.domain import Phone
from shared.problems import Fault, Problem, Text
from shared.wording import faults_of

OAuthError = Literal[
    "invalid_request", "invalid_client", "invalid_grant", "unsupported_grant_type", "temporarily_unavailable"
]

Secret = Annotated[str, StringConstraints(min_length=1, max_length=512)]
SixDigits = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]

UNREADABLE = Text("Send a form or a JSON object.", "请提交表单或 JSON 对象。")
FIELDS = Text("Some fields are not right; see `errors`.", "部分字段有误，详见 errors。")
TWICE = Text("must be sent once only", "只能提交一次")
NO_SUCH_GRANT = Text("This grant type is not supported. Use one of: {known}.", "不支持此授权类型，可用：{known}。")
BAD_BASIC = Text("The Authorization header is not valid HTTP Basic.", "Authorization 头不是有效的 HTTP Basic。")
TWO_WAYS = Text("Name the client in one way only: in the header or in the body.", "客户端凭证只能用一种方式提交。")


class Refused(Problem):
    """A problem that OAuth clients understand too: with `error` and `error_description` (RFC 6749, 5.2)."""

    def __init__(self, status: int, error: OAuthError, code: str, text: Text, **facts: Any) -> None:
        super().__init__(status, code, text, **facts)
        self.error = error

    def body(self, language: str) -> dict[str, Any]:
        return {"error": self.error, "error_description": self.text.say("en", self.facts), **super().body(language)}


class PhoneCode(BaseModel):
    """A person signs in, and has an account from then on."""

    grant_type: Literal["phone_code"]
    phone: Phone
    code: SixDigits
    role: Literal["worker", "employer"]


class Password(BaseModel):
    """A clerk or an operator signs in."""

    grant_type: Literal["password"]
    username: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    password: Secret


class ClientCredentials(BaseModel):
    """An agency signs in; its credentials may come by HTTP Basic instead."""

    grant_type: Literal["client_credentials"]
    client_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    client_secret: Secret


class Refresh(BaseModel):
    """A session goes on. The refresh token is good once: the answer holds the next."""

    grant_type: Literal["refresh_token"]
    refresh_token: Secret


Grant = PhoneCode | Password | ClientCredentials | Refresh
KINDS: tuple[type[BaseModel], ...] = (PhoneCode, Password, ClientCredentials, Refresh)
_GRANT: TypeAdapter[Grant] = TypeAdapter(Annotated[Grant, Field(discriminator="grant_type")])

_SCHEMA = {"oneOf": [kind.model_json_schema() for kind in KINDS], "discriminator": {"propertyName": "grant_type"}}
OPENAPI = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {"schema": _SCHEMA},
            "application/json": {"schema": _SCHEMA},
        },
    }
}


async def grant_in(request: Request) -> Grant:
    """The grant a request asks for. Raises `Refused`; fields it does not know are ignored (RFC 6749, 3.2)."""
    sent = _form(await request.body()) if _is_form(request) else _json(await request.body())
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        if "client_id" in sent or "client_secret" in sent:
            raise Refused(400, "invalid_request", "two-credentials", TWO_WAYS)
        sent |= _basic(credentials)
    try:
        return _GRANT.validate_python(sent)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        if errors[0]["type"] == "union_tag_invalid":
            known = "phone_code, password, client_credentials, refresh_token"
            raise Refused(400, "unsupported_grant_type", "unsupported-grant-type", NO_SUCH_GRANT, known=known) from None
        if errors[0]["type"] == "union_tag_not_found":
            errors = [errors[0] | {"type": "missing", "loc": ("", "grant_type")}]
        # The first part of each path is the grant type.
        faults = faults_of([e | {"loc": e["loc"][1:]} for e in errors])
        raise Refused(422, "invalid_request", "invalid-fields", FIELDS, faults=faults) from None


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip() == "application/x-www-form-urlencoded"


def _form(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise Refused(400, "invalid_request", "unreadable", UNREADABLE) from None
    names = [name for name, _ in pairs]
    twice = tuple(Fault(name, TWICE) for name in dict.fromkeys(names) if names.count(name) > 1)
    if twice:
        raise Refused(422, "invalid_request", "invalid-fields", FIELDS, faults=twice)
    return dict(pairs)


def _json(body: bytes) -> dict[str, Any]:
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError:
        sent = None
    if not isinstance(sent, dict):
        raise Refused(400, "invalid_request", "unreadable", UNREADABLE)
    return sent


def _basic(credentials: str) -> dict[str, str]:
    """The client's credentials from HTTP Basic, each form-encoded first (RFC 6749, 2.3.1)."""
    try:
        client_id, colon, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        client_id, colon, secret = "", "", ""
    if not colon:
        raise Refused(401, "invalid_client", "invalid-client", BAD_BASIC)
    return {"client_id": unquote_plus(client_id), "client_secret": unquote_plus(secret)}
