"""A database of a running market is lost: put back from a backup, over TLS as deploy/k8s has it, the market goes on."""

# ruff: noqa: F811 - fixtures
from pathlib import Path
from typing import Any

import pytest

from shared.store import connect
from tests.e2e.guarded import GuardedStack
from tests.e2e.journey import Story
from tests.e2e.smoke import walk
from tests.service.ops.conftest import Kuaizhao, command_line, kuaizhao  # noqa: F401 - fixtures

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.kafka_log]

LOST = "matching"


@pytest.fixture
def _as_the_operator(whole_market: GuardedStack, kuaizhao: Kuaizhao, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds this market, and Kafka lets it do what deploy/k8s lets it."""
    market = whole_market
    settings = {
        "mongo_url": market.mongo_url,
        "secret": market.environment(LOST)["KUAIZHAO_SECRET"],
        "kafka": market.kafka_for_users,
        **market.certificate_settings("operations"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"KUAIZHAO_{name.upper()}", value)


async def hired(market: GuardedStack, n: int) -> str:
    """Somebody new is hired by somebody new, and told; the placement."""
    story = Story(market.gateway, market.url("web"), market.operator_password, n=n)
    async with story.open():
        await walk(story)
    return story.placement_id


async def memory(market: GuardedStack) -> list[Any]:
    """What the service knows of seats, and of who has them on which terms."""
    client = connect(market.mongo_url)
    try:
        seats, placements = client[LOST]["seats"], client[LOST]["placements"]
        kept = dict.fromkeys(("gig_id", "seat", "worker_id", "employer_id", "status", "terms"), 1)
        return [
            await seats.find({}, {"version": 0}, sort=[("_id", 1)]).to_list(),
            await placements.find({}, kept, sort=[("_id", 1)]).to_list(),
        ]
    finally:
        await client.close()


@pytest.mark.usefixtures("_as_the_operator")
async def test_a_market_whose_database_was_lost_goes_on(
    whole_market: GuardedStack, kuaizhao: Kuaizhao, tmp_path: Path
) -> None:
    market, folder, keys = whole_market, tmp_path / "backup", tmp_path / "keys"
    await hired(market, 171)
    made = await kuaizhao("backup", LOST, str(folder), "--keys", str(keys))
    assert made.code == 0, made.err
    placement_id = await hired(market, 172)

    await market.processes[LOST].stop()
    before = await memory(market)
    client = connect(market.mongo_url)
    try:
        await client.drop_database(LOST)
        done = await kuaizhao("restore", LOST, str(folder), "--keys", str(keys), "--by", "chen")
        # Offers are made by a window, which nobody heard of: one that led to a placement is not remembered itself.
        assert (done.code, "1 remembered, 1 left" in done.out) == (1, True), done.out + done.err
        assert [row["type"] async for row in client[LOST]["_unremembered"].find({})] == ["matching.offer-made.v1"]
        assert await memory(market) == before
        assert await client[LOST]["placements"].count_documents({"_id": placement_id}) == 1
    finally:
        await client.close()

    await market.start(LOST)
    await hired(market, 173)
    found = await kuaizhao("reconcile", "--older-than", "0")
    assert found.code == 0, found.out + found.err
