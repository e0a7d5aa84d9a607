"""A flood of sign-ins from one address stops here, before it costs the database anything or sends a message.

The counts are Valkey's, so they may be lost, and without Valkey everyone passes: what guards one phone number and one
password are the counts in the database (`store.spent`). Thousands of phones share an address behind a carrier's or a
market hall's network, so the limits are wide.
"""

import math
import time
from typing import Literal

import structlog
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from shared.sealed import Sealer
from shared.settings import Settings

log = structlog.get_logger()

Costs = Literal["code", "token"]

LIMITS: dict[Costs, tuple[RateLimitItem, ...]] = {
    "code": (RateLimitItemPerMinute(600), RateLimitItemPerHour(6_000)),
    "token": (RateLimitItemPerMinute(1_200),),
}
ANSWERS_WITHIN_SECONDS = 0.3
LEAVE_ALONE_SECONDS = 5.0


class Shield:
    def __init__(self, settings: Settings, sealer: Sealer) -> None:
        self._sealer = sealer
        self._limiter = FixedWindowRateLimiter(
            storage_from_string(
                f"async+{settings.valkey_url}",
                wrap_exceptions=True,
                implementation="redispy",
                key_prefix=settings.database or "identity",
                socket_timeout=ANSWERS_WITHIN_SECONDS,
                socket_connect_timeout=ANSWERS_WITHIN_SECONDS,
            )
        )
        self._alone_until = 0.0

    async def wait(self, costs: Costs, address: str) -> int:
        """Count a request of this address: 0 when it may pass, otherwise the seconds after which to come again."""
        if time.monotonic() < self._alone_until:
            return 0
        client = self._sealer.blind(address, field="client")
        try:
            for limit in LIMITS[costs]:
                if not await self._limiter.hit(limit, costs, client):
                    reset = (await self._limiter.get_window_stats(limit, costs, client)).reset_time
                    return max(1, math.ceil(reset - time.time()))
        except StorageError as error:
            self._alone_until = time.monotonic() + LEAVE_ALONE_SECONDS
            log.warning("sign-ins are not counted by address: Valkey does not answer", error=repr(error.storage_error))
        return 0
