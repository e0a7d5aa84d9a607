"""Services that hear one another, without Kafka."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.testing import Harness


@dataclass
class Market:
    """Services on databases and one clock of their own; `flow` carries what they say, as Kafka would."""

    posting: Harness
    workers: Harness
    matching: Harness
    rights: Harness
    notify: Harness | None = None
    identity: Harness | None = None

    @property
    def all(self) -> dict[str, Harness]:
        four = {"posting": self.posting, "workers": self.workers, "matching": self.matching, "rights": self.rights}
        others = {"notify": self.notify, "identity": self.identity}
        return four | {name: each for name, each in others.items() if each}

    def db(self, service: str) -> Any:
        return self.all[service].runtime.store.db

    def advance(self, **parts: float) -> None:
        self.matching.clock.advance(**parts)

    async def at(self, moment: datetime) -> None:
        """It is this moment: all timers that are due have rung, and everybody has heard what came of it."""
        self.matching.clock.now = moment
        fired = True
        while fired:
            fired = any([await each.runtime.timers.fire_due() for each in self.all.values()])
            await self.flow()

    async def flow(self) -> None:
        """Deliver until nobody has anything more to say."""
        while sum([await self._carry(name) for name in self.all]):
            pass

    async def _carry(self, speaker: str) -> int:
        rows = await self.db(speaker)["_outbox"].find({}, sort=[("stream", 1), ("sequence", 1)]).to_list()
        for listener in self.all.values():
            kinds = listener.runtime.service.reactions.kinds
            for topic in sorted({row["topic"] for row in rows}):
                heard = [row for row in rows if row["topic"] == topic and row["headers"].get("ce_type") in kinds]
                letters = [listener.letter(topic, row["body"], **row["headers"]) for row in heard]
                if letters:
                    await listener.receives_letters(*letters, topic=topic)
        await self.db(speaker)["_outbox"].delete_many({"_id": {"$in": [row["_id"] for row in rows]}})
        return len(rows)
