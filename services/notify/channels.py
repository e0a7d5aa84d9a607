"""Ways out to people. One protocol; a channel behind it takes an address and a text, and says how that went."""

import asyncio
import base64
import hashlib
import hmac
import json
import smtplib
import socket
import ssl
from collections.abc import Mapping
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import orjson
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from services.notify import push
from shared import clock
from shared.providers import Answer, asking, post
from shared.sending import Retry, check

TIMEOUT_SECONDS = 5.0

JSON = {"content-type": "application/json"}

NAT64 = IPv6Network("64:ff9b::/96")
"""Addresses that a translator turns into one of IPv4 (RFC 6052)."""


class Rejected(Exception):
    """It will never be taken: the address or the text is not acceptable. Says nothing of either."""


class Gone(Rejected):
    """Nobody is at this address any more, nor will be."""


class Channel(Protocol):
    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        """Hand over one message. Returns when it is taken; the same key again is the same message, not another one.

        Raises `Retry` or `Rejected`.
        """


class SmsGateway:
    """An SMS provider over HTTP: POST {"to", "text", "idempotency_key"} to its address; any 2xx means taken."""

    def __init__(self, url: str, client: ClientSession) -> None:
        self._url, self._client = url, client

    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        body = {"to": address, "text": text, "idempotency_key": idempotency_key}
        _judge(await _post(self._client, self._url, body))


class VoiceGateway(SmsGateway):
    """A provider that calls a phone and reads the text aloud: asked as one of SMS is; the speech is its own work."""


class Webhook:
    """A POST of {"id", "text"} to an address of the person's own, signed; any 2xx means taken.

    Signed as Standard Webhooks 1.0 says: `webhook-id` (the idempotency key), `webhook-timestamp` (Unix seconds) and
    `webhook-signature`: `v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body` under the person's secret.

    Sent as `post_to_all` does. `local` lets tests use http and this machine. The client is one of `webhook_client`.
    """

    def __init__(self, client: ClientSession, *, local: bool = False) -> None:
        self._client, self._local = client, local

    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        where, _, secret = address.partition("#")
        body = json.dumps({"id": idempotency_key, "text": text}, ensure_ascii=False).encode()
        headers = signed(secret, idempotency_key, int(clock.now().timestamp()), body)
        headers["content-type"] = "application/json"
        _judge(await post_to_all(self._client, where, body, headers, local=self._local))


class WebPush:
    """A message to a browser by its push service (RFC 8030), as JSON {"id", "text"} that only the browser can read.

    `Topic` follows from the idempotency key, so that a message sent again takes the place of one that still waits at
    the push service; one that is shown already the page's service worker shows anew in its place, by the `id`.
    404 and 410 say that there is no such browser any more. Sent as `post_to_all` does, as a webhook is.
    """

    TTL_SECONDS = 3_600
    """How long a push service keeps it for a browser that is away: later it is in the list of messages anyway."""

    def __init__(self, client: ClientSession, sender: push.Sender, *, local: bool = False) -> None:
        self._client, self._sender, self._local = client, sender, local

    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        endpoint, _, keys = address.partition("#")
        p256dh, _, auth = keys.partition(".")
        message = json.dumps({"id": idempotency_key, "text": text}, ensure_ascii=False).encode()
        try:
            body = push.encrypted(message, p256dh, auth)
        except ValueError:
            raise Rejected from None
        headers = {
            "authorization": self._sender.vouched(endpoint),
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(self.TTL_SECONDS),
            "topic": push.pack(hashlib.sha256(idempotency_key.encode()).digest()[:24]),
            "urgency": "high",
        }
        answer = await post_to_all(self._client, endpoint, body, headers, local=self._local)
        if answer.status in (404, 410):
            raise Gone
        _judge(answer)


async def post_to_all(
    client: ClientSession, where: str, body: bytes, headers: Mapping[str, str], *, local: bool
) -> Answer:
    """Post to an address that somebody named, without reading what its answer says. Raises `Retry` or `Rejected`.

    Only https, and only to addresses that the whole Internet reaches (IANA's special-purpose registries, by
    `ipaddress`): the name is resolved here, every address that it has is looked at, and the connection goes to one of
    those, so that a second answer of its name server changes nothing. A redirect is not followed. `local` lets it be
    http, and this machine.
    """
    try:
        url = URL(where)
    except ValueError:
        raise Rejected from None
    if not url.host or url.scheme not in (("https", "http") if local else ("https",)):
        raise Rejected
    async with asking(TIMEOUT_SECONDS):
        ip = await _resolved(url.host, url.port or 443, local=local)
        whom = {**headers, "host": url.host_port_subcomponent or ""}
        name = url.host if url.scheme == "https" else None
        async with client.post(
            url.with_host(ip), data=body, headers=whom, allow_redirects=False, server_hostname=name
        ) as said:
            answer = Answer.of(said)
    if 300 <= answer.status < 400:
        raise Rejected
    return answer


