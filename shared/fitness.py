"""What a process finds wrong with what it is given to run on: one line each, that says what to change.

It is looked for before the process takes anything up, and again until it is mended: until then it is not ready, and
`/ready` says the same line.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from cryptography.exceptions import InvalidTag
from pymongo import AsyncMongoClient
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from shared.broker import Broker
from shared.bus import log_bounds
from shared.contracts import Event
from shared.sealed import Sealer
from shared.unit import Database

HELLO_MS = 3_000
DENIED = (13, 18)
"""MongoDB's codes for who is not let in: Unauthorized, AuthenticationFailed."""


class Unfit(Exception):
    """The line."""


# --- the database ----------------------------------------------------------------------------------------------------


async def see_database(client: AsyncMongoClient[dict[str, Any]], url: str) -> None:
    """Raises `Unfit` when the server that the URL names will not do, or is not there."""
    try:
        hello = await client.admin.command("hello")
        await client.admin.command("listDatabases", nameOnly=True, authorizedDatabases=True)
    except OperationFailure as error:
        if error.code in DENIED:
            raise Unfit(f"MongoDB at {_hosts(url)} refuses the name or password of KUAIZHAO_MONGO_URL") from error
        raise
    except PyMongoError as error:
        raise Unfit(await _why_silent(url)) from error
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise Unfit(_no_set(_hosts(url)))


async def _why_silent(url: str) -> str:
    """Why no member of a set answers at a URL: nobody is there, or somebody who is none."""
    parsed = parse_uri(url)
    wanted = parsed["options"].get("replicaSet")
    for host, port in parsed["nodelist"]:
        with suppress(PyMongoError):
            async with AsyncMongoClient[dict[str, Any]](
                host,
                port,
                directConnection=True,
                serverSelectionTimeoutMS=HELLO_MS,
                tls=bool(parsed["options"].get("tls")),
            ) as node:
                hello = await node.admin.command("hello")
                if "setName" not in hello:
                    return _no_set(f"{host}:{port}")
                if wanted and hello["setName"] != wanted:
                    return (
                        f"MongoDB at {host}:{port} is of the replica set {hello['setName']}, not {wanted}: "
                        "change replicaSet in KUAIZHAO_MONGO_URL"
                    )
                return f"the replica set of MongoDB at {host}:{port} has no primary now"
    return f"no MongoDB answers at {_hosts(url)}: start it, or change KUAIZHAO_MONGO_URL"


def _no_set(host: str) -> str:
    return (
        f"MongoDB at {host} is no replica set, so it has no transactions: start mongod with --replSet rs0, "
        "run `python -m deploy.provision` once, and put ?replicaSet=rs0 at the end of KUAIZHAO_MONGO_URL"
    )


def _hosts(url: str) -> str:
    """The servers of a URL, without who signs in there."""
    return ",".join(f"{host}:{port}" for host, port in parse_uri(url)["nodelist"])


async def see_whole(db: Database) -> None:
    """Raises `Unfit` while a restore of this database was begun and not finished."""
    if await db["_restoring"].find_one({}):
        raise Unfit(f"a restore of the database {db.name} is not finished: let it end, or say it again with --replace")


async def see_secret(db: Database, sealer: Sealer) -> None:
    """Raises `Unfit` when this database was begun under another secret: nothing sealed in it could be opened."""
    sealed = sealer.seal("the same", subject="secret", field="probe")
    with suppress(DuplicateKeyError):
        await db["_secret"].insert_one({"_id": "probe", "sealed": sealed})
    found = await db["_secret"].find_one({"_id": "probe"})
    try:
        sealer.open(found["sealed"] if found else sealed, subject="secret", field="probe")
    except InvalidTag as error:
        raise Unfit(
            f"KUAIZHAO_SECRET is not the one that the database {db.name} was begun with: its keys and what it holds of "
            "people cannot be read; set the one it had, or name another database"
        ) from error


# --- Kafka -----------------------------------------------------------------------------------------------------------


async def see_topics(
    kafka: Broker,
    heard: Iterable[type[Event]],
    said: Iterable[type[Event]],
    dead: str,
) -> None:
    """Raises `Unfit` when no broker answers, topics are missing, or those of a district's market differ in partitions.

    `dead` is the topic of dead letters; empty when the service has none.
    """
    kinds = [*heard, *said]
    wanted = {kind.topic for kind in kinds} | ({dead} if dead else set())
    try:
        counts = Counter(topic for topic, _ in await log_bounds(kafka, sorted(wanted)))
    except ConnectionError as error:
        raise Unfit(f"no broker answers at {kafka}: start Kafka, or change KUAIZHAO_KAFKA ({error})") from error
    if missing := sorted(wanted - counts.keys()):
        raise Unfit(
            f"Kafka at {kafka} has no topic {', '.join(missing)}: run `python -m deploy.topics --kafka {kafka}`"
        )
    market = {kind.topic for kind in kinds if kind.key_field == "district"}
    most = max((counts[topic] for topic in market), default=0)
    if fewer := sorted(topic for topic in market if counts[topic] < most):
        raise Unfit(
            f"topic {fewer[0]} has {counts[fewer[0]]} partitions where others of the market have {most}: a district's "
            f"events would go to different processes; make all of them alike (deploy/topics.yaml; now: "
            + ", ".join(f"{topic} {counts[topic]}" for topic in fewer)
            + ")"
        )
