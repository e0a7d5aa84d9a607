"""A check-in over the gateway: our workers service beside a bare FastAPI route with one insert, in turn.

Both stand behind the same Envoy with the shipped configuration, which checks the same tokens; identity has issued them
to as many registered workers, of whom each checks in once a round. Ours checks the token again, and the registration,
bans and sanctions; it ends the check-in by a timer, and says it in the log. Everything runs on this machine, the client
and Kafka too: what each process takes of the processor is told.
"""

import asyncio
import random
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import psutil
from pydantic import SecretStr

from bench.edge.load import Loaded, load, post
from bench.results import Figure
from clients.city.people import id_number
from deploy.local.ports import free_ports
from deploy.local.stack import ISSUER, Stack, module_of
from services.identity.keys import access_token
from services.identity.store import Account
from shared import clock
from shared.sealed import Sealer
from shared.settings import Settings
from shared.store import Store, connect

WORKERS, ROUNDS, QUICK_WORKERS, QUICK_ROUNDS = 2_000, 5, 1_000, 2
CONNECTIONS = 16
LEAST = 0.7
DISTRICT, MIDDLE = "430102", (28.19, 113.03)
WAYS = {"ours": "workers", "bare": "posting"}
"""The place behind the gateway in which each stands."""


def figures(*, quick: bool) -> list[Figure]:
    workers, rounds = (QUICK_WORKERS, QUICK_ROUNDS) if quick else (WORKERS, ROUNDS)
    found = asyncio.run(_measured(workers, rounds))
    rates = {way: [each.rate for each in loads] for way, loads in found.items()}
    last = {way: [1_000 * p99(each.seconds) for each in loads] for way, loads in found.items()}
    return [
        Figure("edge", "requests/s", rates["ours"], LEAST, "bare route", rates["bare"], place="edge"),
        Figure("edge-p99", "ms", last["ours"], LEAST, "bare route", last["bare"], less_is_better=True),
    ]


def p99(seconds: Sequence[float]) -> float:
    ordered = sorted(seconds)
    return ordered[-(-99 * len(ordered) // 100) - 1]


async def _measured(workers: int, rounds: int) -> dict[str, list[Loaded]]:
    found: dict[str, list[Loaded]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="kuaizhao-") as folder:
        parts = ["identity", *WAYS.values(), "gateway"]
        async with Stack(
            Path(folder), ports=free_ports(), parts=parts, say=lambda line: None, modules=_modules
        ) as stack:
            tokens = await _signed_in(stack, workers)
            await _registered(stack, tokens)
            for number in range(1 + rounds):  # the first is to get warm
                for way, part in WAYS.items():
                    await _as_before(stack)
                    spent = _processor_s(stack)
                    loaded = await load(stack.gateway, _check_ins(stack, part, tokens), connections=CONNECTIONS)
                    if number:
                        found[way].append(loaded)
                        print(f"edge, {way} {number}: {_told(loaded, spent, _processor_s(stack))}", flush=True)
    return found


def _modules(part: str) -> Sequence[str]:
    return ("bench.edge.bare",) if part == WAYS["bare"] else module_of(part)


async def _signed_in(stack: Stack, many: int) -> list[str]:
    """Tokens of so many workers, signed as identity signs them."""
    secret = SecretStr(stack.environment("identity")["KUAIZHAO_SECRET"])
    settings = Settings(secret=secret, issuer=ISSUER, mongo_url=stack.mongo_url)
    client = connect(settings.mongo_url)
    try:
        unit, sealer = Store(client, "identity", source="bench").reading(), Sealer(settings, "identity")
        accounts = [Account(id=f"worker-{n}", login="", role="worker", made_at=clock.now()) for n in range(many)]
        return [await access_token(unit, account, settings, sealer) for account in accounts]
    finally:
        await client.close()


async def _registered(stack: Stack, tokens: Sequence[str]) -> None:
    chance = random.Random(1)
    drafts = [
        {
            "name": "乙二",
            "id_number": id_number(date(1970, 1, 1) + timedelta(days=number), 2),
            "district": DISTRICT,
            "skills": ["parcel-sorting"],
            "floor_fen_per_hour": chance.choice((0, 1_900, 2_200)),
            "reach_m": chance.choice((5_000, 10_000, 20_000)),
            "consent": True,
        }
        for number in range(len(tokens))
    ]
    address = f"{stack.gateway}/api/workers/registration"
    asked = [post(address, token, draft) for token, draft in zip(tokens, drafts, strict=True)]
    await load(stack.gateway, asked, connections=CONNECTIONS)


def _check_ins(stack: Stack, part: str, tokens: Sequence[str]) -> list[bytes]:
    chance = random.Random(2)
    asked = []
    for token in tokens:
        position = {"lat": chance.gauss(MIDDLE[0], 0.02), "lon": chance.gauss(MIDDLE[1], 0.02)}
        body = {"districts": [DISTRICT], "position": position}
        asked.append(post(f"{stack.gateway}/api/{part}/check-ins", token, body))
    return asked


async def _as_before(stack: Stack) -> None:
    """Nobody waits, and all that was said is in the log."""
    client = connect(stack.mongo_url)
    try:
        async with asyncio.timeout(60):
            while await client["workers"]["_outbox"].count_documents({}):  # noqa: ASYNC110 - no bell rings
                await asyncio.sleep(0.1)
        for collection in ("presences", "_timers"):
            await client["workers"][collection].delete_many({})
        await client["bare"]["presences"].delete_many({})
    finally:
        await client.close()


def _processor_s(stack: Stack) -> dict[str, float]:
    """What each process has taken so far."""
    taken = {}
    for name, process in stack.processes.items():
        if process.pid:
            times = psutil.Process(process.pid).cpu_times()
            taken[name] = times.user + times.system
    return taken


def _told(loaded: Loaded, before: dict[str, float], after: dict[str, float]) -> str:
    many = len(loaded.seconds)
    spent = {name: 1_000 * (after[name] - before[name]) / many for name in before}
    each = ", ".join(f"{name} {ms:.2f}" for name, ms in spent.items() if ms >= 0.05)
    return (
        f"{loaded.rate:,.0f} requests/s, {1_000 * median(loaded.seconds):.0f} ms (median), "
        f"{1_000 * p99(loaded.seconds):.0f} ms (p99); processor ms a request: {each}; the client took "
        f"{loaded.spent_s / loaded.took_s:.0%} of one processor"
    )
