"""What will go wrong and when: drawn from a seed, before anything runs."""

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

from tests.chaos.proxy import Mode
from tests.chaos.stack import REACTING

Kind = Literal["kill", "planted", "zombie", "cut", "unheard", "flush", "storm", "poison", "full-disk"]

POINTS = ("after_publish_before_delete", "in_rebalance", "mid_batch", "after_commit_before_publish", "in_publish")
CUTS: Sequence[Mode] = ("lost", "refuse", "blackhole", "latency", "half-open")
POISON = (
    "no JSON",
    "a field is missing",
    "no headers",
    "a null header",
    "a header that is no text",
    "an unknown type",
    "too new a version",
    "a type of another topic",
    "no body",
    "a huge body",
)
FOR_FULL_DISKS = 50
"""Runs with fewer kills fill no disk: two servers at once away leave too little else to happen."""


class Fault(NamedTuple):
    """One thing that goes wrong, `at` seconds after the first may."""

    at: float
    kind: Kind
    target: str
    how: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        seconds = f" for {self.seconds:.0f} s" if self.seconds else ""
        return f"{self.kind} {self.target}{f' {self.how}' if self.how else ''}{seconds}"


def plan(
    seed: int,
    kills: int,
    seconds: float,
    *,
    names: Sequence[str],
    links: Sequence[str],
    broker: bool,
    disks: Sequence[str],
) -> list[Fault]:
    """All faults of a run, in order: `kills` of them end a process, and of each other kind there is at least one.

    `names` are our processes; `broker` says whether the broker's log outlives a kill.
    """
    chance = random.Random(f"{seed}:plan")
    reacting = [name for name in names if name.partition("-")[0] in REACTING]

    def at() -> float:
        return chance.uniform(0, seconds)

    faults = []
    planted = min(max(len(POINTS), kills * 3 // 20), kills // 3)
    for n in range(planted):
        point = POINTS[n % len(POINTS)]
        nth = 1 if point == "in_rebalance" else chance.randint(1, 12)
        faults.append(Fault(at(), "planted", chance.choice(reacting), f"{point}:{nth}"))
    servers = ["mongo", "valkey", "gateway", *(["kafka"] if broker else [])]
    rest = kills - 2 * planted
    for n in range(rest):
        server = n < max(len(servers), kills // 10) and n < rest // 2
        faults.append(Fault(at(), "kill", servers[n % len(servers)] if server else chance.choice(names)))
    for n in range(max(1, kills // 20)):
        # matching and notify hear the most, so that the first ones are asleep over a batch.
        whom = [name for name in reacting if name.partition("-")[0] == ("matching", "notify")[n % 2]]
        faults.append(
            Fault(at(), "zombie", chance.choice(whom if n < 2 else reacting), seconds=chance.uniform(13, 14.5))
        )
    faults += [
        Fault(at(), "cut", _cut(chance, names, links, first=n == 0), CUTS[n % len(CUTS)], chance.uniform(1, 5))
        for n in range(max(len(CUTS), kills // 5))
    ]
    for n in range(max(1, kills // 50)):
        faults.append(Fault(at(), "flush", "valkey"))
        faults.append(Fault(at(), "storm", (*REACTING[2:], *REACTING[:2])[n % len(REACTING)], seconds=8))
    faults += [Fault(at(), "poison", "a market topic", kind) for kind in POISON]
    if kills >= FOR_FULL_DISKS:
        faults += [Fault(at(), "full-disk", disk, seconds=chance.uniform(3, 6)) for disk in disks]
    return sorted(faults)


def _cut(chance: random.Random, names: Sequence[str], links: Sequence[str], *, first: bool) -> str:
    """One link, all of a process, or all to a server, as `end>to` with a star for all; what has no link is not cut.

    The first cut loses what is on its way to the log, whoever sends it.
    """
    linked = {link.partition(">")[0] for link in links}
    if first and linked.issuperset(names):
        return "*>kafka"
    match chance.randrange(6) if linked.issuperset(names) else 6:
        case 0:
            return f"{chance.choice(names)}>*"
        case 1:
            return f"*>{chance.choice(['kafka', 'mongo', 'valkey'])}"
        case _:
            return chance.choice(links)
