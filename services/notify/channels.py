"""Ways out to people. One protocol; a channel behind it takes an address and a text, and says how that went."""

from typing import Protocol

import httpx

from services.notify.domain import Trouble

TIMEOUT_SECONDS = 5.0


class Retry(Exception):
    """It was not taken now and may be later; whether it was taken after all is not known.

    `asked_seconds` is how long the channel asked us to wait, if it did.
    """

    def __init__(self, trouble: Trouble, asked_seconds: float | None = None) -> None:
        super().__init__(trouble)
        self.trouble, self.asked_seconds = trouble, asked_seconds


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
        status = answer.status_code
        if answer.is_success:
            return
        if status in (408, 425, 429, 503):
            raise Retry("busy", _seconds(answer.headers.get("retry-after")))
        if answer.is_server_error:
            raise Retry("broken")
        if answer.is_redirect or status in (401, 403, 404, 405, 407):
            raise Retry("misconfigured")
        raise Rejected


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After as seconds (RFC 9110, 10.2.3); its form as a date is not understood, and so left aside."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
