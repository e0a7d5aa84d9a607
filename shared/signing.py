"""Keys that sign what others check: made once, sealed, shared by all replicas, each published before it is used.

    SIGNING = Signing(timedelta(days=30))           # at_start: SIGNING.prepare; loops: SIGNING.keep_turning
    key = await SIGNING.key(unit, sealer)

The time of the next turn stands with the keys in the database, so a restart forgets none; whichever process comes
first turns them, once.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import orjson
from joserfc.jwk import ECKey
from pydantic import BaseModel

from shared.auth import ALGORITHM
from shared.sealed import Sealer
from shared.service import Runtime
from shared.telemetry import METRICS
from shared.unit import Document, Unit

RING = "signing"
CLOCKS_DIFFER = timedelta(minutes=5)
"""Keys turn this much after the next began, so that no replica whose clock is behind still wants the past one."""

LOOK_EVERY_SECONDS = 60


class Key(BaseModel):
    """A key that signs from `signs_from` until the next one does. `private` is sealed; a key past has none."""

    kid: str
    signs_from: datetime
    public: dict[str, Any]
    private: bytes | None


class KeyRing(Document):
    """The signing keys, oldest first. One document, so that every replica has the same."""

    collection = "keys"

    keys: list[Key] = []


class Signing:
    """How one service's keys turn: each signs for `signs_for`, and the next is published as long before it does.

    `past` is how many keys stay published that sign no more; None for all of them, where what was signed is checked
    years later.
    """

    def __init__(self, signs_for: timedelta, *, past: int | None = 1) -> None:
        self.signs_for, self._past = signs_for, past

    async def prepare(self, runtime: Runtime) -> None:
        await runtime.store.transact(lambda unit: self.turn(unit, runtime.sealer))
        ring = await runtime.store.reading().get(KeyRing, RING)
        if ring:
            due = ring.keys[-1].signs_from + CLOCKS_DIFFER
            METRICS.key_turns.labels(runtime.service.name).set(due.timestamp())

    async def keep_turning(self, runtime: Runtime) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await self.prepare(runtime)

    async def turn(self, unit: Unit, sealer: Sealer) -> bool:
        """Make the first keys, or the one after the next when the next has begun; False when nothing was due.

        The key just replaced stays published, for what it signed, without its private half.
        """
        ring = await unit.get(KeyRing, RING)
        if ring is None:
            first, second = unit.now - CLOCKS_DIFFER, unit.now + self.signs_for
            unit.save(KeyRing(id=RING, keys=[new_key(sealer, first), new_key(sealer, second)]))
            return True
        *older, past, present = ring.keys
        if unit.now < present.signs_from + CLOCKS_DIFFER:
            return False
        kept = [*older, past.model_copy(update={"private": None})]
        if self._past is not None:
            kept = kept[-self._past :]
        ring.keys = [*kept, present, new_key(sealer, unit.now + self.signs_for)]
        unit.save(ring)
        return True

    async def key(self, unit: Unit, sealer: Sealer) -> ECKey:
        """The key that signs now, with its `kid`. Raises LookupError when there is none."""
        ring = await unit.get(KeyRing, RING)
        key = signing(ring or KeyRing(id=RING), unit.now)
        private = orjson.loads(sealer.open(key.private or b"", subject=key.kid, field="signing-key"))
        return ECKey.import_key(private, {"kid": key.kid})


def new_key(sealer: Sealer, signs_from: datetime) -> Key:
    """A P-256 key named by its thumbprint (RFC 7638)."""
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM})
    kid = key.thumbprint()
    private = sealer.seal(orjson.dumps(key.as_dict(private=True)).decode(), subject=kid, field="signing-key")
    return Key(kid=kid, signs_from=signs_from, public=key.as_dict(private=False, kid=kid), private=private)


def signing(ring: KeyRing, now: datetime) -> Key:
    """The key that signs now. Raises LookupError when there is none."""
    for key in reversed(ring.keys):
        if key.signs_from <= now:
            return key
    raise LookupError("no signing key")


async def published(unit: Unit) -> dict[str, Any]:
    """The public keys as a JWK set (RFC 7517): those past, the present and the next."""
    ring = await unit.get(KeyRing, RING)
    return {"keys": [key.public for key in ring.keys] if ring else []}


async def published_with_times(unit: Unit) -> dict[str, Any]:
    """The same with `nbf` and `exp`, in seconds since 1970: from when until when each signs, where that is known.

    The names are those of OpenID Federation's historical keys. What is signed to be checked years later is only right
    when its key signed at that time.
    """
    ring = await unit.get(KeyRing, RING)
    keys = ring.keys if ring else []
    ends = [*(key.signs_from for key in keys[1:]), None]
    return {
        "keys": [
            key.public | {"nbf": _seconds(key.signs_from)} | ({"exp": _seconds(end)} if end else {})
            for key, end in zip(keys, ends, strict=True)
        ]
    }


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
