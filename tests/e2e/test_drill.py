"""The drill of docs/operations.md (Restore) on a whole market: it loses every database, and is what it was.

Processes and commands speak TLS to the broker, each as its user of deploy/k8s.
"""

# ruff: noqa: F811 - fixtures
import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from deploy.local.ports import SERVICES, free_ports
from deploy.local.stack import MARKET
from services.rights.covers import has_insurer
from tests.e2e.guarded import GuardedStack
from tests.e2e.journey import DISTRICT, Story, eventually
from tests.service.ops.conftest import Kuaizhao, command_line  # noqa: F401 - a fixture

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.kafka_log]

Client = AsyncMongoClient[dict[str, Any]]

OF_PROCESSES = {"_leases", "_audit", "_answers", "_keys"}
"""Not the market's: who did what, and what is kept for calls that are sent again, with the keys it is sealed by."""
OF_WRITING = {"version", "trace", "attempts", "ask", "order"}
"""How often a document was written and in which trace; and what the insurer is asked again, who has it in its books."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedStack]:
    folder: Path = tmp_path_factory.mktemp("drill")
    async with GuardedStack(folder, ports=free_ports(), parts=MARKET, say=lambda line: None) as stack:
        yield stack


@pytest.fixture
def kuaizhao(market: GuardedStack, command_line: Kuaizhao, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kuaizhao]:
    """The command finds this market, and Kafka lets it do what deploy/k8s lets the user `operations`."""
    certificates = {f"KUAIZHAO_{name.upper()}": at for name, at in market.certificate_settings("operations").items()}
    for name, value in (market.environment("identity") | certificates).items():
        monkeypatch.setenv(name, value)
    # An operator's command is a process of its own; this one may have read other settings before.
    has_insurer.cache_clear()
    yield command_line
    has_insurer.cache_clear()


async def state(client: Client) -> dict[str, Any]:
    """Each document of each service by its place, but for the moments at which it heard what."""
    found = {}
    for service in SERVICES:
        for name in set(await client[service].list_collection_names()) - OF_PROCESSES:
            async for row in client[service][name].find({}):
                found[f"{service}.{name} {row['_id']}"] = _kept(row, moments=name == "_timers")
    return found


def hashed(state: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(state, default=repr, option=orjson.OPT_SORT_KEYS)).hexdigest()


def differing(now: dict[str, Any], before: dict[str, Any]) -> list[str]:
    """What is not as it was: each field, in words."""
    return [
        f"{place}: {name} is {there.get(name)!r} and was {was.get(name)!r}"
        for place in sorted(now.keys() | before.keys())
        for there, was in [(now.get(place, {}), before.get(place, {}))]
        for name in sorted(there.keys() | was.keys())
        if there.get(name) != was.get(name)
    ]


def _kept(row: dict[str, Any], *, moments: bool) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if name not in OF_WRITING and value is not None}
    return {name: value for name, value in kept.items() if moments or not isinstance(value, datetime)}


async def test_a_market_that_lost_every_database_is_what_it_was(
    market: GuardedStack, kuaizhao: Kuaizhao, tmp_path: Path
) -> None:
    client: Client = AsyncMongoClient(market.mongo_url)

    async def all_heard() -> bool:
        """Nothing is on its way: between services, to a phone, to the insurer."""
        lags = orjson.loads((await kuaizhao("lag", "--json")).out)
        waiting = await client["notify"]["deliveries"].count_documents({"state": "waiting"})
        asked = await client["rights"]["covers"].count_documents({"ask": {"$ne": None}})
        return not waiting + asked + sum(each["lag"] + each["waiting"]["outbox"] for each in lags)

    async def books() -> list[dict[str, Any]]:
        """What the insurer has."""
        async with httpx.AsyncClient(timeout=30) as http:
            answer = await http.get(f"{market.url('web')}/insurer/policies")
        policies: list[dict[str, Any]] = answer.raise_for_status().json()
        return policies

    async with AsyncExitStack() as people:
        stories = [Story(market.gateway, market.url("web"), market.operator_password, n=n) for n in range(3)]
        placed, offered, waiting = [await people.enter_async_context(story.open()) for story in stories]
        for story in stories:
            await story.verify_employer()
            await story.register_worker()
        # A machine that is slow at backups lets no offer end meanwhile.
        changes = {"offer_seconds": 3_600}
        await placed.operator.put(f"matching/rules/{DISTRICT}", replaces=0, reason="drill", changes=changes)
        # Nor does a message wait for the morning.
        never = {"quiet_from": "00:00", "quiet_until": "00:00"}
        await placed.operator.put("notify/rules/country", replaces=0, reason="drill", changes=never)
        for story in (placed, offered):
            await story.post_gig()
            await story.check_in()
            await story.find_offer()
        await placed.accept()
        await placed.see_agreement()

        for name in SERVICES:
            to = (str(tmp_path / name), "--keys", str(tmp_path / f"{name}-keys"))
            made = await kuaizhao("backup", name, *to)
            assert (made.code, made.err) == (0, "")

        await offered.accept()
        await offered.see_agreement()
        await offered.see_notice()
        await placed.worker.post(f"matching/placements/{placed.placement_id}/cancel")
        await eventually(all_heard, "all heard")
        await asyncio.gather(*(market.processes[name].stop() for name in SERVICES))
        before, insured = await state(client), await books()

        for name in SERVICES:
            await client.drop_database(name)
        for name in SERVICES:
            of = (str(tmp_path / name), "--keys", str(tmp_path / f"{name}-keys"))
            done = await kuaizhao("restore", name, *of)
            assert (done.code, done.err) == (0, ""), done.out
        after = await state(client)
        assert differing(after, before) == []
        assert hashed(after) == hashed(before)

        await asyncio.gather(*(market.start(name) for name in SERVICES))
        await eventually(all_heard, "all heard again")
        drift = await kuaizhao("reconcile", "--older-than", "0")
        assert (drift.code, drift.out) == (0, "0 found, 0 mended, 0 left; 0 on their way\n")
        assert await books() == insured
        await offered.see_notice()

        waiting.gig_id = placed.gig_id  # whose seat was given back
        await waiting.check_in()
        await waiting.find_offer()
        await waiting.accept()
        await waiting.see_agreement()
        await waiting.see_notice()
    await client.close()
