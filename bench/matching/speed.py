"""How long one window of 1,000 seats and 10,000 people takes, against an assignment over all pairs at once."""

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.optimize import linear_sum_assignment

from bench.matching.fairness import NO_CAPS, NO_PAIRS, NOTHING
from bench.matching.traces import HOUR, trace
from services.matching import engine
from services.matching.engine import Gigs, People, Scores
from services.matching.rules import Rules

T = TypeVar("T")

ROUNDS = 5
PEOPLE = 10_000


class Speed(NamedTuple):
    """Medians in seconds of processor time, and the scores that each way adds up to."""

    engine_s: float
    whole_s: float
    engine_score: int
    whole_score: int
    engine_seats: int
    whole_seats: int


def window(seed: int = 1) -> tuple[Gigs, People]:
    """Everybody is there at once: seats and people of one trace, of the first 1,000 seats exactly."""
    market = trace("plentiful", seed, PEOPLE)
    last = int(np.searchsorted(np.cumsum(market.gigs.seats), 1000, side="right"))
    gigs = market.gigs.at(np.arange(last))
    everybody = market.people.at(np.arange(PEOPLE))
    waited = np.random.default_rng(seed).integers(0, 2 * HOUR, PEOPLE)
    return replace(gigs, lead_s=np.full(last, 2 * HOUR)), replace(everybody, waited_s=waited)


def measured(rules: Rules) -> Speed:
    rules = rules.model_copy(update={"exposure": 1})
    gigs, people = window()
    ours = [timed(lambda: engine_way(gigs, people, rules)) for _ in range(ROUNDS)]
    whole = [timed(lambda: whole_way(gigs, people, rules)) for _ in range(ROUNDS)]
    (engine_seats, engine_score), (whole_seats, whole_score) = ours[0][1], whole[0][1]
    engine_s, whole_s = (median(each[0] for each in way) for way in (ours, whole))
    return Speed(engine_s, whole_s, engine_score, whole_score, engine_seats, whole_seats)


def engine_way(gigs: Gigs, people: People, rules: Rules) -> tuple[int, int]:
    """The seats that the engine fills, and the sum of their scores."""
    found = engine.match(gigs, people, NOTHING, NO_CAPS, NO_PAIRS, rules, 1)
    return len(found.gig), int(found.score.sum())


def scores(gigs: Gigs, people: People, rules: Rules) -> Scores:
    """What every pair is worth, as the engine has it."""
    return engine.scored(gigs, people, NOTHING, NO_CAPS, NO_PAIRS, rules)


def whole_way(gigs: Gigs, people: People, rules: Rules) -> tuple[int, int]:
    """The same by scipy over all pairs of seat and person at once."""
    seats = np.repeat(np.arange(len(gigs.ids)), gigs.seats)
    more_than_any_sum = 4.0 * engine.SCALE * len(seats)
    score = scores(gigs, people, rules)[seats]
    fits = score >= 0
    rows, columns = linear_sum_assignment(np.where(fits, score + more_than_any_sum, 0), maximize=True)
    real = fits[rows, columns]
    return int(real.sum()), int(score[rows, columns][real].sum(dtype=np.int64))


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the processor, and what came of the work."""
    began = time.process_time()
    done = work()
    return time.process_time() - began, done
