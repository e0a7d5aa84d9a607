"""The market's rules on plain data."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.matching.domain import clash, offer_fate, plan_seats, quantile
from services.matching.rules import Weights, default_rules
from shared.contracts.terms import Pay, PayMode, PayUnit, Period, fen_per_hour

START = datetime(2026, 11, 23, tzinfo=UTC)


def period(start: float, end: float) -> Period:
    return Period(start=START + timedelta(hours=start), end=START + timedelta(hours=end))


@pytest.mark.parametrize(
    ("unit", "amount", "hours", "an_hour"),
    [
        (PayUnit.hour, 2500, 8, 2500),
        (PayUnit.day, 20_000, 8, 2500),
        (PayUnit.day, 20_000, 7, 2857),
        (PayUnit.day, 20_000, 24, 833),
        (PayUnit.day, 20_000, 72, 2500),
        (PayUnit.piece, 50, 8, 0),
    ],
)
def test_what_an_hour_pays(unit: PayUnit, amount: int, hours: float, an_hour: int) -> None:
    pay = Pay(amount_fen=amount, unit=unit, mode=PayMode.same_day)
    assert fen_per_hour(pay, period(0, hours)) == an_hour


def test_shifts_that_touch_do_not_clash() -> None:
    assert clash([period(8, 12)], period(12, 16)) is None
    assert clash([period(8, 12)], period(11.9, 16)) == period(8, 12)
    assert clash([period(0, 1), period(8, 12)], period(9, 10)) == period(8, 12)


numbers = st.sets(st.integers(1, 30))


@given(numbers, numbers, st.integers(0, 30))
def test_a_gig_gets_as_many_seats_as_it_has_people_to_hire(open_: set[int], taken: set[int], headcount: int) -> None:
    open_ -= taken
    add, remove = plan_seats(open_, taken, headcount)
    assert not set(add) & (open_ | taken)
    assert set(remove) <= open_
    left = (open_ | taken | set(add)) - set(remove)
    assert len(left) == max(headcount, len(taken)) if remove or add else len(left) == len(open_ | taken)
    assert len(left) >= min(headcount, len(left))
    assert set(taken) <= left
    assert max(len(taken), headcount) == len(left)


def test_the_highest_open_numbers_go_first() -> None:
    assert plan_seats({1, 3, 5}, {2, 4}, 3) == ([], [5, 3])
    assert plan_seats({1}, {3}, 4) == ([2, 4], [])


@pytest.mark.parametrize(
    ("facts", "fate"),
    [
        ({}, None),
        ({"takes": False, "seats_left": 0}, "closed"),
        ({"same_terms": False, "seats_left": 0}, "amended"),
        ({"seats_left": 0, "present": False}, "filled"),
        ({"present": False}, "gone"),
    ],
)
def test_why_an_offer_no_longer_stands(facts: dict[str, bool | int], fate: str | None) -> None:
    standing = {"takes": True, "same_terms": True, "seats_left": 1, "present": True}
    assert offer_fate(**standing | facts) == fate  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 10_000), min_size=1), st.floats(0.01, 1))
def test_a_quantile_has_its_share_at_or_below_it(figures: list[int], share: float) -> None:
    ordered = sorted(figures)
    found = quantile(ordered, share)
    assert found in ordered
    assert sum(figure <= found for figure in ordered) >= share * len(ordered)
    assert sum(figure < found for figure in ordered) < share * len(ordered)


def test_the_quantile_of_nothing() -> None:
    assert quantile([], 0.5) is None


def test_weights_sum_to_one() -> None:
    assert default_rules().weights
    with pytest.raises(ValidationError, match="sum to 1"):
        Weights(distance=0.5, pay=0.5, fit=0.5, waiting=0.5)
