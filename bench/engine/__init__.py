"""One window of 1,000 seats and 10,000 people: the engine, scipy over all pairs, and OR-Tools over all pairs, in turn.

All three begin with the same columns and end with pairs; eligibility and scores are the engine's own, and their time
is in each way's. All fill as many seats as can be, and of those the greatest sum of scores. Seconds are of the
processor, and each round is another market (bench/matching/traces.py).
"""

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.matching.speed import engine_way, scores, timed, whole_way, window
from bench.results import Figure
from services.matching import engine
from services.matching.rules import default_rules

ROUNDS, QUICK_ROUNDS = 5, 3
TIMES_FASTER, SAME = 10.0, 0.995
PYTHON = Path(sys.prefix) / "ortools" / "bin" / "python"
"""Of the environment that `make bench` makes for OR-Tools, which cannot share ours: requirements/ortools.txt."""


class Found(NamedTuple):
    """What one way makes of a window."""

    seconds: float
    seats: int
    score: int


def figures(*, quick: bool) -> list[Figure]:
    ways: dict[str, list[Found]] = defaultdict(list)
    for seed in range(1 + (QUICK_ROUNDS if quick else ROUNDS)):
        for way, found in _round(seed).items():
            if seed:  # the first is to get warm
                ways[way].append(found)
    for way, each in ways.items():
        told = ", ".join(f"{found.seconds:.2f} s, {found.seats} seats, score {found.score:,}" for found in each)
        print(f"engine, {way}: {told}", flush=True)
    seconds = {way: [found.seconds for found in each] for way, each in ways.items()}
    made = {way: [found.score for found in each] for way, each in ways.items()}
    filled = {way: [found.seats for found in each] for way, each in ways.items()}
    ours, scipy, ortools = "ours", "scipy", "OR-Tools"
    return [
        *(
            Figure(
                f"engine-{way.lower()}", "s", seconds[ours], TIMES_FASTER, way, seconds[way],
                less_is_better=True, place="engine",
            )
            for way in (scipy, ortools)
        ),
        Figure("engine-score", "of score", made[ours], SAME, scipy, made[scipy]),
        Figure("engine-seats", "seats", filled[ours], 1.0, scipy, filled[scipy]),
    ]  # fmt: skip


def _round(seed: int) -> dict[str, Found]:
    rules = default_rules().model_copy(update={"exposure": 1})
    gigs, people = window(seed)
    ours = _found(lambda: engine_way(gigs, people, rules))
    scipy = _found(lambda: whole_way(gigs, people, rules))
    scoring, score = timed(lambda: scores(gigs, people, rules))
    with tempfile.TemporaryDirectory(prefix="kuaizhao-") as folder:
        given = Path(folder) / "scores.npz"
        np.savez(given, score=score, seats=gigs.seats, best=engine.SCALE)
        script = Path(__file__).with_name("ortools_way.py")
        said = subprocess.run([PYTHON, script, given], check=True, stdout=subprocess.PIPE).stdout
    alone = Found(**json.loads(said))
    if alone[1:] != scipy[1:]:
        raise RuntimeError(f"two exact ways differ, so they were asked different things: {alone}, {scipy}")
    return {"ours": ours, "scipy": scipy, "OR-Tools": alone._replace(seconds=scoring + alone.seconds)}


def _found(work: Callable[[], tuple[int, int]]) -> Found:
    seconds, (seats, score) = timed(work)
    return Found(seconds, seats, score)
