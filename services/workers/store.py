"""What the registry remembers: workers, and who waits where.

Names, identity numbers and hardship categories are sealed; a position is kept as its cell, and only while one waits.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel
from pymongo import ASCENDING, IndexModel

from services.workers.domain import Certificate
from shared.contracts.workers import Calendar, Tier, WorkerProfile
from shared.rulebook import RuleVersion
from shared.sanctions import HeardSanction
from shared.unit import Document, Unit


class Agreed(BaseModel):
    """A consent: to which text, when, and before which clerk, if it was at a counter."""

    version: str
    at: datetime
    clerk_id: str | None = None


AppealState = Literal["waiting", "upheld", "rejected"]
"""Of an appeal against a ban: it waits for a clerk, was right, so that the ban is over, or was not."""


class BanAppeal(BaseModel):
    """Why a worker holds a ban to be wrong, sealed, and what another clerk than the one who set it made of that."""

    text: bytes
    at: datetime
    state: AppealState = "waiting"
    reason: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None


class Ban(BaseModel):
    """A region's decision that a worker may not wait for work, until a moment or until it is lifted."""

    reason: str
    note: str
    until: datetime | None
    by: str
    at: datetime
    appeal: BanAppeal | None = None


class Worker(Document):
    """A person registered under their real name. `id` is their account; `id_index` makes the identity number unique.

    `minor_until` is the 18th birthday of someone who has not reached it. `tier_table` names the rules that the tier is
    by; `revision` counts the profiles said, the newest of them at `said_at`.
    """

    collection = "workers"
    indexes = (
        IndexModel("id_index", unique=True),
        IndexModel(
            [("ban.appeal.state", ASCENDING), ("_id", ASCENDING)],
            partialFilterExpression={"ban.appeal.state": "waiting"},
        ),
    )

    id_index: str
    id_number: bytes
    name: bytes
    hardship: bytes
    tier: Tier
    tier_table: str
    district: str
    skills: list[str]
    certificates: list[Certificate]
    floor_fen_per_hour: int
    reach_m: int
    accepts_automatically: bool
    trades_wanted: list[str] = []
    trades_unwanted: list[str] = []
    only_with_meals: bool = False
    only_with_lodging: bool = False
    no_night: bool = False
    calendar: Calendar = Calendar()
    minor_until: datetime | None
    consent: Agreed
    registered_at: datetime
    said_at: datetime
    revision: int = 0
    ban: Ban | None = None

    def banned(self, now: datetime) -> Ban | None:
        """The ban in force, if there is one. It ends by itself."""
        if self.ban is None or (self.ban.appeal and self.ban.appeal.state == "upheld"):
            return None
        return self.ban if self.ban.until is None or now < self.ban.until else None

    def profile(self, now: datetime) -> WorkerProfile:
        """What others may know of the worker at this moment."""
        return WorkerProfile(
            skills=tuple(self.skills),
            certificates=tuple(certificate.code for certificate in self.certificates if certificate.counts(now)),
            floor_fen_per_hour=self.floor_fen_per_hour,
            reach_m=self.reach_m,
            tier=self.tier,
            minor=self.minor_until is not None and now < self.minor_until,
            accepts_automatically=self.accepts_automatically,
            trades_wanted=tuple(self.trades_wanted),
            trades_unwanted=tuple(self.trades_unwanted),
            only_with_meals=self.only_with_meals,
            only_with_lodging=self.only_with_lodging,
            no_night=self.no_night,
            calendar=self.calendar,
            revision=self.revision,
        )

    def changes_by_itself(self, now: datetime) -> datetime | None:
        """The next moment at which the profile will be another one: a birthday, a certificate's end."""
        moments = [self.minor_until, *(certificate.until for certificate in self.certificates)]
        return min((moment for moment in moments if moment and moment > now), default=None)


class Block(Document):
    """One side does not want to be brought together with the other. `id` is `<side>:<who asked>:<whom>`."""

    collection = "blocks"
    indexes = (IndexModel("by_id"),)

    block_id: str
    by_id: str
    worker_id: str
    employer_id: str
    reason: str
    at: datetime
    until: datetime | None


class Presence(Document):
    """Where a worker waits for work now. `id` is the worker's, so that nobody waits under two check-ins."""

    collection = "presences"

    checkin_id: str
    districts: list[str]
    cell: str
    station_id: str | None
    at: datetime
    until: datetime
    clerk_id: str | None


OF_BEFORE = "该决定作出于上一账户注销之前，详情请到柜台查询。Decided before the account was closed; ask at any counter."
"""The note of a ban that was kept: what a clerk wrote of the person is forgotten with them."""

KEPT_AT_MOST = timedelta(days=731)
"""A kept ban without an end goes with the other records of its time (labour contract law, art. 50)."""


class KeptBan(Document):
    """A ban in force whose worker had the account erased, for whoever registers under the number again.

    `id` is the number's blind index; nothing else leads to anybody. It goes at `gone_at`.
    """

    collection = "kept_bans"
    indexes = (IndexModel("gone_at", expireAfterSeconds=0),)

    ban: Ban
    gone_at: datetime

    @classmethod
    def of(cls, worker: Worker, now: datetime) -> "KeptBan | None":
        """None when no ban is in force."""
        if (ban := worker.banned(now)) is None:
            return None
        kept = ban.model_copy(update={"note": OF_BEFORE, "appeal": None})
        return cls(id=worker.id_index, ban=kept, gone_at=ban.until or now + KEPT_AT_MOST)


DOCUMENTS = (Worker, Block, Presence, KeptBan, HeardSanction, RuleVersion)


async def blocks_by(unit: Unit, by_id: str) -> list[Block]:
    """The blocks that somebody asked for and that are in force, the newest first."""
    in_force = [{"until": None}, {"until": {"$gt": unit.now}}]
    return await unit.find(Block, {"by_id": by_id, "$or": in_force}, sort=[("block_id", -1)])


async def worker_with(unit: Unit, id_index: str) -> Worker | None:
    found = await unit.find(Worker, {"id_index": id_index}, limit=1)
    return found[0] if found else None


async def appeals_in(unit: Unit, districts: Sequence[str] | None, *, after: str | None, limit: int) -> list[Worker]:
    """Workers whose appeal against a ban waits for a clerk, by id; `districts` may be prefixes, None for all."""
    query: dict[str, Any] = {"ban.appeal.state": "waiting"}
    if districts is not None:
        query["district"] = {"$regex": f"^({'|'.join(map(re.escape, districts))})"} if districts else {"$in": []}
    if after:
        query["_id"] = {"$gt": after}
    return await unit.find(Worker, query, sort=[("_id", ASCENDING)], limit=limit)
