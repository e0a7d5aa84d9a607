"""An SMS provider that keeps what it is asked to send, and sign-ins in one line."""

from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from services.identity.sms import Sender
from shared.auth import Keys
from shared.testing import Harness

PHONE = "+8619900001234"


@dataclass
class Provider:
    """Plays the SMS provider. `answers` are its next statuses (0: no answer), then it takes everything."""

    identity: Harness
    asked: list[dict[str, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self._sender = Sender(
            self.identity.runtime.store, self.identity.app.state.sealer, client, "http://sms.test/messages"
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(orjson.loads(request.content))
        status = self.answers.pop(0) if self.answers else 200
        if not status:
            raise httpx.ConnectTimeout("no answer")
        return httpx.Response(status)

    async def send_due(self) -> int:
        return await self._sender.send_due()

    async def last_code(self) -> str:
        """The code in the newest message, sent now."""
        await self.send_due()
        return code_in(self.asked[-1]["text"])


def code_in(text: str) -> str:
    codes = [word for word in _words(text) if len(word) == 6]
    assert len(codes) == 1, text
    return codes[0]


def _words(text: str) -> list[str]:
    return "".join(c if c.isdigit() and c.isascii() else " " for c in text).split()


@pytest.fixture
async def sms(identity: Harness) -> Provider:
    return Provider(identity)


@pytest.fixture(autouse=True)
async def nothing_counted(identity: Harness, valkey_url: str) -> None:
    """All tests come from one address: what earlier ones used of its limits is forgotten."""
    async with Redis.from_url(valkey_url) as valkey:
        if names := await valkey.keys(f"{identity.runtime.settings.database}*"):
            await valkey.delete(*names)


@pytest.fixture
def own_keys(identity: Harness) -> Keys:
    """Keys as another service has them: read from identity's JWKS."""
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=identity.app))
    return Keys(identity.runtime.settings, client)


async def token(identity: Harness, /, **grant: Any) -> httpx.Response:
    return await identity.http.post("/token", json=grant)


async def signed_in(identity: Harness, sms: Provider, phone: str = PHONE, role: str = "worker") -> dict[str, Any]:
    """The tokens of a person who asked for a code and typed it in."""
    asked = await identity.http.post("/codes", json={"phone": phone})
    assert asked.status_code == 202, asked.text
    answer = await token(identity, grant_type="phone_code", phone=phone, code=await sms.last_code(), role=role)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body
