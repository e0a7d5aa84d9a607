from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain import LONGEST_PAUSE, Trouble, about, kind_of, masked, pause
from shared.contracts.matching import OfferMade
from tests.service.notify.story import said


def test_a_message_is_about_a_kind_and_a_subject() -> None:
    offer = said(OfferMade, offer_id="offer-1")
    assert (kind_of(offer), about(offer)) == ("offer-made", "offer-made:offer-1")


@pytest.mark.parametrize(
    ("address", "shown"),
    [("+8619900000001", "+86199****0001"), ("+85251234567", "+852****4567"), ("+12345678", "+****5678")],
)
def test_an_address_shows_no_more_than_four_digits_of_its_line(address: str, shown: str) -> None:
    assert masked(address) == shown


@given(st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True))
def test_four_digits_of_any_address_stay_hidden(address: str) -> None:
    shown = masked(address)
    assert shown == f"{address[:-8]}****{address[-4:]}"
    assert len(shown) == len(address)


def test_pauses_grow_to_a_limit() -> None:
    pauses = [pause("timeout", attempt, None) for attempt in range(1, 40)]
    assert pauses[:3] == [timedelta(seconds=2), timedelta(seconds=4), timedelta(seconds=8)]
    assert all(one <= two for one, two in pairwise(pauses))
    assert pauses[-1] == LONGEST_PAUSE


@pytest.mark.parametrize(
    ("trouble", "asked", "seconds"),
    [
        ("busy", None, 30),
        ("busy", 7.0, 7),
        ("busy", 0.0, 2),
        ("busy", 86_400.0, 300),
        ("misconfigured", None, 60),
        ("unreachable", None, 2),
        ("broken", None, 2),
    ],
)
def test_each_kind_of_trouble_has_its_pause(trouble: Trouble, asked: float | None, seconds: int) -> None:
    assert pause(trouble, 1, asked) == timedelta(seconds=seconds)
