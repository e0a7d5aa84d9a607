"""The WeChat service account, against a stand-in that speaks its HTTP as its public description has it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.notify.channels import Channel, Rejected, WeChat
from services.notify.sender import Sender, channels_of
from services.notify.store import Delivery
from shared.contracts.matching import PlacementMade
from shared.contracts.notify import DeliveryMade
from shared.providers import provider_client
from shared.sending import Retry
from shared.testing import Harness
from tests.service.notify.story import WORKER, reach, said, send

pytestmark = pytest.mark.feature("F8")

OPENID = "oZ0000000000000000000000000A"
KEY = f"placement-made:{said(PlacementMade).placement_id}:{WORKER}"


class Account:
    """WeChat's side: one token at a time, messages by openid and `client_msg_id`, and the errors a test asks for."""

    def __init__(self) -> None:
        self.url = ""
        self.number = 1
        self.asked_for_token: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.passed_on: dict[tuple[str, str], dict[str, Any]] = {}
        self.turns: list[int] = []
        self.expires_in: Any = 7_200

    @property
    def token(self) -> str:
        return f"token-{self.number}"

    async def give_token(self, request: Request) -> Response:
        form = json.loads(await request.body())
        self.asked_for_token.append(form)
        if form["secret"] != "secret":
            return JSONResponse({"errcode": 40125, "errmsg": "invalid appsecret"})
        self.number += bool(form.get("force_refresh"))
        return JSONResponse({"access_token": self.token, "expires_in": self.expires_in})

    async def send(self, request: Request) -> Response:
        form = json.loads(await request.body())
        self.asked.append(form)
        if request.query_params["access_token"] != self.token:
            return JSONResponse({"errcode": 42001, "errmsg": "access_token expired"})
        code = self.turns.pop(0) if self.turns else 0
        if code == 0:
            self.passed_on.setdefault((form["touser"], form["client_msg_id"]), form)
        return JSONResponse({"errcode": code, "errmsg": "", "msgid": 1})


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    account = Account()
    routes = [
        Route("/cgi-bin/stable_token", account.give_token, methods=["POST"]),
        Route("/cgi-bin/message/template/send", account.send, methods=["POST"]),
    ]
    config = uvicorn.Config(Starlette(routes=routes), port=0, log_level="warning", lifespan="off")
    async with _serving(uvicorn.Server(config)) as url:
        account.url = url
        yield account


@asynccontextmanager
async def _serving(server: uvicorn.Server) -> AsyncIterator[str]:
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn rings no bell
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


Making = Callable[..., Channel]


@pytest.fixture
async def make(account: Account) -> AsyncIterator[Making]:
    async with provider_client() as client:

        def make(secret: str = "secret", link: str = "") -> Channel:  # noqa: S107 - a test's
            return WeChat(
                account.url, client, app_id="app", secret=secret, template="template", field="thing1", link=link
            )

        yield make


async def test_a_follower_gets_the_beginning_of_a_message_once(
    notify: Harness, every: Sender, account: Account, make: Making
) -> None:
    await reach(notify, channel="wechat", address=OPENID)
    for id in ("m1", "m1", "m2"):
        await notify.receives(said(PlacementMade), id=id)
    sender = Sender(notify.runtime, {**every.channels, "wechat": make(link="https://market.example.org/")})
    assert await send(sender) == 1
    assert await send(sender) == 0
    [message] = account.asked
    assert (message["touser"], message["template_id"]) == (OPENID, "template")
    assert message["url"] == "https://market.example.org/"
    text = message["data"]["thing1"]["value"]
    assert text.startswith("已录用")
    assert text.endswith("…")
    assert len(text) == 20
    assert [made.channel for made in await notify.published(DeliveryMade)] == ["wechat"]


@pytest.mark.feature("F13")
async def test_the_same_key_again_is_the_same_message(account: Account, make: Making) -> None:
    for key in ("one", "one", "two"):
        await make().send(OPENID, "text", key)
    assert len(account.asked) == 3
    assert len(account.passed_on) == 2


async def test_replicas_share_a_token_and_keep_it_until_it_ends(
    notify: Harness, account: Account, make: Making
) -> None:
    replicas = [make(), make()]
    for replica in replicas * 3:
        await replica.send(OPENID, "text", "key")
    assert len(account.asked_for_token) == 2
    notify.clock.advance(seconds=7_200 - 300)
    account.number += 1  # the old one has run out
    for replica in replicas * 3:
        await replica.send(OPENID, "text", "key")
    assert len(account.asked_for_token) == 4
    assert not any(form.get("force_refresh") for form in account.asked_for_token)


async def test_a_token_that_was_made_anew_elsewhere_is_asked_for_and_the_message_goes_out(
    account: Account, make: Making
) -> None:
    channel = make()
    await channel.send(OPENID, "text", "one")
    account.number += 1
    await channel.send(OPENID, "text", "two")
    assert len(account.passed_on) == 2
    assert [form.get("force_refresh", False) for form in account.asked_for_token] == [False, False]


@pytest.mark.parametrize("code", [40001, 40014, 42001])
async def test_a_token_that_is_given_out_but_not_taken_is_replaced_by_force(
    account: Account, make: Making, code: int
) -> None:
    channel = make()
    account.turns.append(code)
    await channel.send(OPENID, "text", "one")
    assert len(account.passed_on) == 1
    assert [form.get("force_refresh", False) for form in account.asked_for_token] == [False, False, True]


@pytest.mark.parametrize(
    ("code", "trouble"), [(45009, "busy"), (-1, "busy"), (40037, "misconfigured"), (48001, "misconfigured")]
)
async def test_what_may_be_taken_later(account: Account, make: Making, code: int, trouble: str) -> None:
    account.turns.append(code)
    with pytest.raises(Retry) as again:
        await make().send(OPENID, "text", "key")
    assert again.value.trouble == trouble


async def test_tokens_that_are_never_taken_are_asked_for_twice_and_no_more(account: Account, make: Making) -> None:
    account.turns += [40001, 40001]
    with pytest.raises(Retry) as again:
        await make().send(OPENID, "text", "key")
    assert again.value.trouble == "misconfigured"
    assert len(account.asked) == 2


async def test_a_wrong_secret_is_for_an_operator_to_mend(account: Account, make: Making) -> None:
    with pytest.raises(Retry) as again:
        await make(secret="another").send(OPENID, "text", "key")
    assert again.value.trouble == "misconfigured"
    assert account.asked == []


@pytest.mark.parametrize("code", [43004, 40003, 43101])
async def test_who_does_not_follow_is_told_by_the_next_channel(
    notify: Harness, every: Sender, account: Account, make: Making, code: int
) -> None:
    account.turns.append(code)
    with pytest.raises(Rejected):
        await make().send(OPENID, "text", "key")
    account.turns.append(code)
    await reach(notify, channel="wechat", address=OPENID)
    await reach(notify)
    await notify.receives(said(PlacementMade))
    sender = Sender(notify.runtime, {**every.channels, "wechat": make()})
    assert [await send(sender) for _ in range(2)] == [1, 1]
    assert {each.channel: each.state for each in await notify.all(Delivery)} == {"wechat": "failed", "sms": "made"}


async def test_a_region_without_an_account_has_no_such_channel(notify: Harness) -> None:
    settings = notify.runtime.settings
    async with provider_client() as client:
        assert "wechat" not in channels_of(settings, client, client)
        settings.wechat_app_id = "app"
        assert "wechat" in channels_of(settings, client, client)
