"""Sign-in keys are there when the first caller comes, and outlast the identity service's absence."""

import asyncio

import httpx
import pytest
from pydantic import SecretStr

from shared.auth import Keys
from shared.problems import Problem
from shared.settings import Settings
from shared.tasks import end_tasks
from shared.testing import SECRET, public_keys, token

SETTINGS = Settings(secret=SecretStr(SECRET))


class Identity:
    """Answers with its keys, after as many refusals as it is told."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.answered = asyncio.Event()

    def __call__(self, _: httpx.Request) -> httpx.Response:
        if self.refusals:
            self.refusals -= 1
            return httpx.Response(503)
        self.answered.set()
        return httpx.Response(200, json=public_keys())


async def test_keys_are_read_ahead_and_kept_while_identity_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = Identity(refusals=2)
    keys = Keys(SETTINGS, httpx.AsyncClient(transport=httpx.MockTransport(identity)))
    pause = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda _: pause(0))
    reading = asyncio.create_task(keys.keep_fresh())
    await identity.answered.wait()
    await end_tasks(reading)
    identity.refusals = 1_000
    assert (await keys.caller(token("someone", "worker", SETTINGS))).id == "someone"


async def test_without_keys_a_caller_hears_that_they_cannot_be_read() -> None:
    keys = Keys(SETTINGS, httpx.AsyncClient(transport=httpx.MockTransport(Identity(refusals=1))))
    with pytest.raises(Problem) as refused:
        await keys.caller(token("someone", "worker", SETTINGS))
    assert (refused.value.status, refused.value.code) == (503, "keys-unavailable")
