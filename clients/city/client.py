"""A client app of the market: what a phone, an employer's office or a clerk's counter does over the gateway.

Every call carries an idempotency key, so that a call whose answer was lost may be sent again; and a `traceparent`, so
that one journey is one trace.
"""

import asyncio
import re
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

RETRIES = 6
SERVICES = ("identity", "posting", "workers", "matching", "rights", "notify")
AGAIN_ON = {429, 502, 503, 504}


class Refusal(Exception):
    """The market said no: `status` and the problem's `code` and `detail` say why."""

    def __init__(self, answer: httpx.Response) -> None:
        try:
            problem = answer.json()
        except ValueError:
            problem = {}
        self.status = answer.status_code
        self.code = str(problem.get("code", ""))
        self.detail = problem.get("detail", answer.text[:200])
        self.errors = problem.get("errors", [])
        super().__init__(f"{answer.request.method} {answer.request.url.path}: {self.status} {self.code} {self.detail}")


@dataclass
class Journey:
    """One trace (W3C Trace Context), of which all its requests are part."""

    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def header(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-01"


class Client:
    """One signed-in app. `account_id` is the worker's or employer's id."""

    def __init__(self, http: httpx.AsyncClient, gateway: str, *, sms: str, journey: Journey | None = None) -> None:
        self._http, self._gateway, self._sms = http, gateway.rstrip("/"), sms
        self.journey = journey
        self.account_id = ""
        self._token = ""
        self._refresh = ""

    # --- signing in ----------------------------------------------------------------------------------------------

    async def sign_in(self, phone: str, role: str) -> str:
        """Sign in by phone code; returns the account id."""
        return await self._take(grant_type="phone_code", phone=phone, code=await self._new_code(phone), role=role)

    async def _new_code(self, phone: str) -> str:
        """Have a code sent, and read the SMS as its receiver does."""
        before = len(await self.texts(phone))
        await self.post("identity/codes", phone=phone)
        for _ in range(200):
            for text in (await self.texts(phone))[before:]:
                if found := re.search(r"\b\d{6}\b", text):
                    return found.group()
            await asyncio.sleep(0.05)
        raise TimeoutError("no SMS with a code of six digits arrived")

    async def sign_in_by_password(self, username: str, password: str) -> str:
        return await self._take(grant_type="password", username=username, password=password)

    async def _take(self, **grant: str) -> str:
        tokens = await self.post("identity/token", **grant)
        self._token, self._refresh = tokens["access_token"], tokens.get("refresh_token", "")
        self.account_id = tokens["account_id"]
        return self.account_id

    async def texts(self, phone: str) -> list[str]:
        """What the local sink of SMS holds for a phone, the oldest first."""
        answer = await self._http.get(self._sms, params={"to": phone})
        answer.raise_for_status()
        body = answer.json()
        return [message["text"] for message in (body["messages"] if isinstance(body, dict) else body)]

    async def erase(self, phone: str) -> None:
        """Have the account erased, proven by a new code."""
        await self.post("identity/me/erasure", code=await self._new_code(phone))

    async def my_data(self) -> dict[str, Any]:
        """All that the market holds of this person, as one JSON: each service's part by its name."""
        return {service: await self.get(f"{service}/me/export") for service in SERVICES}

    # --- calling -------------------------------------------------------------------------------------------------

    async def get(self, path: str, **query: Any) -> Any:
        return await self._call("GET", path, query=query)

    async def post(self, path: str, **body: Any) -> Any:
        return await self._call("POST", path, body=body)

    async def put(self, path: str, **body: Any) -> Any:
        return await self._call("PUT", path, body=body)

    async def patch(self, path: str, **body: Any) -> Any:
        return await self._call("PATCH", path, body=body)

    async def _call(
        self, method: str, path: str, *, body: dict[str, Any] | None = None, query: dict[str, Any] | None = None
    ) -> Any:
        """The answer's body; raises `Refusal` for a no, and tries again, under the same key, for a not now."""
        headers = {"accept-language": "en"}
        if method != "GET":
            headers["idempotency-key"] = str(uuid.uuid4())
        renewed = False
        for attempt in range(RETRIES):
            try:
                answer = await self._http.request(
                    method,
                    f"{self._gateway}/api/{path}",
                    json=body,
                    params={k: v for k, v in (query or {}).items() if v is not None},
                    headers=headers | self._common(),
                )
            except httpx.TransportError:
                if attempt == RETRIES - 1:
                    raise
            else:
                if answer.status_code == 401 and self._refresh and not renewed and "token" not in path:
                    renewed = True
                    await self._take(grant_type="refresh_token", refresh_token=self._refresh)
                    continue
                if answer.status_code not in AGAIN_ON or attempt == RETRIES - 1:
                    if answer.is_error:
                        raise Refusal(answer)
                    return answer.json() if answer.content else None
            await asyncio.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")

    def _common(self) -> dict[str, str]:
        headers = {}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        if self.journey:
            headers["traceparent"] = self.journey.header
        return headers

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The live stream of this person's messages (Server-Sent Events), as they come."""
        address = f"{self._gateway}/api/notify/stream"
        headers = self._common() | {"accept": "text/event-stream"}
        async with self._http.stream("GET", address, headers=headers, timeout=httpx.Timeout(10, read=60)) as answer:
            if answer.is_error:
                await answer.aread()
                raise Refusal(answer)
            yield _messages(answer)


async def _messages(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    data: list[str] = []
    async for line in answer.aiter_lines():
        if line.startswith("data:"):
            data.append(line[5:].strip())
        elif not line and data:
            yield orjson.loads("\n".join(data))
            data = []
