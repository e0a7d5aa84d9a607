"""A harness in which a service test is three lines, on a real MongoDB and the real delivery code.

    async def test_a_gig_opens_its_seats(matching: Harness) -> None:
        await matching.receives(gig_posted(headcount=3))
        assert len(await matching.all(Seat)) == 3

Only Kafka is left out: what would go to it is read from the outbox. What Kafka itself must show is shown in
tests/integration.
"""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from pydantic import SecretStr

from shared import clock
from shared.auth import ALGORITHM, Keys, Role
from shared.contracts import CATALOGUE, Event
from shared.delivery import Letter
from shared.service import Runtime, Service
from shared.settings import Settings
from shared.unit import Document, Unit, outbox_row

D = TypeVar("D", bound=Document)
E = TypeVar("E", bound=Event)

SECRET = "dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXk="  # noqa: S105 - for tests only

_KEY = ECKey.generate_key("P-256", {"kid": "test", "use": "sig", "alg": ALGORITHM})


def token(subject: str, role: Role, settings: Settings, *, districts: Iterable[str] = (), life: int = 3600) -> str:
    """A token as identity issues them, signed with the test key."""
    now = int(time.time())
    claims = {
        "iss": settings.issuer,
        "aud": settings.audience,
        "sub": subject,
        "role": role,
        "districts": list(districts),
        "iat": now,
        "exp": now + life,
        "jti": clock.new_id(),
    }
    return jwt.encode({"alg": ALGORITHM, "kid": "test"}, claims, _KEY)


class Clock:
    """Time that a test moves. Begins at a Monday morning in Changsha."""

    def __init__(self) -> None:
        self.now = datetime.fromisoformat("2026-11-23T06:00:00+08:00")

    def advance(self, **parts: float) -> None:
        self.now += timedelta(**parts)


class Harness:
    """One service without Kafka. `receives` delivers events, `published` is what it said, `http` its API."""

    def __init__(self, app: FastAPI, runtime: Runtime, clock: Clock) -> None:
        self.runtime, self.clock, self.app = runtime, clock, app
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app, raise_app_exceptions=False),
            base_url=f"http://test/api/{runtime.service.name}",
            headers={"accept-language": "en"},
        )
        self._offsets: dict[str, int] = {}
        self._ids: dict[str, int] = {}

    async def receives(self, *events: Event, id: str | None = None, topic: str | None = None) -> None:
        """Deliver events as one batch per topic, each under a new id or the given one."""
        by_topic: dict[str, list[Letter]] = {}
        for event in events:
            row = outbox_row(event, id or clock.new_id(), self._number(event), "test", clock.now(), {})
            name = topic or event.topic
            by_topic.setdefault(name, []).append(Letter(name, 0, self._offset(name), row.key, row.headers, row.body))
        for name, letters in by_topic.items():
            await self.receives_letters(*letters, topic=name)

    async def receives_letters(self, *letters: Letter, topic: str) -> None:
        """Deliver raw letters of one topic; their offsets are taken as they are."""
        fence = f"{self.runtime.service.name}:{topic}:0"
        expected = await self.runtime.delivery.fence(fence)
        await self.runtime.delivery.deliver(fence, expected, letters)

    def letter(self, topic: str, body: bytes, **headers: str) -> Letter:
        """A raw letter at the topic's next offset."""
        return Letter(topic, 0, self._offset(topic), b"key", headers, body)

    def _offset(self, topic: str) -> int:
        self._offsets[topic] = self._offsets.get(topic, -1) + 1
        return self._offsets[topic]

    def _number(self, event: Event) -> int:
        self._ids[event.stream] = self._ids.get(event.stream, 0) + 1
        return self._ids[event.stream]

    async def published(self, kind: type[E] | None = None) -> list[Any]:
        """The events said so far, in order; of one kind if given."""
        rows = self.runtime.store.db["_outbox"].find({}, sort=[("_id", 1)])
        said = []
        async for row in rows:
            type_ = row["headers"].get("ce_type", "")
            if type_ in CATALOGUE and "dead_kind" not in row["headers"] and (kind is None or kind.type == type_):
                said.append(CATALOGUE[type_].model_validate_json(row["body"]))
        return said

    async def dead(self) -> list[dict[str, Any]]:
        """The letters set aside, oldest first."""
        return await self.runtime.store.db["_dead"].find({}, sort=[("at", 1)]).to_list()

    async def all(self, kind: type[D]) -> list[D]:
        return await self.reading().find(kind, {})

    async def get(self, kind: type[D], id: str) -> D | None:
        return await self.reading().get(kind, id)

    def reading(self) -> Unit:
        return self.runtime.store.reading()

    async def later(self, **parts: float) -> None:
        """Move the clock and fire every timer that comes due."""
        self.clock.advance(**parts)
        while await self.runtime.timers.fire_due():
            pass

    def as_(
        self, role: Role, subject: str = "someone", *, districts: Iterable[str] = (), **headers: str
    ) -> dict[str, str]:
        """Headers of a caller with this role."""
        bearer = token(subject, role, self.runtime.settings, districts=districts)
        return {"authorization": f"Bearer {bearer}", **{k.replace("_", "-"): v for k, v in headers.items()}}


def public_keys() -> dict[str, Any]:
    """The public half of the test key, as a JWKS."""
    return dict(KeySet([_KEY]).as_dict(private=False))


def test_keys(settings: Settings) -> Keys:
    """Keys that know the test key, so that no identity service is needed."""
    body = public_keys()
    answer = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    return Keys(settings, httpx.AsyncClient(transport=answer))


test_keys.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever its name says to pytest


@asynccontextmanager
async def harness(service: Service, mongo_url: str, *, database: str, **settings: Any) -> AsyncIterator[Harness]:
    """A service on an empty database of its own."""
    config = Settings(
        mongo_url=mongo_url, database=database, secret=SecretStr(SECRET), kafka="127.0.0.1:1", otlp_url="", **settings
    )
    runtime = Runtime(service, config)
    runtime.keys = test_keys(config)
    moved = Clock()
    clock.set_source(lambda: moved.now)
    app = service.app(config)
    service.attach(app, runtime)
    try:
        # MongoDB's own expiry goes by the real time: it would take away what is still good by the clock of the test.
        await runtime.client.admin.command("setParameter", 1, ttlMonitorEnabled=False)
        await _empty(runtime)
        await runtime.store.prepare(service.documents)
        for step in service.at_start:
            await step(runtime)
        made = Harness(app, runtime, moved)
        yield made
        await made.http.aclose()
    finally:
        clock.set_source(None)
        await runtime.client.close()


async def _empty(runtime: Runtime) -> None:
    """Forget all documents but keep collections and indexes: making those is what takes time."""
    for name in await runtime.store.db.list_collection_names():
        await runtime.store.db[name].delete_many({})
