"""A service's database as it was at one moment, in a folder, with the place in each topic from which it goes on.

    manifest.json           what is in it: for each file its documents and its SHA-256, for each topic a place
    <collection>.bson.gz    the documents, one after another as MongoDB keeps them

All collections are read at one cluster time (a snapshot session), so the fences, the inbox, the numbers of streams and
the outbox are those of the documents. `said` are the ends of the topics that the service speaks on, from before that
moment: whatever it said after it stands behind them. People's keys go to a folder of their own or nowhere
(docs/decisions/0120-a-restored-service-hears-what-it-said.md).
"""

import gzip
import hashlib
import os
import shutil
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Self, cast

import bson
from bson import CodecOptions
from bson.raw_bson import RawBSONDocument
from pydantic import BaseModel, ValidationError
from pymongo.errors import OperationFailure

from deploy.topics import Topic
from deploy.topics import read as read_topics
from ops.opened import Opened, Refused
from shared import clock
from shared.broker import Broker
from shared.bus import log_bounds
from shared.contracts import CATALOGUE
from shared.problems import Text

FORMAT = 1
KEYS = "_keys"
NOT_KEPT = frozenset({"_leases", "_restoring"})
"""What is of processes, not of the service."""

RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument, tz_aware=True)

TOO_LONG = frozenset({239, 246})
"""MongoDB's codes SnapshotTooOld and SnapshotUnavailable."""

THERE = Text("{folder} is there already", "{folder} 已存在")
NO_BACKUP = Text("{folder} holds no backup: {why}", "{folder} 不是备份：{why}")
BROKEN = Text("{folder}: {file} is not what was written: {why}", "{folder}：{file} 与写入时不符：{why}")
TOOK_LONG = Text(
    "the copy took longer than MongoDB keeps a moment; set its parameter minSnapshotHistoryWindowInSeconds higher",
    "复制时间超过了 MongoDB 保留快照的时间，请调大参数 minSnapshotHistoryWindowInSeconds",
)

Places = dict[str, dict[int, int]]
"""An offset for each partition of each topic."""


class File(BaseModel):
    """One collection's file."""

    documents: int
    sha256: str


