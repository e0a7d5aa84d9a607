"""What a service says when what it is to run on will not do: one line that says what to change, and it is not ready."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from deploy.local.ports import free_ports
from deploy.local.servers import LOCALHOST, Mongo
from shared import clock, service
from shared.broker import Broker
from shared.contracts import Event
from shared.fitness import Unfit, see_database, see_topics
from shared.http import Routes
from shared.reactions import Reactions
from shared.sealed import Sealer
from shared.service import Runtime, Service
from shared.settings import Settings
from shared.signing import Signing, published
from shared.store import connect
from shared.testing import SECRET, Harness, harness
from tests.integration.test_delivery import until

NOBODY = f"{LOCALHOST}:1"
OTHER_SECRET = "YW5vdGhlci1rZXktYW5vdGhlci1rZXktYW5vdGhlci1rZXk="


def silent() -> Service:
    """A service that neither hears nor says anything."""
    return Service("silent", Reactions(), Routes("silent"), [])


@asynccontextmanager
async def started(mongo_url: str, kafka: str, made: Service | None = None, **settings: Any) -> AsyncIterator[Runtime]:
    """A service's process without its HTTP, on a database of its own."""
    defaults: dict[str, Any] = {"database": f"test_start_{clock.new_id()[-12:]}", "secret": SecretStr(SECRET)}
    runtime = Runtime(made or silent(), Settings(mongo_url=mongo_url, kafka=kafka, **defaults | settings))
    runtime.start()
    try:
        yield runtime
    finally:
        await runtime.stop()


async def says(runtime: Runtime, reason: str) -> None:
    """It is not ready, and this is a reason."""

    async def said() -> bool:
        return reason in await runtime.not_ready()

    try:
        await until(said, reason)
    except AssertionError:
        raise AssertionError(await runtime.not_ready()) from None


class Standalone(Mongo):
    """A mongod as one gets it without --replSet."""

    def command(self) -> list[str]:
        return [word for word in super().command() if word not in ("--replSet", "rs0")]

    async def settle(self) -> None: ...


@pytest.fixture(scope="module")
def standalone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("standalone")


