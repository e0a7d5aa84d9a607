"""How points of reliability are reckoned, apart from what gives and takes them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.rights import domain
from services.rights.rules import SHIPPED, Reliability, Rules
from shared.rules import merge_patch

pytestmark = pytest.mark.feature("F26")

NOON = datetime(2026, 11, 23, 4, tzinfo=UTC)
SHIPPED_FIGURES = Rules.model_validate(SHIPPED[0].figures).reliability


@dataclass
class Made:
    id: str
    points: int
    at: datetime = NOON
    half_days: int = 90
    takes_back_id: str | None = None


def score(*ledger: Made, days: float = 0) -> int:
    return domain.score(ledger, SHIPPED_FIGURES, NOON + timedelta(days=days))


def test_who_has_done_nothing_has_the_start() -> None:
    assert score() == 100


@pytest.mark.parametrize(
    ("days", "left"), [(0, -20), (89.99, -20), (90, -10), (179.99, -10), (180, -5), (270, -2), (360, -1), (450, 0)]
)
def test_what_was_taken_counts_half_after_its_days_and_ends(days: float, left: int) -> None:
    assert domain.left(-20, 90, timedelta(days=days)) == left
    assert score(Made("a", -20), days=days) == 100 + left
    assert (NOON + timedelta(days=days) >= domain.counts_until(-20, 90, NOON)) == (left == 0)


def test_what_is_given_fills_up_to_the_most_and_what_is_taken_is_felt_all_the_same() -> None:
    good = [Made(str(n), 1) for n in range(500)]
    assert score(*good[:7]) == 107
    assert score(*good) == 120
    assert score(*good, Made("bad", -20)) == 100
    assert score(*(Made(str(n), -20) for n in range(9))) == 0


def test_what_is_taken_back_leaves_nothing_from_then_on_and_all_before() -> None:
    late = NOON + timedelta(days=3)
    ledger = Made("a", -20), Made("b", 20, at=late, takes_back_id="a")
    assert [score(*ledger, days=days) for days in (2.9, 3, 100)] == [80, 100, 100]


entries = st.lists(
    st.tuples(st.integers(-60, 60), st.integers(0, 700), st.integers(1, 120), st.booleans()), max_size=30
)


@given(entries, st.integers(0, 900), st.randoms())
def test_the_order_of_entries_is_of_no_matter_and_a_score_keeps_its_bounds(
    drawn: list[tuple[int, int, int, bool]], day: int, random: Any
) -> None:
    ledger = [Made(str(n), points, NOON + timedelta(days=at), half) for n, (points, at, half, _) in enumerate(drawn)]
    ledger += [
        Made(f"{n}.taken-back", -points, NOON + timedelta(days=at + 1), half, takes_back_id=str(n))
        for n, (points, at, half, back) in enumerate(drawn)
        if back
    ]
    found = score(*ledger, days=day)
    random.shuffle(ledger)
    assert score(*ledger, days=day) == found
    assert SHIPPED_FIGURES.least <= found <= SHIPPED_FIGURES.most


def test_the_gravest_suspension_that_a_score_leads_to() -> None:
    found = {score: SHIPPED_FIGURES.worker.suspension(score) for score in (60, 59, 40, 39)}
    assert {score: each.days if each else None for score, each in found.items()} == {60: None, 59: 7, 40: 7, 39: 30}


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ({"worker": {"points": {"no-show": 5}}}, "worker.points.no-show has the wrong sign"),
        ({"worker": {"points": {"worked": -1}}}, "worker.points.worked has the wrong sign"),
        ({"worker": {"points": {"no-show": None}}}, "worker.points must have"),
        ({"worker": {"points": {"arrears": -1}}}, "worker.points must have"),
        ({"least": 100}, "least must be below start"),
        ({"most": 100}, "start below most"),
        ({"employer": {"suspensions": [{"below": 40, "days": 7}, {"below": 60, "days": 30}]}}, "must go down"),
        ({"employer": {"suspensions": [{"below": 101, "days": 7}]}}, "must go down"),
        ({"employer": {"suspensions": [{"below": 0, "days": 7}]}}, "must go down"),
    ],
)
def test_figures_that_make_no_sense_are_refused(patch: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Reliability.model_validate(merge_patch(SHIPPED_FIGURES.model_dump(), patch))
