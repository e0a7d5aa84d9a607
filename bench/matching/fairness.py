"""Thirty days of people who are alike, and a lottery: who is placed how often, and how long the unluckiest wait."""

from typing import NamedTuple

import numpy as np

from services.matching import engine
from services.matching.engine import Busy, Caps, Floats, Gigs, Ints, People
from services.matching.rules import Rules


class Days(NamedTuple):
    """`gini` of how often each was placed; `longest` run of days on which somebody checked in and went home without."""

    gini: float
    longest: int
    placed: Ints
    """How often each person was."""


def days(rules: Rules, *, people: int, seats: int, count: int = 30, seed: int = 1, carried: bool = False) -> Days:
    """Each day the same people check in at one place at one time, and gigs of the same terms are posted there.

    `carried`: the days on which they went home without since their last placement are remembered.
    """
    placed, streak, longest = np.zeros((3, people), np.int64)
    for day in range(count):
        remembered = streak if carried else np.zeros(people, np.int64)
        found = engine.match(_gigs(seats), _people(remembered), NOTHING, NO_CAPS, NO_PAIRS, rules, seed * 1000 + day)
        today = np.zeros(people, np.bool_)
        today[found.person[found.layer == 1]] = True
        placed += today
        streak = np.where(today, 0, streak + 1)
        longest = np.maximum(longest, streak)
    return Days(gini(placed.astype(np.float64)), int(longest.max()), placed)


def gini(figures: Floats) -> float:
    """0: all have the same; 1: one has all."""
    ordered = np.sort(figures)
    ranks = np.arange(1, len(ordered) + 1)
    return float((2 * ranks - len(ordered) - 1) @ ordered / (len(ordered) * ordered.sum()))


NOTHING = Busy(*np.zeros((5, 0), np.int64))
NO_CAPS = Caps(*np.zeros((6, 0), np.int64))
NO_PAIRS = np.zeros((0, 2), np.int64)


def _gigs(seats: int) -> Gigs:
    ones = np.ones(seats, np.int64)
    return Gigs(
        ids=np.array([f"g{number:04}" for number in range(seats)]),
        seats=ones,
        offers=0 * ones,
        lat=np.full(seats, 28.19),
        lon=np.full(seats, 113.03),
        start=2 * 3_600_000 * ones,
        end=6 * 3_600_000 * ones,
        day=0 * ones,
        lead_s=7200 * ones,
        pay=2500 * ones,
        tags=np.zeros((seats, 1), np.uint64),
        needs=np.zeros((seats, 1), np.uint64),
        asked=0 * ones,
    )


def _people(without: Ints) -> People:
    count = len(without)
    ones = np.ones(count, np.int64)
    return People(
        ids=np.array([f"p{number:04}" for number in range(count)]),
        lat=np.full(count, 28.19),
        lon=np.full(count, 113.03),
        reach_m=5000 * ones,
        floor=2000 * ones,
        waited_s=0 * ones,
        days=without,
        tier=0 * ones,
        refuses=np.zeros((count, 1), np.uint64),
        automatic=np.ones(count, np.bool_),
        has=np.zeros((count, 1), np.uint64),
        known=ones,
    )