class Manifest(BaseModel):
    """What a backup says of itself. `keys` is how many people had a key, wherever those are."""

    format: int
    service: str
    at: datetime
    good_until: datetime
    """When the topics will have forgotten what it would have to hear."""
    heard: Places
    said: Places
    collections: dict[str, File]
    keys: int

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises `Refused` when the folder is no backup of a form that is known."""
        try:
            manifest = cls.model_validate_json((folder / "manifest.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise Refused(NO_BACKUP, folder=folder, why=str(error).partition("\n")[0]) from error
        if manifest.format != FORMAT:
            raise Refused(NO_BACKUP, folder=folder, why=f"format {manifest.format}")
        return manifest


def said_topics(service: str) -> list[str]:
    """The topics that a service speaks on, and that of its dead letters."""
    said = {kind.topic for type_, kind in CATALOGUE.items() if type_.startswith(f"{service}.")}
    return [*sorted(said), f"{service}.dead"]


async def back_up(opened: Opened, kafka: Broker, folder: Path, keys: Path | None) -> Manifest:
    """Write a backup to `folder`, and people's keys to another if asked to. Neither is there before it is whole.

    Raises `Refused` when a folder is there, or it took longer than MongoDB keeps a moment; OSError when it cannot be
    written; ConnectionError when Kafka does not answer.
    """
    for given in (folder, keys):
        if given and given.exists():
            raise Refused(THERE, folder=given)
    heard = opened.service.reactions.topics
    bounds = await log_bounds(kafka, sorted({*heard, *said_topics(opened.name)}))
    parts = {"all": _partial(folder)} | ({"keys": _partial(keys)} if keys else {})
    try:
        manifest = await _copy(opened, bounds, parts)
    except OperationFailure as error:
        if error.code in TOO_LONG:
            raise Refused(TOOK_LONG) from error
        raise
    else:
        for name, place in (("keys", keys), ("all", folder)):
            if place:
                _finish(parts[name], place)
        return manifest
    finally:
        for part in parts.values():
            shutil.rmtree(part, ignore_errors=True)


async def _copy(opened: Opened, bounds: Mapping[tuple[str, int], tuple[int, int]], parts: dict[str, Path]) -> Manifest:
    db = opened.store.client.get_database(opened.store.db.name)
    at = clock.now()
    files: dict[str, File] = {}
    async with opened.store.client.start_session(snapshot=True) as session:
        fences = {row["_id"]: row["next"] async for row in db["_fences"].find({}, session=session)}
        keys = len(await db[KEYS].find({}, {"_id": 1}, session=session).to_list())
        for name in sorted(set(await db.list_collection_names()) - NOT_KEPT):
            part = parts.get("keys") if name == KEYS else parts["all"]
            if part:
                collection: Any = db.get_collection(name, codec_options=RAW)
                rows = (row.raw async for row in collection.find({}, session=session))
                files[name] = await _write(part / f"{name}.bson.gz", rows)
    heard: Places = {}
    said: Places = {}
    for (topic, partition), (begin, end) in sorted(bounds.items()):
        if topic in opened.service.reactions.topics:
            next_ = fences.get(f"{opened.name}:{topic}:{partition}", 0)
            heard.setdefault(topic, {})[partition] = max(begin, next_)
        if topic in said_topics(opened.name):
            said.setdefault(topic, {})[partition] = end
    manifest = Manifest(
        format=FORMAT,
        service=opened.name,
        at=at,
        good_until=at + kept_for(read_topics(), {*heard, *said}),
        heard=heard,
        said=said,
        collections={name: file for name, file in files.items() if name != KEYS},
        keys=keys,
    )
    (parts["all"] / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")
    if "keys" in parts:
        alone = manifest.model_copy(update={"collections": {name: files[name] for name in files if name == KEYS}})
        (parts["keys"] / "manifest.json").write_text(alone.model_dump_json(indent=2) + "\n", "utf-8")
    return manifest


def kept_for(topics: Iterable[Topic], names: set[str]) -> timedelta:
    """How long the first of these topics to forget keeps what is said on it, as deploy/topics.yaml has it."""
    hours = [topic.retention_hours for topic in topics if topic.name in names and topic.retention_hours > 0]
    return timedelta(hours=min(hours, default=168))


async def _write(file: Path, rows: AsyncIterator[bytes]) -> File:
    documents, digest = 0, hashlib.sha256()
    with file.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
        async for row in rows:
            packed.write(row)
            digest.update(row)
            documents += 1
    return File(documents=documents, sha256=digest.hexdigest())


def _partial(folder: Path) -> Path:
    part = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True, mode=0o700)
    return part


def _finish(part: Path, folder: Path) -> None:
    """Give a folder its name once all of it is on the disk."""
    for path in (*part.iterdir(), part):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    part.rename(folder)


def verify(folder: Path, manifest: Manifest) -> None:
    """Read every file through. Raises `Refused` at the first that is not what was written."""
    for name, file in manifest.collections.items():
        digest, documents = hashlib.sha256(), 0
        try:
            for row in rows_of(folder, name):
                digest.update(row.raw)
                documents += 1
        except (OSError, EOFError, zlib.error, bson.errors.InvalidBSON) as error:
            raise Refused(BROKEN, folder=folder, file=name, why=str(error)) from error
        if (digest.hexdigest(), documents) != (file.sha256, file.documents):
            raise Refused(BROKEN, folder=folder, file=name, why=f"{documents} documents, of {file.documents}")


def rows_of(folder: Path, collection: str) -> Iterator[RawBSONDocument]:
    """A collection's documents, as they were."""
    with (folder / f"{collection}.bson.gz").open("rb") as file, gzip.open(file) as packed:
        yield from bson.decode_file_iter(cast("IO[bytes]", packed), RAW)
