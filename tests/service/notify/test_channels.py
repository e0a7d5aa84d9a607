"""Each channel outside: what it is asked, once for each message, and what it is never asked."""

import asyncio
import base64
import hashlib
import hmac
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from services.notify.channels import (
    Channel,
    Rejected,
    Smtp,
    Webhook,
    WeComRobot,
    open_to_all,
    webhook_client,
)
from services.notify.sender import Sender, channels_of
from services.notify.store import Contact, Delivery
from shared import clock
from shared.contracts.matching import PlacementMade
from shared.contracts.notify import DeliveryFailed, DeliveryMade
from shared.providers import provider_client
from shared.sending import LEASE, Retry
from shared.testing import Harness
from tests.service.notify.post import PostOffice
from tests.service.notify.sink import Sink
from tests.service.notify.story import PHONE, WORKER, prefer, reach, said, send

pytestmark = pytest.mark.feature("F8")

SECRET = "a-secret-of-the-persons-own"
ROBOT = "00000000-0000-4000-8000-000000000000"
KEY = f"placement-made:{said(PlacementMade).placement_id}:{WORKER}"


async def point(notify: Harness, channel: str, sink: Sink) -> None:
    """A contact point of the worker's by this channel."""
    match channel:
        case "email":
            await reach(notify, address="worker@example.org", channel=channel, language="en")
        case "webhook":
            notify.runtime.settings.webhooks_may_be_local = True
            await reach(notify, address=sink.url, channel=channel, secret=SECRET, language="en")
        case "wecom":
            sink.says = b'{"errcode": 0}'
            await reach(notify, address=ROBOT, channel=channel, language="en")
        case _:
            await reach(notify, channel=channel, language="en")


@pytest.mark.parametrize("channel", ["sms", "voice", "email", "webhook", "wecom"])
async def test_a_message_reaches_a_person_by_each_channel_once(
    notify: Harness, every: Sender, sink: Sink, office: PostOffice, channel: str
) -> None:
    await point(notify, channel, sink)
    for id in ("m1", "m1", "m2"):
        await notify.receives(said(PlacementMade), id=id)
    assert await send(every) == 1
    assert await send(every) == 0
    assert len(sink.asked) + len(office.asked) == 1
    [made] = await notify.published(DeliveryMade)
    assert (made.delivery_id, made.channel) == (f"{KEY}:{channel}", channel)


async def test_a_voice_provider_is_asked_as_one_of_sms_is(notify: Harness, every: Sender, sink: Sink) -> None:
    await reach(notify, channel="voice")
    await notify.receives(said(PlacementMade))
    await send(every)
    [body] = sink.asked
    assert (body["to"], body["idempotency_key"]) == (PHONE, f"{KEY}:voice")
    assert body["text"].startswith("已录用")


@pytest.mark.feature("F13")
@pytest.mark.parametrize("channel", ["sms", "voice", "email", "webhook"])
async def test_a_sender_killed_behind_the_provider_sends_again_and_the_person_hears_once(
    notify: Harness, every: Sender, sink: Sink, office: PostOffice, channel: Any
) -> None:
    await point(notify, channel, sink)
    await notify.receives(said(PlacementMade))

    class Killed(BaseException):
        pass

    class Dying:
        def __init__(self, whole: Channel) -> None:
            self._whole = whole

        async def send(self, address: str, text: str, idempotency_key: str) -> None:
            await self._whole.send(address, text, idempotency_key)
            raise Killed

    with pytest.raises(Killed):
        await send(Sender(notify.runtime, {channel: Dying(every.channels[channel])}))
    notify.clock.now += LEASE
    assert await send(every) == 1
    assert len(sink.asked) + len(office.asked) == 2
    assert len(sink.passed_on) + len(office.arrived) == 1
    assert len(await notify.published(DeliveryMade)) == 1


# --- e-mail ----------------------------------------------------------------------------------------------------------


async def test_an_email_has_its_text_in_the_persons_language(
    notify: Harness, every: Sender, office: PostOffice
) -> None:
    await reach(notify, channel="email", address="worker@example.org", language="zh")
    await notify.receives(said(PlacementMade))
    await send(every)
    [message] = office.asked
    assert message["To"] == "worker@example.org"
    assert message["From"] == "market@example.org"
    assert message["Subject"].startswith("快招 Kuaizhao: 已录用")
    assert message.get_content().startswith("已录用：")


