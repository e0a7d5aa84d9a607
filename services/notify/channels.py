"""Ways out to people. One protocol; a channel behind it takes an address and a text, and says how that went."""

from typing import Protocol

import httpx

from shared.sending import Retry, check

TIMEOUT_SECONDS = 5.0


class Rejected(Exception):
    """It will never be taken: the address or the text is not acceptable. Says nothing of either."""


class Channel(Protocol):
    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        """Hand over one message. Returns when it is taken; the same key again is the same message, not another one.

        Raises `Retry` or `Rejected`.
        """


class SmsGateway:
    """An SMS provider over HTTP: POST {"to", "text", "idempotency_key"} to its address; any 2xx means taken."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self._url, self._client = url, client

    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        body = {"to": address, "text": text, "idempotency_key": idempotency_key}
        try:
            answer = await self._client.post(self._url, json=body, timeout=TIMEOUT_SECONDS)
        except httpx.TimeoutException:
            raise Retry("timeout") from None
        except httpx.TransportError:
            raise Retry("unreachable") from None
        if not check(answer.status_code, answer.headers.get("retry-after")):
            raise Rejected