async def _resolved(host: str, port: int, *, local: bool) -> str:
    """An address of the host. Raises `Rejected` when any that it has is not for everybody to reach."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, OverflowError, UnicodeError):
        raise Retry("unreachable") from None
    addresses = [str(sockaddr[0]) for _, _, _, _, sockaddr in found]
    if not all(open_to_all(each) or (local and ip_address(each).is_loopback) for each in addresses):
        raise Rejected
    return addresses[0]


def webhook_client() -> ClientSession:
    """A client without proxies, which would look names up anew, and with a connection for each post: one that is kept
    was made for another name at the same address.
    """
    connector = TCPConnector(force_close=True, limit=0)
    return ClientSession(timeout=ClientTimeout(), cookie_jar=DummyCookieJar(), connector=connector)


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

    def __init__(self, url: str, client: ClientSession) -> None:
        self._url, self._client = url, client

    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        body = {"msgtype": "text", "text": {"content": text}}
        code = _errcode(_answer_of(await _post(self._client, self._url, body, key=address)))
        if code in (-1, 45009):
            raise Retry("busy")
        if code != 0:
            raise Rejected


class WeChat:
    """A template message of the region's service account (微信服务号模板消息) to a follower, by their openid.

    Made after its public description, and not tried against the real one.

    POST to `/cgi-bin/message/template/send?access_token=`; the answer's `errcode` is 0 when taken. `client_msg_id`,
    made of the idempotency key, lets one through in ten minutes. A template has fields of 20 characters: the text's
    beginning goes into the one that is named, and the whole is in the list of messages, to which `link` leads.

    The access token is the stable one (`/cgi-bin/stable_token`): whoever asks is given the same until it runs out, so
    that replicas share it and none makes another's invalid. Only one that is not taken though it is still given out is
    asked for anew by force.
    """

    FIELD_CHARACTERS = 20
    EARLY_SECONDS = 300
    """WeChat gives a new token so long before the old one ends, and takes both meanwhile."""

    NO_TOKEN = frozenset({40001, 40014, 42001})
    """The access token is wrong, or has run out."""
    BUSY = frozenset({-1, 45009, 45011})
    """The system is busy; a day's or a minute's most is reached."""
    OURS = frozenset({40013, 40037, 40125, 40164, 41001, 47003, 48001, 50002})
    """The account, its secret, its list of addresses, its template or its rights are not as they should be."""

    def __init__(
        self, url: str, client: ClientSession, *, app_id: str, secret: str, template: str, field: str, link: str
    ) -> None:
        self._url, self._client = url.rstrip("/"), client
        self._app = {"grant_type": "client_credential", "appid": app_id, "secret": secret}
        self._template, self._field, self._link = template, field, link
        self._token, self._until, self._asking = "", clock.now(), asyncio.Lock()

    async def send(self, address: str, text: str, idempotency_key: str) -> None:
        cut = text if len(text) <= self.FIELD_CHARACTERS else f"{text[: self.FIELD_CHARACTERS - 1]}…"
        message: dict[str, Any] = {
            "touser": address,
            "template_id": self._template,
            "client_msg_id": hashlib.sha256(idempotency_key.encode()).hexdigest()[:32],
            "data": {self._field: {"value": cut}},
        }
        if self._link:
            message["url"] = self._link
        token = await self._access_token()
        code = await self._send(message, token)
        if code in self.NO_TOKEN:
            code = await self._send(message, await self._access_token(instead_of=token))
        if code in self.NO_TOKEN | self.OURS:
            raise Retry("misconfigured")
        if code in self.BUSY:
            raise Retry("busy")
        if code != 0:  # such as 43004: they do not follow the account, and 40003: there is no such follower
            raise Rejected

    async def _send(self, message: Mapping[str, Any], token: str) -> int:
        where = f"{self._url}/cgi-bin/message/template/send"
        return _errcode(_answer_of(await _post(self._client, where, message, access_token=token)))

    async def _access_token(self, instead_of: str = "") -> str:
        """The token, asked for when there is none, it runs out or is the one that was not taken."""
        async with self._asking:
            if self._token == instead_of or clock.now() >= self._until:
                await self._ask_for_token()
            if self._token == instead_of:
                await self._ask_for_token(force_refresh=True)
            return self._token

    async def _ask_for_token(self, **how: bool) -> None:
        answer = _answer_of(await _post(self._client, f"{self._url}/cgi-bin/stable_token", {**self._app, **how}))
        token, lasts = answer.get("access_token"), answer.get("expires_in")
        if not (isinstance(token, str) and token and isinstance(lasts, int)):
            raise Retry("busy" if _errcode(answer) in self.BUSY else "misconfigured")
        self._token, self._until = token, clock.now() + timedelta(seconds=max(0, lasts - self.EARLY_SECONDS))


def _answer_of(answer: Answer) -> dict[str, Any]:
    """What Tencent answers, whose HTTP status is 200 also for a no. Raises `Retry` or `Rejected`."""
    _judge(answer)
    try:
        said = orjson.loads(answer.body)
    except ValueError:
        raise Retry("broken") from None
    if not isinstance(said, dict):
        raise Retry("broken")
    return said


def _errcode(said: Mapping[str, Any]) -> int:
    code = said.get("errcode")
    if not isinstance(code, int):
        raise Retry("broken")
    return code


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


async def _post(client: ClientSession, url: str, body: Mapping[str, Any], **query: str) -> Answer:
    """Post JSON to a provider, and read its answer. Raises `Retry`."""
    return await post(client, url, orjson.dumps(body), JSON, within=TIMEOUT_SECONDS, query=query)


def _judge(answer: Answer) -> None:
    """Returns when a message was taken. Raises `Retry` or `Rejected`."""
    if not check(answer.status, answer.retry_after):
        raise Rejected