@pytest.mark.parametrize(("code", "trouble"), [(450, "busy"), (451, "busy"), (0, "unreachable")])
async def test_a_mail_server_that_cannot_now_is_asked_again(
    notify: Harness, every: Sender, office: PostOffice, code: int, trouble: str
) -> None:
    office.turns.append(code)
    with pytest.raises(Retry) as again:
        await Smtp(office.url, "market@example.org").send("worker@example.org", "text", "key")
    assert again.value.trouble == trouble


async def test_a_mailbox_that_is_not_there_has_failed(notify: Harness, every: Sender, office: PostOffice) -> None:
    await reach(notify, channel="email", address="worker@example.org")
    await notify.receives(said(PlacementMade))
    office.turns.append(550)
    await send(every)
    assert [failed.reason for failed in await notify.published(DeliveryFailed)] == ["rejected"]
    assert office.asked == []


async def test_no_mail_server_is_one_to_ask_later() -> None:
    with pytest.raises(Retry):
        await Smtp("smtp://127.0.0.1:1", "market@example.org").send("worker@example.org", "text", "key")


# --- webhooks --------------------------------------------------------------------------------------------------------


async def test_a_webhook_is_signed_as_the_standard_says(notify: Harness, every: Sender, sink: Sink) -> None:
    await point(notify, "webhook", sink)
    await notify.receives(said(PlacementMade))
    await send(every)
    [head], [raw] = sink.heads, sink.raw
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
    at = str(int(clock.now().timestamp()))
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (f"{KEY}:webhook", at)
    mac = hmac.new(SECRET.encode(), f"{KEY}:webhook.{at}.".encode() + raw, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
    assert SECRET not in head
    assert sink.asked[0]["text"].startswith("You have the job")


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1/x",
        "https://10.1.2.3/x",
        "https://172.16.0.1/x",
        "https://192.168.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/x",
        "https://0.0.0.0/x",
        "https://localhost/x",
        "https://market.internal/x",
        "http://example.org/x",
    ],
)
async def test_a_webhook_to_a_private_address_is_refused_with_the_reason(notify: Harness, address: str) -> None:
    form = {"channel": "webhook", "address": address, "language": "zh", "consent": True, "secret": SECRET}
    answer = await notify.http.put("/contact", json=form, headers=notify.as_("worker", WORKER))
    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert fault["field"] == "address"
    assert "whole Internet" in fault["detail"]
    assert await notify.all(Contact) == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1"),
    ],
)
def test_an_address_that_is_not_of_the_public_internet(address: str) -> None:
    assert not open_to_all(address)


def test_addresses_of_the_public_internet() -> None:
    assert open_to_all("1.1.1.1")
    assert open_to_all("2606:4700::1111")


async def test_a_name_that_leads_to_a_private_address_is_refused_when_it_is_looked_up(
    notify: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One private address among public ones is enough: which is taken is not ours to say."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("1.1.1.1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    await reach(notify, channel="webhook", address="https://hooks.example.org/x", secret=SECRET)
    await notify.receives(said(PlacementMade))
    async with webhook_client() as client:
        await send(Sender(notify.runtime, {"webhook": Webhook(client)}))
    assert [failed.reason for failed in await notify.published(DeliveryFailed)] == ["rejected"]


@pytest.mark.parametrize(("certified", "taken"), [("hooks.example.org", True), ("127.0.0.1", False)])
async def test_the_connection_goes_to_the_address_that_was_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certified: str, taken: bool
) -> None:
    """And is one with whom the name was meant: its certificate is for the name, whatever the address."""
    lookups = []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        lookups.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    server, client = tls(certified, tmp_path)
    async with listening(server) as (port, heads), client:
        sent = Webhook(client, local=True).send(f"https://hooks.example.org:{port}/x?y=1#{SECRET}", "text", "key")
        with nullcontext() if taken else pytest.raises(Retry, match="unreachable"):
            await sent
    assert lookups == ["hooks.example.org"]
    if taken:
        assert heads[0].startswith("POST /x?y=1 HTTP/1.1\r\n")
        assert f"\r\nhost: hooks.example.org:{port}\r\n" in heads[0].lower()
    else:
        assert heads == []


@asynccontextmanager
async def listening(context: ssl.SSLContext) -> AsyncIterator[tuple[int, list[str]]]:
    """A server over TLS that takes everything: its port, and the heads of what it was asked."""
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1], heads


