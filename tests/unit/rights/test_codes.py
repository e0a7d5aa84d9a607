"""A work site's code: RFC 6238's own values, and how long one is good (F17)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rights import codes, domain

pytestmark = pytest.mark.feature("F17")

RFC_SECRET = b"12345678901234567890123456789012"
START = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "eight_digits"),
    [
        (59, "46119246"),
        (1111111109, "68084774"),
        (1111111111, "67062674"),
        (1234567890, "91819424"),
        (2000000000, "90698825"),
        (20000000000, "77737706"),
    ],
)
def test_it_is_rfc_6238_with_sha_256(seconds: int, eight_digits: str) -> None:
    """Appendix B has eight digits; six are the last of them (RFC 4226, section 5.3)."""
    moment = codes.EPOCH + timedelta(seconds=seconds)
    assert codes.code_at(RFC_SECRET, moment) == eight_digits[-6:]


def test_a_code_is_good_for_60_s_and_not_for_one_more() -> None:
    code = codes.code_at(RFC_SECRET, START)
    assert codes.good_until(START) == codes.good_until(at(29.9)) == at(60)
    assert codes.next_at(START) == codes.next_at(at(29.9)) == at(30)
    assert [codes.holds(RFC_SECRET, code, at(s)) for s in (-0.001, 0, 30, 59.999, 60)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_a_tolerated_skew_widens_that_on_both_sides() -> None:
    code, skew = codes.code_at(RFC_SECRET, START), timedelta(seconds=120)
    assert [codes.holds(RFC_SECRET, code, at(s), skew) for s in (-120.001, -120, 0, 179.999, 180)] == [
        False,
        True,
        True,
        True,
        False,
    ]


@given(shown=st.floats(0, 86_400), later=st.floats(0, 600))
def test_what_is_shown_holds_until_it_says(shown: float, later: float) -> None:
    code = codes.code_at(RFC_SECRET, at(shown))
    read = at(shown + later)
    assert codes.holds(RFC_SECRET, code, read) == (read < codes.good_until(at(shown)))
    assert timedelta(seconds=30) <= codes.good_until(at(shown)) - at(shown) <= codes.GOOD_FOR


def test_distances_are_those_on_the_ground() -> None:
    assert domain.metres((28.2282, 112.9388), (28.2282, 112.9388)) == 0
    one_arc_minute = domain.metres((28.0, 112.9), (28.0 + 1 / 60, 112.9))
    assert one_arc_minute == pytest.approx(1852, rel=0.005)  # a nautical mile
