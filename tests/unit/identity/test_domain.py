"""The rules of signing in, on plain values."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.identity.domain import (
    CODES_PER_PHONE,
    PASSWORD_TRIES,
    Area,
    Limit,
    Phone,
    Username,
    Window,
    checked_password,
    masked,
    same_password,
    spend,
)
from shared.wording import Said

START = datetime(2026, 11, 23, 6, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def waits(limits: tuple[Limit, ...], moments: list[float]) -> list[float]:
    """The seconds to wait that each attempt at these moments is told; 0 for those that pass."""
    windows: list[Window] = []
    told = []
    for moment in moments:
        windows, wait = spend(windows, limits, at(moment))
        told.append(wait.total_seconds())
    return told


def test_a_second_code_waits_a_minute() -> None:
    assert waits(CODES_PER_PHONE, [0, 59.5, 60, 61]) == [0, 0.5, 0, 59]


def test_an_hour_has_five_codes_and_a_day_ten() -> None:
    hour = [60.0 * i for i in range(6)]
    assert waits(CODES_PER_PHONE, hour) == [0, 0, 0, 0, 0, 3300]
    day = hour[:5] + [3600 + m for m in hour[:5]] + [7200]
    assert waits(CODES_PER_PHONE, day)[-1] == 24 * 3600 - 7200


def test_the_lockout_backs_off() -> None:
    moments, locks = 0.0, []
    windows: list[Window] = []
    for _ in range(31):
        windows, wait = spend(windows, PASSWORD_TRIES, at(moments))
        if wait:
            locks.append(wait.total_seconds())
            moments += wait.total_seconds()
            windows, wait = spend(windows, PASSWORD_TRIES, at(moments))
        assert not wait
    assert locks[:3] == [60, 840, 2700]


def test_what_is_refused_costs_nothing() -> None:
    refused = [30.0] * 50
    assert waits(CODES_PER_PHONE, [0, *refused, 60])[-1] == 0


@given(st.lists(st.floats(min_value=0, max_value=200_000), min_size=1, max_size=80))
def test_no_limit_is_ever_passed(moments: list[float]) -> None:
    moments = sorted(moments)
    passed = [m for m, wait in zip(moments, waits(PASSWORD_TRIES, moments), strict=True) if wait == 0]
    for limit in PASSWORD_TRIES:
        span = limit.within.total_seconds()
        opened, used = -span, 0
        for moment in passed:
            if moment >= opened + span:
                opened, used = moment, 0
            used += 1
            assert used <= limit.times


@given(st.lists(st.floats(min_value=0, max_value=200_000), min_size=1, max_size=80))
def test_who_waits_as_told_may_pass(moments: list[float]) -> None:
    windows: list[Window] = []
    for moment in sorted(moments):
        windows, wait = spend(windows, PASSWORD_TRIES, at(moment))
        _, then = spend(windows, PASSWORD_TRIES, at(moment) + wait)
        assert not wait or not then


@pytest.mark.parametrize("phone", ["+8619900001234", "19900001234"])
def test_a_phone_is_the_same_with_and_without_its_country(phone: str) -> None:
    assert TypeAdapter(Phone).validate_python(phone) == "+8619900001234"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Phone, "8619900001234"),
        (Phone, "+8612900001234"),
        (Phone, "+861990000123"),
        (Phone, "+86199000012345"),
        (Phone, "+85261234567"),
        (Phone, "+86１９９00001234"),  # full-width digits
        (Phone, "+8619900001234\n"),
        (Username, "Li.clerk"),
        (Username, "li"),
        (Username, "9li"),
        (Username, "li clerk"),
        (Area, "4"),
        (Area, "430"),
        (Area, "43010"),
        (Area, "0301"),
        (Area, "4301021"),
    ],
)
def test_what_is_not_right_is_refused_in_both_languages(kind: Any, value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(value)
    cause = refused.value.errors()[0]["ctx"]["error"]
    assert isinstance(cause, Said)
    assert cause.text.en.startswith("must")
    assert "应" in cause.text.zh


@pytest.mark.parametrize("area", ["43", "4301", "430102"])
def test_areas_are_provinces_cities_and_districts(area: str) -> None:
    assert TypeAdapter(Area).validate_python(area) == area


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short-pass1", "12 to 128"),
        ("x" * 129, "12 to 128"),
        ("my-Li.Clerk-2026", "username"),
        ("abababababab", "different"),
    ],
)
def test_weak_passwords_are_refused(password: str, said: str) -> None:
    with pytest.raises(Said, match=said):
        checked_password("li.clerk", password)


def test_a_long_password_needs_no_special_characters() -> None:
    assert checked_password("li.clerk", "correct horse battery") == "correct horse battery"


def test_a_password_is_the_same_however_it_is_composed() -> None:
    assert same_password("ｐａｓｓ") == "pass"
    assert same_password("e\u0301") == "\u00e9"


def test_a_masked_phone_keeps_its_ends() -> None:
    assert masked("+8619900001234") == "+86199****1234"
