"""Fairness by figures: people in difficulty against the others, and people who are alike over thirty days."""

import math

import numpy as np
import pytest

from bench.matching.fairness import days, gini
from bench.matching.play import Pairs, windows
from bench.matching.traces import Trace, trace
from services.matching.rules import default_rules

RULES = default_rules()


@pytest.fixture(scope="module")
def market() -> Trace:
    """A mixed trace in which people compete for seats; a quarter of them are in difficulty."""
    return trace("plentiful", 1, seats=100)


def fill_rate(market: Trace, placed: Pairs, in_difficulty: bool) -> float:
    group = (market.people.tier > 0) == in_difficulty
    return sum(bool(group[person]) for _, person in placed) / int(group.sum())


@pytest.mark.feature("F9")
def test_people_in_difficulty_are_placed_more_often_and_no_seat_is_lost_by_it(market: Trace) -> None:
    with_bonus, without = (
        windows(market, RULES.model_copy(update={"hardship": bonus})) for bonus in (RULES.hardship, 0.0)
    )
    assert fill_rate(market, with_bonus, True) >= fill_rate(market, with_bonus, False) + 0.05
    assert len(with_bonus) >= 0.99 * len(without)
    assert fill_rate(market, without, True) < fill_rate(market, with_bonus, True)


@pytest.mark.feature("F36")
@pytest.mark.parametrize("seats", [50, 40])
def test_over_thirty_days_the_lottery_alone_is_fair_in_the_mean(seats: int) -> None:
    """A wait begins with the check-in, so nothing but the draw tells equal people apart."""
    for seed in (1, 2, 3):
        found = days(RULES, people=100, seats=seats, seed=seed)
        assert found.placed.sum() == 30 * seats
        assert found.gini <= 0.15


@pytest.mark.feature("F36")
@pytest.mark.parametrize("seats", [40, 30, 10])
def test_with_days_remembered_nobody_waits_longer_than_a_turn_of_all_takes(seats: int) -> None:
    for seed in (1, 2):
        found = days(RULES, people=100, seats=seats, seed=seed, carried=True)
        assert found.gini <= 0.15
        assert found.longest <= math.ceil(100 / seats) - 1


@pytest.mark.feature("F36")
def test_thirty_days_can_be_drawn_again() -> None:
    first, again, other = (days(RULES, people=40, seats=15, seed=seed).placed for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_gini() -> None:
    assert gini(np.array([3.0, 3.0, 3.0])) == 0
    assert gini(np.array([0.0, 0.0, 0.0, 4.0])) == 0.75
