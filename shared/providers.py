"""Asking providers over HTTP: a client that is kept, the environment's proxy, and an answer or a `Retry`.

aiohttp, since a call costs a fifth to a tenth of what httpx takes for it (decision 102).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import NamedTuple, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar

from shared.sending import Retry


class Answer(NamedTuple):
    """What a provider answered over HTTP."""

    status: int
    retry_after: str | None
    body: bytes

    @classmethod
    def of(cls, said: ClientResponse, body: bytes = b"") -> Self:
        return cls(said.status, said.headers.get("retry-after"), body)


def provider_client() -> ClientSession:
    """A client for the region's own providers, which keeps connections."""
    return ClientSession(timeout=ClientTimeout(), cookie_jar=DummyCookieJar())


async def post(
    client: ClientSession,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    within: float,
    query: Mapping[str, str] | None = None,
) -> Answer:
    """Post to a provider, and read its answer, for at most `within` seconds. Raises `Retry`."""
    proxy = _proxy_to(url)
    async with (
        asking(within),
        client.post(url, params=query, data=body, headers=headers, proxy=proxy, allow_redirects=False) as said,
    ):
        return Answer.of(said, await said.read())


@cache
def _proxy_to(url: str) -> str | None:
    """The proxy that the environment names for an address (https_proxy, no_proxy); aiohttp would look each time."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


@asynccontextmanager
async def asking(within: float) -> AsyncIterator[None]:
    """For so many seconds an answer is waited for; raises `Retry` when there is none."""
    try:
        async with asyncio.timeout(within):
            yield
    except TimeoutError:
        raise Retry("timeout") from None
    except ClientError:
        raise Retry("unreachable") from None
