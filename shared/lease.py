"""One of a service's processes does a chore. A lease saves work; nothing is wrong when two hold it for a moment."""

from datetime import timedelta

from pymongo.errors import DuplicateKeyError

from shared import clock
from shared.unit import Database

LENGTH = timedelta(seconds=10)


class Lease:
    def __init__(self, db: Database, name: str) -> None:
        self._db, self._name, self._owner = db, name, clock.new_id()

    async def held(self) -> bool:
        """Take or renew the lease; False while another process has it."""
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
        await self._db["_leases"].delete_one({"_id": self._name, "owner": self._owner})
