"""Ways out to people. One protocol; a channel behind it takes an address and a text, and says how that went."""

import asyncio
import base64
import hashlib
import hmac
import json
import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import httpx

from shared import clock
from shared.sending import Retry, check

TIMEOUT_SECONDS = 5.0

NAT64 = IPv6Network("64:ff9b::/96")
"""Addresses that a translator turns into one of IPv4 (RFC 6052)."""


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
        _judge(await _post(self._client, self._url, json=body))


class VoiceGateway(SmsGateway):
    """A provider that calls a phone and reads the text aloud: asked as one of SMS is; the speech is its own work."""


class Webhook:
    """A POST of {"id", "text"} to an address of the person's own, signed; any 2xx means taken.

    Signed as Standard Webhooks 1.0 says: `webhook-id` (the idempotency key), `webhook-timestamp` (Unix seconds) and
    `webhook-signature`: `v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body` under the person's secret.

    Only https, and only to addresses that the whole Internet reaches (IANA's special-purpose registries, by
    `ipaddress`): the name is resolved here, every address that it has is looked at, and the connection goes to one of
    those, so that a second answer of its name server changes nothing. A redirect is not followed, and what the answer
    says is not read. `local` lets tests use http and this machine. The client is one of `webhook_client`.
    """

    def __init__(self, client: httpx.AsyncClient, *, local: bool = False) -> None:
        self._client, self._local = client, local

    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        where, _, secret = address.partition("#")
        try:
            url = httpx.URL(where)
        except httpx.InvalidURL:
            raise Rejected from None
        if url.scheme != "https" and not self._local:
            raise Rejected
        ip = await self._resolved(url.host, url.port or (443 if url.scheme == "https" else 80))
        body = json.dumps({"id": idempotency_key, "text": text}, ensure_ascii=False).encode()
        headers = signed(secret, idempotency_key, int(clock.now().timestamp()), body)
        request = self._client.build_request(
            "POST",
            url.copy_with(host=ip),
            content=body,
            headers={**headers, "host": url.netloc.decode("ascii"), "content-type": "application/json"},
            extensions={"sni_hostname": url.host},
            timeout=TIMEOUT_SECONDS,
        )
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer = await self._client.send(request, stream=True, follow_redirects=False)
                await answer.aclose()
        except (TimeoutError, httpx.TimeoutException):
            raise Retry("timeout") from None
        except httpx.TransportError:
            raise Retry("unreachable") from None
        if answer.is_redirect:
            raise Rejected
        _judge(answer)

    async def _resolved(self, host: str, port: int) -> str:
        """An address of the host. Raises `Rejected` when any that it has is not for everybody to reach."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, OverflowError, UnicodeError):
            raise Retry("unreachable") from None
        addresses = [str(sockaddr[0]) for _, _, _, _, sockaddr in found]
        if not all(open_to_all(each) or (self._local and ip_address(each).is_loopback) for each in addresses):
            raise Rejected
        return addresses[0]


def webhook_client() -> httpx.AsyncClient:
    """A client without proxies, which would look names up anew, and with a connection for each post: one that is kept
    was made for another name at the same address.
    """
    return httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def may_post_to(url: str) -> bool:
    """Whether a webhook's address may be one, as far as can be said before its name is resolved."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "https" and open_to_all(host)
    except ValueError:  # a name
        return parts.scheme == "https" and "." in host and not host.endswith((".localhost", ".local", ".internal"))


def open_to_all(address: str) -> bool:
    """Whether an IP address is one of the public Internet; one of IPv4 in the clothes of IPv6 is what it is inside."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if not inner and ip in NAT64:
            inner = IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    return ip.is_global and not ip.is_multicast


def signed(secret: str, id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers that show a webhook's receiver from whom it is, and that nobody changed it."""
    mac = hmac.new(secret.encode(), f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


class WeComRobot:
    """A robot in a WeCom group (企业微信群机器人): its key is the address.

    Made after its public description, and not tried against the real one.

    POST {"msgtype": "text", "text": {"content"}} to `url?key=`; the answer's `errcode` is 0 when taken, and 45009 when
    asked too often. It knows no idempotency key: a message whose answer is lost may stand in the group twice.
    """

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self._url, self._client = url, client

    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        body = {"msgtype": "text", "text": {"content": text}}
        answer = await _post(self._client, self._url, params={"key": address}, json=body)
        _judge(answer)
        try:
            code = answer.json()["errcode"]
        except (ValueError, LookupError, TypeError):
            raise Retry("broken") from None
        if code in (-1, 45009):
            raise Retry("busy")
        if code != 0:
            raise Rejected


class Smtp:
    """E-mail by SMTP (RFC 5321), over TLS from the start (smtps) or asked for where the server offers it.

    Its `Message-ID` follows from the idempotency key: SMTP itself cannot take a message once, but every copy of it is
    the same message (RFC 5322, 3.6.4).
    """

    def __init__(self, url: str, sender: str) -> None:
        self._url, self._from = urlsplit(url), sender

    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"] = self._from, address
        message["Subject"] = f"快招 Kuaizhao: {' '.join(text.split())[:60]}"
        name = hashlib.sha256(idempotency_key.encode()).hexdigest()
        message["Message-ID"] = f"<{name}@{self._from.rpartition('@')[2]}>"
        message["Date"] = clock.now()
        message.set_content(text)
        try:
            await asyncio.to_thread(self._hand_over, message)
        except TimeoutError:
            raise Retry("timeout") from None
        except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError):
            raise Retry("misconfigured") from None
        except smtplib.SMTPRecipientsRefused as refused:
            if all(500 <= code < 600 for code, _ in refused.recipients.values()):
                raise Rejected from None
            raise Retry("busy") from None
        except smtplib.SMTPResponseException as answer:
            if 500 <= answer.smtp_code < 600:
                raise Rejected from None
            raise Retry("busy") from None
        except (smtplib.SMTPException, OSError):
            raise Retry("unreachable") from None

    def _hand_over(self, message: EmailMessage) -> None:
        host, port, tls = self._url.hostname or "", self._url.port or 0, ssl.create_default_context()
        secure = self._url.scheme == "smtps"
        with (
            smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=tls)
            if secure
            else smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
        ) as server:
            server.ehlo_or_helo_if_needed()
            if not secure and server.has_extn("starttls"):
                server.starttls(context=tls)
            if self._url.username:
                server.login(unquote(self._url.username), unquote(self._url.password or ""))
            server.send_message(message)


async def _post(client: httpx.AsyncClient, url: httpx.URL | str, **request: Any) -> httpx.Response:
    try:
        return await client.post(url, timeout=TIMEOUT_SECONDS, follow_redirects=False, **request)
    except httpx.TimeoutException:
        raise Retry("timeout") from None
    except httpx.TransportError:
        raise Retry("unreachable") from None


def _judge(answer: httpx.Response) -> None:
    """Returns when a message was taken. Raises `Retry` or `Rejected`."""
    if not check(answer.status_code, answer.headers.get("retry-after")):
        raise Rejected
