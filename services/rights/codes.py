"""A work site's code: six digits that change every 30 s and are good for 60 s (RFC 6238, with SHA-256)."""

import hmac
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP = timedelta(seconds=30)
GOOD_FOR = timedelta(seconds=60)
DIGITS = 6
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def code_at(secret: bytes, moment: datetime) -> str:
    """The code that is shown at a moment."""
    seconds = int(STEP.total_seconds())
    return TOTP(secret, DIGITS, SHA256(), seconds).generate(_step(moment) * seconds).decode()


def good_until(moment: datetime) -> datetime:
    """When the code that is shown at a moment is no longer good: 30 to 60 s later."""
    return EPOCH + _step(moment) * STEP + GOOD_FOR


def next_at(moment: datetime) -> datetime:
    """When the next code is shown."""
    return EPOCH + (_step(moment) + 1) * STEP


def holds(secret: bytes, code: str, moment: datetime, skew: timedelta = timedelta(0)) -> bool:
    """True of a code that was good at a moment, or at one that differs from it by at most `skew`."""
    first, last = _step(moment - skew) - 1, _step(moment + skew)
    shown = (code_at(secret, EPOCH + step * STEP) for step in range(first, last + 1))
    return any(hmac.compare_digest(code, each) for each in shown)


def _step(moment: datetime) -> int:
    return (moment - EPOCH) // STEP
