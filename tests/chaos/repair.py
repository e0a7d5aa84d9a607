"""An operator's part in a run: a record is damaged, what concerns it waits in its order, and all is set right."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from pymongo import AsyncMongoClient

from deploy.local.servers import ROOT
from deploy.local.stack import Stack
from tests.chaos.workload import MOST_HOT, App, Workload

PATIENCE = 120.0
DAMAGE = "many"


async def kuaizhao(stack: Stack, *arguments: str) -> tuple[int, str]:
    """The operators' command, as a process of its own; its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops", *arguments),
        cwd=ROOT,
        env={**os.environ, "KUAIZHAO_MONGO_URL": stack.mongo_url, "KUAIZHAO_KAFKA": stack.kafka, "LANG": "C.UTF-8"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def damage_and_mend(stack: Stack, workload: Workload) -> list[str]:
    """Damage what matching knows of a gig, amend it, and see its events wait; mend it and redrive them.

    Returns what did not go as it should. The final check shows that nothing of it is left to be seen.
    """
    most = max(workload.size.seats, MOST_HOT)  # more than can be placed already
    while True:
        app, gig = workload.take_open()
        if await _amend(app, gig, most + 1):
            break
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(stack.mongo_url)
    db = client["matching"]
    try:

        async def heard() -> bool:
            return bool(await db["gigs"].count_documents({"_id": gig, "terms.headcount": most + 1}))

        if not await _until(heard):
            return [f"matching never heard that gig {gig} was amended"]
        row = await db["gigs"].find_one_and_update({"_id": gig}, {"$set": {"edition": DAMAGE}})
        if not (await _amend(app, gig, most + 2) and await _amend(app, gig, most + 3)):
            return [f"gig {gig} could not be amended"]

        async def two_wait() -> bool:
            kinds = [letter["kind"] async for letter in db["_dead"].find({"stream": f"posting.gig:{gig}"})]
            return kinds.count("failed") == 1 and kinds.count("parked") >= 1

        if not await _until(two_wait):
            return [f"the events of gig {gig}, whose record is damaged, were not set aside"]
        await db["gigs"].update_one({"_id": gig}, {"$set": {"edition": row["edition"] if row else 1}})
        code, said = await kuaizhao(stack, "dead", "redrive", "matching", "--all", "--subject", gig, "--by", "chaos")
        return [f"kuaizhao dead redrive: exit code {code}: {said}"] if code else []
    finally:
        await client.close()


async def _amend(app: App, gig: str, headcount: int) -> bool:
    body = {"headcount": headcount}
    call = await app.do("amend", "PATCH", f"posting/gigs/{gig}", body, gig_id=gig, headcount=headcount)
    return call.status == "ok"


async def give_up_poison(stack: Stack) -> list[str]:
    """Drop every letter that nobody can read, by the command line; what it could not."""
    wrong = []
    code, listed = await kuaizhao(stack, "dead", "list", "--json", "--limit", "1000")
    letters = orjson.loads(listed) if code == 0 else []
    for service in sorted({letter["service"] for letter in letters}):
        ids = [letter["id"] for letter in letters if letter["service"] == service]
        code, said = await kuaizhao(stack, "dead", "redrive", service, "--all", "--by", "chaos")
        if code != 1 or said.count("stays") != len(ids):
            wrong.append(f"{service}: poison was redriven with exit code {code}: {said[:300]}")
        code, said = await kuaizhao(stack, "dead", "drop", service, *ids, "--by", "chaos")
        if code:
            wrong.append(f"{service}: poison was not dropped: {said[:300]}")
    return wrong


async def _until(true: Callable[[], Awaitable[bool]]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            while not await true():  # noqa: ASYNC110 - other processes are waited for
                await asyncio.sleep(0.1)
            return True
    except TimeoutError:
        return False
