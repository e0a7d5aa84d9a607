"""The compose init job: `python -m deploy.provision` makes a replica set of a new mongod, then provisions the topics.

Safe to repeat. A server of the operator's own that is a replica set already is left as it is.
"""

import asyncio
import sys

from pydantic import ValidationError
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from deploy.topics import TopicsError, provision
from shared.broker import Broker
from shared.settings import Settings, wrong


async def replica_set(url: str) -> None:
    """Return when the set that `url` names has a primary; begin the set if its first node belongs to none.

    Raises:
        PyMongoError: it does not answer, or has no primary within the driver's 30 s.
    """
    parsed = parse_uri(url)
    host, port = parsed["nodelist"][0]
    async with AsyncMongoClient[dict[str, object]](host, port, directConnection=True) as node:
        if "setName" not in await node.admin.command("hello"):
            members = [{"_id": 0, "host": f"{host}:{port}"}]
            await node.admin.command("replSetInitiate", {"_id": parsed["options"]["replicaSet"], "members": members})
    async with AsyncMongoClient[dict[str, object]](url) as client:
        await client.admin.command("ping")


async def main() -> None:
    try:
        settings = Settings()
        await replica_set(settings.mongo_url)
        created = await provision(Broker.of(settings, "provision"))
    except ValidationError as error:
        sys.exit(f"provision: {'; '.join(wrong(error))}")
    except (PyMongoError, TopicsError, ValueError) as error:
        sys.exit(f"provision: {error}")
    print(f"provision: the replica set has a primary; {created} topics created, the rest were there")


if __name__ == "__main__":
    asyncio.run(main())
