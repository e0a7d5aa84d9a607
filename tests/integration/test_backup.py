"""A database is lost: restored from a backup that is older, and caught up with the log, it is what it was."""

# ruff: noqa: F811 - fixtures
import asyncio
import hashlib
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from ops import backup, restore
from ops.opened import SERVICES
from shared import clock
from shared.broker import Broker
from shared.bus import log_bounds
from shared.contracts.posting import GigReopened
from shared.fitness import Unfit, see_whole
from shared.run import load
from shared.sealed import PersonKey
from shared.store import Store, connect
from shared.unit import Unit
from tests.integration.test_delivery import IN, World, ends, until, world  # noqa: F401 - a fixture
from tests.ledger import Count, filled, react
from tests.service.ops.conftest import Answer, command_line, kuaizhao  # noqa: F401 - fixtures

Command = Callable[..., Awaitable[Answer]]
GIGS = 7


@pytest.fixture(autouse=True)
def _as_the_ledger(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands open the ledger on this world's database; what it says, it says on another service's topic."""
    monkeypatch.setenv("KUAIZHAO_DATABASE", world.database)
    monkeypatch.setenv("KUAIZHAO_KAFKA", world.kafka)
    for module in (backup, restore):
        monkeypatch.setattr(module, "said_topics", lambda service: ["posting.gig", f"{service}.dead"])


async def state(world: World) -> str:
    """The hash of all that the ledger remembers, but for when it heard what, and how many events at a time."""
    db = world.store.db
    whole: dict[str, list[Any]] = {}
    for name in ("counts", "_fences", "_streams", "_timers", "_dead", "_blocked"):
        whole[name] = await db[name].find({}, {"at": 0, "since": 0, "version": 0}, sort=[("_id", 1)]).to_list()
    whole["_inbox"] = [row["_id"] async for row in db["_inbox"].find({}, sort=[("_id", 1)])]
    return hashlib.sha256(orjson.dumps(whole, default=str)).hexdigest()


async def stopped(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)
    await process.wait()


async def heard_all(world: World) -> None:
    """The ledger has heard the topic to its end."""

    async def there() -> bool:
        fences = {row["_id"]: row["next"] async for row in world.store.db["_fences"].find({})}
        return all(fences[f"ledger:{p.topic}:{p.partition}"] == at for p, at in (await ends(world.kafka, IN)).items())

    await until(there, "heard to the end")


async def rest(world: World) -> None:
    """As ten seconds after the last process has ended: its leases are free."""
    await world.store.db["_leases"].delete_many({})


async def test_a_restored_service_is_what_it_was(
    world: World,
    kuaizhao: Command,
    tmp_path: Path,
) -> None:
    """The drill: back up while it runs, go on, lose the database, restore, hear again: equal hashes, nothing twice."""
    folder = tmp_path / "ledger"
    process = await world.start()
    await world.send(*(filled(f"g{n % GIGS}", n, district=f"43010{n % GIGS + 1}") for n in range(70)))
    await world.all_heard({f"g{n}": 10 for n in range(GIGS)})
    made = await kuaizhao("backup", "tests.ledger", str(folder))
    assert (made.code, made.err) == (0, "")
    copied = sum(file.documents for file in backup.Manifest.read(folder).collections.values())
    assert copied > 70
    then = await state(world)
    await world.send(*(filled(f"g{n % GIGS}", n, district=f"43010{n % GIGS + 1}") for n in range(70, 210)))
    await world.all_heard({f"g{n}": 30 for n in range(GIGS)})

    await heard_all(world)
    refused = await kuaizhao("restore", "tests.ledger", str(folder), "--replace")
    assert (refused.code, "ledger is running" in refused.err) == (1, True)
    await stopped(process)
    await rest(world)
    before = await state(world)
    assert before != then
    refused = await kuaizhao("restore", "tests.ledger", str(folder))
    assert (refused.code, "is not empty" in refused.err) == (1, True)

    await world.store.client.drop_database(world.database)
    done = await kuaizhao("restore", "tests.ledger", str(folder), "--by", "ann")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"ledger: {copied} documents restored, ")
    assert "140 found again (0 in other words)" in done.out
    assert await state(world) == before
    assert await world.store.db["_audit"].find_one({"what": "restore", "by": "ann"})
    await world.start()
    await world.send(*(filled(f"g{n}", 1, district=f"43010{n + 1}") for n in range(GIGS)))
    await world.all_heard({f"g{n}": 31 for n in range(GIGS)})
    assert await world.said() == {f"g{n}": list(range(1, 32)) for n in range(GIGS)}, "no number twice, none left out"


async def test_what_it_said_and_forgot_keeps_its_number_and_is_named_or_remembered(
    world: World,
    kuaizhao: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A command after the backup: its documents are gone, its word stands in the log."""
    store = Store(world.store.client, world.database, source="ledger")

    async def by_command(unit: Unit) -> None:
        unit.save(Count(id="g", heard=5))
        unit.publish(GigReopened(gig_id="g", district="430102", placed=5))

    folder = tmp_path / "ledger"
    await kuaizhao("backup", "tests.ledger", str(folder))
    await store.transact(by_command)
    process = await world.start()  # whose sweeper publishes it

    async def is_said() -> bool:
        return not await world.waiting()

    await until(is_said, "said")
    await world.send(filled("g"))
    await world.all_heard({"g": 6})
    await stopped(process)
    await rest(world)

    done = await kuaizhao("restore", "tests.ledger", str(folder), "--replace")
    assert done.code == 1
    assert "posting.gig-reopened.v1      1" in done.out
    assert (await store.reading().find(Count, {}))[0].heard == 1
    (row,) = await store.db[restore.UNREMEMBERED].find({}).to_list()
    assert row["stream"] == "posting.gig:g"
    process = await world.start()
    await world.send(filled("g"))
    await world.all_heard({"g": 2})
    assert await world.said() == {"g": [1, 2, 3]}
    await stopped(process)
    await rest(world)

    async def remember(event: GigReopened, unit: Unit) -> None:
        if event.placed == 5:
            unit.save(Count(id="g", heard=5))

    monkeypatch.setitem(react.remembered, GigReopened.type, remember)
    done = await kuaizhao("restore", "tests.ledger", str(folder), "--replace")
    assert done.code == 0
    assert (await store.reading().find(Count, {}))[0].heard == 7, "the command's five, and both events after it"


async def test_what_is_broken_foreign_or_too_old_is_refused_and_nothing_is_changed(
    world: World,
    kuaizhao: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = world.store

    async def somebody(unit: Unit) -> None:
        unit.save(Count(id="kept", heard=1))
        unit.save(PersonKey(id="ann", wrapped=b"key"))

    await store.prepare([Count, PersonKey])
    await store.transact(somebody)
    folder, keys = tmp_path / "ledger", tmp_path / "keys"
    made = await kuaizhao("backup", "tests.ledger", str(folder), "--keys", str(keys))
    assert made.code == 0
    assert not (folder / "_keys.bson.gz").exists()
    again = await kuaizhao("backup", "tests.ledger", str(folder))
    assert (again.code, "is there already" in again.err) == (1, True)

    async def refused(why: str, *more: str) -> None:
        answer = await kuaizhao("restore", "tests.ledger", str(folder), "--replace", *more)
        assert (answer.code, why in answer.err) == (1, True), answer
        assert await store.reading().get(Count, "kept")

    whole = (folder / "counts.bson.gz").read_bytes()
    (folder / "counts.bson.gz").write_bytes(whole[:-9])
    await refused("counts is not what was written")
    (folder / "counts.bson.gz").write_bytes(whole)
    await store.db["_keys"].delete_many({})
    await refused("name the backup of their keys by --keys")
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"service": "ledger"', '"service": "rights"'))
    await refused("is a backup of rights")
    (folder / "manifest.json").write_text(manifest.replace('"format": 1', '"format": 2'))
    await refused("holds no backup: format 2")
    (folder / "manifest.json").write_text(manifest)
    real = log_bounds

    async def later(kafka: Broker, topics: Any) -> dict[tuple[str, int], tuple[int, int]]:
        return {place: (end + 5, end + 5) for place, (_, end) in (await real(kafka, topics)).items()}

    monkeypatch.setattr(restore, "log_bounds", later)
    await refused("5 events are gone for good", "--keys", str(keys))
    monkeypatch.setattr(restore, "log_bounds", real)
    done = await kuaizhao("restore", "tests.ledger", str(folder), "--replace", "--keys", str(keys))
    assert done.code == 0
    assert (await store.db["_keys"].find_one({"_id": "ann"}) or {})["wrapped"] == b"key"


async def test_a_service_does_not_begin_on_a_restore_that_was_cut_short(
    world: World,
    kuaizhao: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "ledger"
    await kuaizhao("backup", "tests.ledger", str(folder))

    async def cut(*_: Any) -> None:
        raise ConnectionError("cut")

    monkeypatch.setattr(restore, "_catch_up", cut)
    assert (await kuaizhao("restore", "tests.ledger", str(folder), "--replace")).code == 1
    with pytest.raises(Unfit, match="is not finished"):
        await see_whole(world.store.db)
    monkeypatch.undo()


@pytest.mark.parametrize("name", SERVICES)
async def test_each_service_can_be_backed_up_and_restored(
    name: str, kafka: str, mongo_url: str, kuaizhao: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own topics, documents and indexes, from where those topics end now."""
    monkeypatch.undo()  # the ledger's topics
    database = f"test_backup_{name}_{clock.new_id()[-12:]}"
    for variable, value in (("DATABASE", database), ("KAFKA", kafka), ("MONGO_URL", mongo_url)):
        monkeypatch.setenv(f"KUAIZHAO_{variable}", value)
    service, client = load(name), connect(mongo_url)
    store = Store(client, database, source=name)
    try:
        await store.prepare(service.documents)
        bounds = await log_bounds(Broker(kafka), service.reactions.topics)
        fences = [{"_id": f"{name}:{topic}:{n}", "next": end} for (topic, n), (_, end) in bounds.items()]
        assert fences
        await store.db["_fences"].insert_many(fences)
        await store.db["_streams"].insert_one({"_id": "a:b", "last": 3})
        made = await kuaizhao("backup", name, str(tmp_path / name))
        assert (made.code, made.err) == (0, "")
        before = {each: await store.db[each].index_information() for each in await store.db.list_collection_names()}
        await store.db["_streams"].update_one({}, {"$set": {"last": 9}})
        done = await kuaizhao("restore", name, str(tmp_path / name), "--replace")
        assert (done.code, done.err) == (0, "")
        assert await store.db["_streams"].find({}).to_list() == [{"_id": "a:b", "last": 3}]
        assert await store.db["_fences"].find({}, sort=[("_id", 1)]).to_list() == sorted(fences, key=by_id)
        after = {each: await store.db[each].index_information() for each in await store.db.list_collection_names()}
        assert {each: before[each] for each in before if each != "_restoring"} == after
    finally:
        await client.drop_database(database)
        await client.close()


def by_id(row: dict[str, Any]) -> str:
    id: str = row["_id"]
    return id


async def test_a_copy_is_of_one_moment(world: World, tmp_path: Path, kuaizhao: Command) -> None:
    """While units write two documents each, a backup never holds one of a pair without the other."""
    going = True

    async def write() -> None:
        n = 0
        while going:

            async def pair(unit: Unit, n: int = n) -> None:
                unit.save(Count(id=f"{n}", heard=1))
                unit.publish(GigReopened(gig_id=f"{n}", district="430102", placed=1))

            await world.store.transact(pair)
            n += 1

    writing = asyncio.create_task(write())
    for turn in range(3):
        folder = tmp_path / f"{turn}"
        assert (await kuaizhao("backup", "tests.ledger", str(folder))).code == 0
        counts = {row["_id"] for row in backup.rows_of(folder, "counts")}
        streams = {row["_id"].rpartition(":")[2] for row in backup.rows_of(folder, "_streams")}
        outbox = {row["stream"].rpartition(":")[2] for row in backup.rows_of(folder, "_outbox")}
        assert counts == streams == outbox
    going = False
    await writing
    assert counts
