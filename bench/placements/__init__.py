"""End to end: placements a second of a whole market on this machine, how soon an offer is heard, memory, a cold start.

A closed loop keeps so many seats in hand, and as many people; every placement counts once its agreement is made too,
and a market that falls behind gets nothing new until it has caught up. It is told by the log what posting and workers
would say, and everybody accepts automatically: so it is the events' side of the market, with all six services, and
without the requests that lead to them. The same by the gateway, where each post, check-in and acceptance is a request,
is a figure of its own. What others took of the machine meanwhile is told with each.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from bench.placements.start import start
from bench.placements.sustained import By, Latency, Market, Sustained, market
from bench.placements.usage import Memory, Spent
from bench.results import Figure

CITY, PROVINCE = 11, 100
"""Districts."""

SECONDS, WARM_SECONDS = 60.0, 15.0
QUICK_SECONDS, QUICK_WARM_SECONDS = 20.0, 8.0
IDLE_SECONDS = 5.0
PEOPLE, QUICK_PEOPLE = 120, 20
"""Who is watched on the live stream, one a second: what they do goes by the gateway, and must not be a load itself."""
HOPS, QUICK_HOPS = 300, 100

AIM, FLOORS = 300.0, 3.0
"""Placements a second; how many times the least a check-in's offer may take."""

QUIET = 0.05
"""Above this part of the machine that others took, a figure is one of a busy machine."""


def figures(*, quick: bool) -> list[Figure]:
    """Placements a second, and the time to an offer at a third of that. In full also 100 districts, and the rest."""
    found, latency = asyncio.run(_city(quick=quick))
    rates = [Figure("placements", "placements/s", [found.whole], AIM, place="e2e")]
    if not quick:
        for name, each in asyncio.run(_more()).items():
            rates.append(Figure(name, "placements/s", [each.whole], AIM))
        opened, placed = start()
        print(
            f"cold start: the market is open after {opened:.1f} s, the first placement after {placed:.1f} s", flush=True
        )
    return [*rates, *_latencies(latency)]


async def _city(*, quick: bool) -> tuple[Sustained, Latency]:
    seconds, warm = (QUICK_SECONDS, QUICK_WARM_SECONDS) if quick else (SECONDS, WARM_SECONDS)
    async with market(CITY) as city:
        _say_idle(await city.idle(IDLE_SECONDS))
        found = await _sustained(city, "log", seconds=seconds, warm=warm)
        people, hops = (QUICK_PEOPLE, QUICK_HOPS) if quick else (PEOPLE, HOPS)
        latency = await city.latency(found.whole / 3, seconds=people, people=people, hops=hops)
        _say_latency(latency)
        return found, latency


async def _more() -> dict[str, Sustained]:
    """A city by the gateway, a province, and a province that has a hot spot; each with a market of its own."""
    found = {}
    runs: Mapping[str, tuple[int, By, bool]] = {
        "placements-by-gateway": (CITY, "gateway", False),
        "placements-100": (PROVINCE, "log", False),
        "placements-100-hot": (PROVINCE, "log", True),
    }
    for name, (many, by, hot) in runs.items():
        async with market(many, hot=hot) as each:
            found[name] = await _sustained(each, by, seconds=SECONDS, warm=WARM_SECONDS)
    return found


async def _sustained(where: Market, by: By, *, seconds: float, warm: float) -> Sustained:
    found = await where.sustained(by, seconds=seconds, warm=warm)
    _say_sustained(found)
    return found


# --- telling ---------------------------------------------------------------------------------------------------------


def _say_idle(found: Spent) -> None:
    shares = {name: 100 * seconds / found.seconds for name, seconds in found.by.items()}
    each = ", ".join(f"{name} {share:.0f} %" for name, share in shares.items())
    print(f"while nothing happens, of one processor: {each}; in all {sum(shares.values()):.0f} %", flush=True)


def _say_sustained(found: Sustained) -> None:
    busy = f"; others took {found.spent.foreign:.0%} of the machine" if found.spent.foreign > QUIET else ""
    print(
        f"placements, {found.districts} districts{', one of them hot' if found.hot else ''}, by the {found.by}: "
        f"{found.rate:.1f}/s for {found.seconds:.0f} s ({found.least:.1f} to {found.most:.1f}); all done "
        f"{found.settled:.1f} s later, {found.whole:.1f}/s with that; "
        f"{found.events:.1f} events each; {found.dead} set aside{busy}\n"
        f"  processor, ms a placement: {_listed(found.milliseconds)}; in all {sum(found.milliseconds.values()):.1f}\n"
        f"  memory, MB (proportional): {_memory(found.memory)}",
        flush=True,
    )
    for what, counts in {"waited for": found.held_back, "refused": found.said_no}.items():
        if counts:
            print(f"  {what}: {', '.join(f'{name} {times}' for name, times in counts.items())}", flush=True)


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in figures.items())


def _memory(found: Mapping[str, Memory]) -> str:
    megabytes = {name: each.proportional / 1e6 for name, each in found.items()}
    return (
        f"{', '.join(f'{name} {size:.0f}' for name, size in megabytes.items())}; in all {sum(megabytes.values()):.0f}"
    )


def _say_latency(found: Latency) -> None:
    wholes = [each.whole for each in found.heard]
    parts = zip(("into the log", "to the offer", "to the stream"), zip(*found.heard, strict=True), strict=True)
    print(
        f"check-in to offer on the live stream, at {found.rate:.1f} placements/s: {_times(wholes)} of {len(wholes)}; "
        f"not heard: {found.unheard}\n"
        f"  of that: {'; '.join(f'{name} {_times(times)}' for name, times in parts)}\n"
        f"  two hops and two commits, alone: {_times(found.floor)}; "
        f"{percentile(wholes, 50) / percentile(found.floor, 50):.1f} times that (p50), "
        f"{percentile(wholes, 99) / percentile(found.floor, 99):.1f} (p99), aim {FLOORS:g}",
        flush=True,
    )


def _times(seconds: Iterable[float]) -> str:
    found = list(seconds)
    return f"{1_000 * percentile(found, 50):.0f} ms (p50), {1_000 * percentile(found, 99):.0f} ms (p99)"


def _latencies(found: Latency) -> list[Figure]:
    wholes = [each.whole for each in found.heard]
    return [
        Figure(
            name,
            "ms",
            [1_000 * percentile(wholes, of)],
            1 / FLOORS,
            "two hops, two commits",
            [1_000 * percentile(found.floor, of)],
            less_is_better=True,
            place="latency",
        )
        for name, of in {"check-in to offer, p50": 50, "check-in to offer, p99": 99}.items()
    ]


def percentile(values: Sequence[float], of: int) -> float:
    """The value below which `of` of a hundred lie; of at least one."""
    ordered = sorted(values)
    return median(ordered) if of == 50 else ordered[-(-of * len(ordered) // 100) - 1]