def tls(name: str, folder: Path) -> tuple[ssl.SSLContext, ClientSession]:
    """A server's side with a certificate of its own for the name, and a client that believes it."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    other = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now, now + LEASE * 100)
        .add_extension(x509.SubjectAlternativeName([other]), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem = folder / "server.pem"
    pem.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    believes = ssl.create_default_context(cadata=certificate.public_bytes(Encoding.PEM).decode())
    return server, ClientSession(connector=TCPConnector(ssl=believes, force_close=True))


async def test_a_redirect_is_not_followed(notify: Harness, every: Sender, sink: Sink) -> None:
    await point(notify, "webhook", sink)
    await notify.receives(said(PlacementMade))
    sink.turns.append(307)
    sink.headers["location"] = "http://169.254.169.254/latest/meta-data"
    await send(every)
    assert len(sink.asked) == 1
    assert [failed.reason for failed in await notify.published(DeliveryFailed)] == ["rejected"]


@pytest.mark.parametrize("form", [{"channel": "webhook"}, {"channel": "sms", "address": PHONE, "secret": SECRET}])
async def test_a_secret_is_for_a_webhook_and_needed_there(notify: Harness, form: dict[str, str]) -> None:
    whole = {"address": "https://hooks.example.org/x", "language": "zh", "consent": True} | form
    answer = await notify.http.put("/contact", json=whole, headers=notify.as_("worker", WORKER))
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == ["secret"]


# --- WeCom -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "error"), [(45009, Retry), (-1, Retry), (93000, Rejected)])
async def test_a_robot_says_in_its_answer_whether_it_took_a_message(
    sink: Sink, code: int, error: type[Exception]
) -> None:
    sink.says = f'{{"errcode": {code}}}'.encode()
    async with provider_client() as client:
        with pytest.raises(error):
            await WeComRobot(sink.url, client).send(ROBOT, "text", "key")
    assert sink.asked == [{"msgtype": "text", "text": {"content": "text"}}]
    assert f"POST /sms?key={ROBOT} " in sink.heads[0]


# --- several ---------------------------------------------------------------------------------------------------------


async def test_contact_points_are_listed_masked_and_withdrawn_one_by_one(notify: Harness, sink: Sink) -> None:
    for channel in ("sms", "email", "webhook"):
        await point(notify, channel, sink)
    headers = notify.as_("worker", WORKER)
    listed = (await notify.http.get("/contacts", headers=headers)).json()
    assert [(each["channel"], each["address"]) for each in listed] == [
        ("sms", "+86199****0001"),
        ("email", "w****@example.org"),
        ("webhook", "http://127.0.0.1/****"),
    ]
    assert (await notify.http.delete("/contacts/sms", headers=headers)).status_code == 204
    assert (await notify.http.get("/contact", headers=headers)).json()["channel"] == "email"
    for channel in ("email", "webhook", "webhook"):
        assert (await notify.http.delete(f"/contacts/{channel}", headers=headers)).status_code == 204
    assert await notify.all(Contact) == []


async def test_a_contact_of_when_there_was_one_point_is_still_read(notify: Harness) -> None:
    await reach(notify)
    [point] = (await notify.all(Contact))[0].points
    old = {"_id": WORKER, "version": 1, **point.model_dump()}
    await notify.runtime.store.db["contacts"].replace_one({"_id": WORKER}, old)
    read = (await notify.http.get("/contact", headers=notify.as_("worker", WORKER))).json()
    assert (read["channel"], read["address"]) == ("sms", "+86199****0001")
    await notify.receives(said(PlacementMade))
    assert [delivery.channel for delivery in await notify.all(Delivery)] == ["sms"]


async def test_a_kind_takes_the_channels_that_the_person_said(notify: Harness, sink: Sink) -> None:
    for channel in ("sms", "email"):
        await point(notify, channel, sink)
    await prefer(notify, channels={"placement-made": ["email"], "offer-made": []})
    await notify.receives(said(PlacementMade))
    assert [(each.channel, each.others) for each in await notify.all(Delivery)] == [("email", [])]


async def test_a_region_has_the_channels_whose_provider_is_set(notify: Harness) -> None:
    settings = notify.runtime.settings
    async with provider_client() as client:
        assert set(channels_of(settings, client, client)) == {"sms", "webhook", "wecom", "push"}
        more = {"voice_url": "http://127.0.0.1:1/voice", "smtp_url": SecretStr("smtp://127.0.0.1:1")}
        whole = settings.model_copy(update=more)
        assert set(channels_of(whole, client, client)) == {"sms", "voice", "email", "webhook", "wecom", "push"}