async def test_a_database_without_a_replica_set(
    standalone_folder: Path, servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_ports(["mongo"])["mongo"]
    mongo = Standalone(standalone_folder, port=port)
    await mongo.start()
    try:
        line = (
            f"MongoDB at {LOCALHOST}:{port} is no replica set, so it has no transactions: start mongod with "
            "--replSet rs0, run `python -m deploy.provision` once, and put ?replicaSet=rs0 at the end of "
            "KUAIZHAO_MONGO_URL"
        )
        for query in ("", "?replicaSet=rs0"):  # the driver takes the one in, and finds nobody by the other
            async with started(f"mongodb://{LOCALHOST}:{port}/{query}", NOBODY) as runtime:
                await says(runtime, line)
                if not query:
                    assert await runtime.store.db.list_collection_names() == [], "nothing is begun"
    finally:
        await mongo.stop()


async def test_a_replica_set_of_another_name(mongo_url: str) -> None:
    host = mongo_url.removeprefix("mongodb://").partition("/")[0]
    async with started(mongo_url.replace("rs0", "rs9"), NOBODY) as runtime:
        await says(
            runtime, f"MongoDB at {host} is of the replica set rs0, not rs9: change replicaSet in KUAIZHAO_MONGO_URL"
        )


async def test_no_database_and_no_word_of_its_password() -> None:
    async with started(f"mongodb://chen:hidden@{NOBODY}/?replicaSet=rs0", NOBODY) as runtime:
        await says(runtime, f"no MongoDB answers at {NOBODY}: start it, or change KUAIZHAO_MONGO_URL")
        assert "hidden" not in str(await runtime.not_ready())


async def test_a_name_or_password_that_is_refused(mongo_url: str) -> None:
    """A server that checks none refuses whoever signs in as nobody it knows."""
    wrong = mongo_url.replace("mongodb://", "mongodb://chen:hidden@")
    client = connect(wrong)
    with pytest.raises(Unfit, match=r"refuses the name or password of KUAIZHAO_MONGO_URL$"):
        await see_database(client, wrong)
    await client.close()


async def test_another_secret_than_the_databases(mongo_url: str) -> None:
    database = f"test_start_{clock.new_id()[-12:]}"
    async with started(mongo_url, NOBODY, database=database) as runtime:
        line = f"no broker answers at {NOBODY}: start Kafka, or change KUAIZHAO_KAFKA (nobody listens at {NOBODY})"
        await says(runtime, line)
        assert runtime.waits_for == ["kafka"]
    async with started(mongo_url, NOBODY, database=database, secret=SecretStr(OTHER_SECRET)) as runtime:
        await says(
            runtime,
            f"KUAIZHAO_SECRET is not the one that the database {database} was begun with: its keys and what it holds "
            "of people cannot be read; set the one it had, or name another database",
        )
        await runtime.client.drop_database(database)


class Torn(Event):
    """Not registered: it has no type on its class line."""

    topic, type, subject_field, key_field = "start.torn", "start.seat-torn.v1", "district", "district"

    district: str


class Whole(Torn):
    topic, type = "start.whole", "start.seat-whole.v1"


async def test_topics_that_are_missing_or_torn_and_are_mended(
    mongo_url: str, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process says so, and goes on by itself once they are as they should be."""
    n = clock.new_id()[-12:]
    monkeypatch.setattr(Torn, "topic", f"start.torn-{n}")
    monkeypatch.setattr(Whole, "topic", f"start.whole-{n}")
    monkeypatch.setattr(service, "CATALOGUE", {"start.seat-torn.v1": Torn, "start.seat-whole.v1": Whole})
    made = Service("start", Reactions(), Routes("start"), [])
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        async with started(mongo_url, kafka, made) as runtime:
            missing = f"{Torn.topic}, {Whole.topic}: run `python -m deploy.topics --kafka {kafka}`"
            await says(runtime, f"Kafka at {kafka} has no topic {missing}")
            await admin.create_topics([NewTopic(Torn.topic, 2, 1), NewTopic(Whole.topic, 3, 1)])
            await says(
                runtime,
                f"topic {Torn.topic} has 2 partitions where others of the market have 3: a district's events would go "
                f"to different processes; make all of them alike (deploy/topics.yaml; now: {Torn.topic} 2)",
            )
            await admin.delete_topics([Torn.topic])
            await asyncio.sleep(1)
            await admin.create_topics([NewTopic(Torn.topic, 3, 1)])

            async def ready() -> bool:
                return await runtime.not_ready() == []

            await until(ready, "ready with whole topics")
            await runtime.client.drop_database(runtime.store.db.name)
        await see_topics(Broker(kafka), [Torn], [Whole], "")
    finally:
        await admin.delete_topics([Torn.topic, Whole.topic])
        await admin.close()


async def test_a_signing_key_whose_time_is_over_is_turned_at_the_start(mongo_url: str) -> None:
    """The service was away for longer than its keys last: it does not sign with one that readers hold to be past."""
    signing = Signing(timedelta(days=30))
    made = Service("signing", Reactions(), Routes("signing"), [], at_start=[signing.prepare])
    async with harness(made, mongo_url, database=f"test_start_{clock.new_id()[-12:]}") as found:
        before = await keys(found)
        found.clock.advance(days=200)
        await signing.prepare(found.runtime)
        sealer: Sealer = found.runtime.sealer
        now = (await signing.key(found.reading(), sealer)).kid
        assert now in await keys(found)
        assert now != before[0]
        assert len(await keys(found)) == 3
        await found.runtime.client.drop_database(found.runtime.store.db.name)


async def keys(found: Harness) -> list[str]:
    return [key["kid"] for key in (await published(found.reading()))["keys"]]
