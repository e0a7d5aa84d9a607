"""The keys that sign tokens, and a token: each key is published a month before it signs (`shared/signing.py`)."""

from datetime import timedelta

from joserfc import jwt

from services.identity.store import Account
from shared.auth import ALGORITHM
from shared.clock import new_id
from shared.sealed import Sealer
from shared.settings import Settings
from shared.signing import Signing
from shared.unit import Unit

SIGNS_FOR = timedelta(days=30)
TOKEN_LIFE = timedelta(minutes=30)

SIGNING = Signing(SIGNS_FOR)


async def access_token(unit: Unit, account: Account, settings: Settings, sealer: Sealer) -> str:
    """A signed token that says who this is, for `TOKEN_LIFE`."""
    key = await SIGNING.key(unit, sealer)
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
    return jwt.encode({"alg": ALGORITHM, "kid": key.kid}, claims, key)
