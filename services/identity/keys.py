"""The keys that sign tokens: made once, sealed, shared by all replicas, each published a month before it is used.

The time of the next turn stands with the keys in the database, so a restart forgets none; whichever process comes
first turns them, once.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import orjson
from joserfc import jwt
from joserfc.jwk import ECKey

from services.identity.store import Account, Key, KeyRing
from shared.auth import ALGORITHM
from shared.clock import new_id
from shared.sealed import Sealer
from shared.service import Runtime
from shared.settings import Settings
from shared.unit import Unit

RING = "signing"
SIGNS_FOR = timedelta(days=30)
TOKEN_LIFE = timedelta(minutes=30)
CLOCKS_DIFFER = timedelta(minutes=5)
"""Keys turn this much after the next began, so that no replica whose clock is behind still wants the past one."""

LOOK_EVERY_SECONDS = 60


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


async def turn(unit: Unit, sealer: Sealer) -> bool:
    """Make the first keys, or the one after the next when the next has begun; False when nothing was due.

    The key just replaced stays published, for what it signed, without its private half.
    """
    ring = await unit.get(KeyRing, RING)
    if ring is None:
        first, second = unit.now - CLOCKS_DIFFER, unit.now + SIGNS_FOR
        unit.save(KeyRing(id=RING, keys=[new_key(sealer, first), new_key(sealer, second)]))
        return True
    *_, past, present = ring.keys
    if unit.now < present.signs_from + CLOCKS_DIFFER:
        return False
    ring.keys = [past.model_copy(update={"private": None}), present, new_key(sealer, unit.now + SIGNS_FOR)]
    unit.save(ring)
    return True


async def prepare(runtime: Runtime) -> None:
    await runtime.store.transact(lambda unit: turn(unit, runtime.sealer))


async def keep_turning(runtime: Runtime) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_SECONDS)
        await prepare(runtime)


async def published(unit: Unit) -> dict[str, Any]:
    """The public keys as a JWK set (RFC 7517): the past, the present and the next."""
    ring = await unit.get(KeyRing, RING)
    return {"keys": [key.public for key in ring.keys] if ring else []}


async def access_token(unit: Unit, account: Account, settings: Settings, sealer: Sealer) -> str:
    """A signed token that says who this is, for `TOKEN_LIFE`."""
    ring = await unit.get(KeyRing, RING)
    key = signing(ring or KeyRing(id=RING), unit.now)
    private = ECKey.import_key(orjson.loads(sealer.open(key.private or b"", subject=key.kid, field="signing-key")))
    now = int(unit.now.timestamp())
    claims = {
        "iss": settings.issuer,
        "aud": settings.audience,
        "sub": account.id,
        "role": account.role,
        "districts": account.districts,
        "iat": now,
        "exp": now + int(TOKEN_LIFE.total_seconds()),
        "jti": new_id(),
    }
    return jwt.encode({"alg": ALGORITHM, "kid": key.kid}, claims, private)
