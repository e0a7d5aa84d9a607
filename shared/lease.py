"""One of a service's processes does a chore. A lease saves work; nothing is wrong when two hold it for a moment."""

from datetime import UTC, datetime, timedelta

from pymongo.errors import DuplicateKeyError

from shared import clock
from shared.unit import Database

LENGTH = timedelta(seconds=10)
RENEW_AFTER = LENGTH / 4
ASK_AGAIN_AFTER = LENGTH / 10
LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Lease:
    def __init__(self, db: Database, name: str) -> None:
        self._db, self._name, self._owner = db, name, clock.new_id()
        self._holds, self._asked = False, LONG_AGO

    async def held(self) -> bool:
        """Take or renew the lease; False while another process has it. Asked often, it seldom asks the database."""
        again = RENEW_AFTER if self._holds else ASK_AGAIN_AFTER
        if abs(clock.now() - self._asked) > again:
            self._asked = clock.now()
            self._holds = False  # also when this raises
            self._holds = await self._taken()
        return self._holds

    async def _taken(self) -> bool:
        now = clock.now()
        free = {"_id": self._name, "$or": [{"owner": self._owner}, {"until": {"$lt": now}}]}
        try:
            await self._db["_leases"].update_one(
                free, {"$set": {"owner": self._owner, "until": now + LENGTH}}, upsert=True
            )
        except DuplicateKeyError:
            return False
        return True

    async def give_up(self) -> None:
        self._holds, self._asked = False, LONG_AGO
        await self._db["_leases"].delete_one({"_id": self._name, "owner": self._owner})
