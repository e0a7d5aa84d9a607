"""Who is calling: the bearer token, checked again in each service against the identity provider's keys."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import httpx
import structlog
from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from shared.problems import Forbidden, Problem, Text
from shared.sealed import ERASED, erased
from shared.settings import Settings

log = structlog.get_logger()

Role = Literal["worker", "employer", "clerk", "agency", "operator"]

ALGORITHM = "ES256"
KEYS_LAST_SECONDS = 300.0
KEYS_AGAIN_AFTER_SECONDS = 5.0
LEEWAY_SECONDS = 10

NO_TOKEN = Text("Sign in first: this needs a bearer token.", "请先登录：此操作需要访问令牌。")
BAD_TOKEN = Text("The token is not valid or has expired. Sign in again.", "令牌无效或已过期，请重新登录。")
NO_KEYS = Text("Sign-in keys cannot be read now. Try again shortly.", "暂时无法读取登录密钥，请稍后再试。")
NOT_YOURS = Text("Your role ({role}) may not do this.", "您的角色（{role}）无权进行此操作。")


@dataclass(frozen=True)
class Caller:
    """The person or organisation behind a request. `id` is the account: the worker's or employer's id."""

    id: str
    role: Role
    districts: tuple[str, ...] = ()

    def covers(self, district: str) -> bool:
        """True when a clerk works for this district; operators work for all. A prefix such as 4301 covers a city."""
        return self.role == "operator" or any(district.startswith(d) for d in self.districts)


class Keys:
    """The identity provider's public keys, cached, fetched again when a token names a key not seen yet."""

    def __init__(self, settings: Settings, client: httpx.AsyncClient | None = None) -> None:
        self._settings = settings
        self._client = client or httpx.AsyncClient()
        self._keys: KeySet | None = None
        self._read_at = -KEYS_LAST_SECONDS

    async def caller(self, token: str) -> Caller:
        """The caller a token speaks for. Raises a 401 `Problem`; 503 when the keys cannot be read at all."""
        try:
            claims = await self._claims(token)
            role = claims["role"]
            if role not in get_args(Role):
                raise ValueError(role)
            return Caller(claims["sub"], role, tuple(claims.get("districts", ())))
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise Problem(401, "invalid-token", BAD_TOKEN) from error

    async def _claims(self, token: str) -> dict[str, Any]:
        keys = await self._key_set(KEYS_LAST_SECONDS)
        try:
            decoded = jwt.decode(token, keys, algorithms=[ALGORITHM])
        except (JoseError, ValueError):
            fresh = await self._key_set(KEYS_AGAIN_AFTER_SECONDS)
            if fresh is keys:
                raise
            decoded = jwt.decode(token, fresh, algorithms=[ALGORITHM])
        jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.audience},
            sub={"essential": True},
            exp={"essential": True},
        ).validate(decoded.claims)
        return decoded.claims

    async def keep_fresh(self) -> None:
        """Read the keys before the first caller comes and before they are old, so that no caller waits for them."""
        said = False
        while True:
            try:
                await self._read(timeout=30.0)
            except (httpx.HTTPError, ValueError) as error:
                if not said:
                    log.warning("sign-in keys cannot be read yet", url=self._settings.jwks_url, error=repr(error))
                said = True
                await asyncio.sleep(1)
            else:
                said = False
                await asyncio.sleep(KEYS_LAST_SECONDS / 2)

    async def _key_set(self, at_most_old: float) -> KeySet:
        if self._keys is None or time.monotonic() - self._read_at > at_most_old:
            try:
                return await self._read(timeout=3.0)
            except (httpx.HTTPError, ValueError) as error:
                if self._keys is None:  # keys in hand are better than none while identity restarts
                    log.warning("a caller's sign-in keys not read", url=self._settings.jwks_url, error=repr(error))
                    raise Problem(503, "keys-unavailable", NO_KEYS) from error
        return self._keys

    async def _read(self, *, timeout: float) -> KeySet:
        answer = await self._client.get(self._settings.jwks_url, timeout=timeout)
        answer.raise_for_status()
        self._keys, self._read_at = KeySet.import_key_set(answer.json()), time.monotonic()
        return self._keys

    async def close(self) -> None:
        await self._client.aclose()


bearer = HTTPBearer(bearerFormat="JWT", scheme_name="bearer", auto_error=False)
"""For the interface's description: which routes need a token, and of which role."""


async def caller(request: Request, _: Annotated[Any, Security(bearer)] = None) -> Caller:
    """The caller of this request; 401 without a valid token, and to one whose account was erased here."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem(401, "no-token", NO_TOKEN)
    keys: Keys = request.app.state.keys
    found = await keys.caller(token)
    unit = getattr(request.state, "unit", None)
    if unit is not None and found.role in ("worker", "employer") and await erased(unit, found.id):
        raise Problem(401, "account-erased", ERASED)  # the token would be good for some minutes yet
    request.state.caller = found
    return found


def any_of(*roles: Role) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency that lets only these roles pass; 403 for others."""

    async def check(caller: Annotated[Caller, Security(caller, scopes=roles)]) -> Caller:
        if caller.role not in roles:
            raise Forbidden(NOT_YOURS, role=caller.role)
        return caller

    return check


Anyone = Annotated[Caller, Depends(caller)]
Worker = Annotated[Caller, Depends(any_of("worker"))]
Employer = Annotated[Caller, Depends(any_of("employer"))]
Clerk = Annotated[Caller, Depends(any_of("clerk", "operator"))]
Agency = Annotated[Caller, Depends(any_of("agency"))]
Operator = Annotated[Caller, Depends(any_of("operator"))]
