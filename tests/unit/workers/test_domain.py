"""The registry's rules, on plain values."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import h3
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.workers.domain import (
    LONGEST_CHECK_IN,
    Category,
    Certificate,
    FromAge,
    IdNumber,
    TierTable,
    begins,
    birthday,
    born_on,
    cell_of,
    check_character,
    is_man,
    local_day,
    masked,
    old_enough,
    tier_by_other_rules,
    tier_of,
    waits_until,
)
from services.workers.tables import CONSENT, STATIONS, TIERS
from shared.problems import Invalid
from shared.wording import Said

EXAMPLES = ("11010519491231002X", "440524188001010014")
"""The two numbers that GB 11643-1999 itself prints as examples."""

BEIJING = ZoneInfo("Asia/Shanghai")
TODAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, tzinfo=UTC)

bodies = st.builds(
    lambda born, order: f"439999{born:%Y%m%d}{order:03d}",
    st.dates(min_value=date(1930, 1, 1), max_value=date(2010, 12, 31)),
    st.integers(min_value=0, max_value=999),
)


def number(born: date, *, man: bool = True) -> str:
    """A number with a right check digit in an area that was never one."""
    body = f"439999{born:%Y%m%d}00{1 if man else 2}"
    return body + check_character(body)


def valid(text: str) -> bool:
    try:
        TypeAdapter(IdNumber).validate_python(text)
    except ValidationError:
        return False
    return True


# --- identity numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_standard_are_valid(example: str) -> None:
    assert TypeAdapter(IdNumber).validate_python(example) == example


def test_a_small_x_is_an_x() -> None:
    assert TypeAdapter(IdNumber).validate_python(EXAMPLES[0].lower()) == EXAMPLES[0]


@given(bodies, st.integers(min_value=0, max_value=16), st.integers(min_value=1, max_value=9))
def test_one_wrong_digit_is_always_noticed(body: str, place: int, by: int) -> None:
    whole = body + check_character(body)
    assert valid(whole)
    wrong = whole[:place] + str((int(whole[place]) + by) % 10) + whole[place + 1 :]
    assert not valid(wrong)


@given(bodies, st.integers(min_value=0, max_value=15))
def test_two_swapped_digits_are_always_noticed(body: str, place: int) -> None:
    assume(body[place] != body[place + 1])
    whole = body + check_character(body)
    assert not valid(whole[:place] + whole[place + 1] + whole[place] + whole[place + 2 :])


def with_check(body: str) -> str:
    return body + check_character(body)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "18 characters"),
        (EXAMPLES[0][:17], "18 characters"),
        (EXAMPLES[0] + "0", "18 characters"),
        (EXAMPLES[0] + "\n", "18 characters"),
        ("1101051949123100X2", "18 characters"),
        ("１１010519491231002X", "18 characters"),
        ("110105491231002", "18 characters"),  # the 15 digits of before 1999
        (with_check("16010519491231002"), "province"),
        (with_check("99010519491231002"), "province"),
        (with_check("43999919900230001"), "date of birth"),
        (with_check("43999920260229001"), "date of birth"),
        (with_check("43999919901301001"), "date of birth"),
        (with_check("43999900000101001"), "date of birth"),
        ("110105194912310021", "check digit"),
    ],
)
def test_what_is_wrong_is_said_without_repeating_the_number(text: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(IdNumber).validate_python(text)
    cause = refused.value.errors()[0]["ctx"]["error"]
    assert isinstance(cause, Said)
    assert said in cause.text.en
    for language in cause.text:
        assert not text.strip() or text.strip() not in language


def test_other_residents_numbers_have_the_same_form() -> None:
    assert valid(with_check("83000019900101001"))  # residence permit, Taiwan
    assert valid(with_check("94315519900101001"))  # foreign permanent resident, Hunan


def test_a_masked_number_shows_no_date_of_birth() -> None:
    shown = masked(number(date(1990, 5, 17)))
    assert len(shown) == 18
    assert shown.startswith("43*")
    assert "1990" not in shown
    assert "0517" not in shown


def test_what_a_number_tells() -> None:
    assert born_on(EXAMPLES[0]) == date(1949, 12, 31)
    assert not is_man(EXAMPLES[0])
    assert is_man(EXAMPLES[1])


# --- ages and days ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("born", "today", "old"),
    [
        (date(2010, 11, 23), date(2026, 11, 22), False),
        (date(2010, 11, 23), date(2026, 11, 23), True),
        (date(2008, 2, 29), date(2024, 2, 28), False),
        (date(2008, 2, 29), date(2024, 2, 29), True),
        (date(2007, 2, 28), date(2023, 2, 28), True),
        (date(2012, 2, 29), date(2028, 2, 29), True),
    ],
)
def test_sixteen_begins_on_the_birthday(born: date, today: date, old: bool) -> None:
    assert old_enough(born, 16, today) is old


def test_there_is_not_a_29_february_each_year() -> None:
    assert birthday(date(2008, 2, 29), 17) == date(2025, 3, 1)


def test_a_day_begins_at_local_midnight() -> None:
    assert begins(TODAY, BEIJING) == datetime(2026, 11, 22, 16, tzinfo=UTC)
    assert local_day(datetime(2026, 11, 22, 16, tzinfo=UTC), BEIJING) == TODAY
    assert local_day(datetime(2026, 11, 22, 15, 59, tzinfo=UTC), BEIJING) == TODAY - timedelta(days=1)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-23T20:00:00+08:00", "2026-11-24T00:00:00+08:00"),
        ("2026-11-23T08:00:00+08:00", "2026-11-24T00:00:00+08:00"),
        ("2026-11-23T05:30:00+08:00", "2026-11-23T21:30:00+08:00"),
        ("2026-11-23T00:00:00+08:00", "2026-11-23T16:00:00+08:00"),
    ],
)
def test_a_check_in_ends_with_the_local_day_or_after_sixteen_hours(now: str, until: str) -> None:
    assert waits_until(None, datetime.fromisoformat(now), BEIJING) == datetime.fromisoformat(until)


@given(st.timedeltas(min_value=timedelta(days=-2), max_value=timedelta(days=2)))
def test_a_check_in_ends_as_asked_within_sixteen_hours(after: timedelta) -> None:
    now = datetime(2026, 11, 23, 6, tzinfo=UTC)
    if timedelta(0) < after <= LONGEST_CHECK_IN:
        assert waits_until(now + after, now, BEIJING) == now + after
    else:
        with pytest.raises(Invalid):
            waits_until(now + after, now, BEIJING)


# --- places ----------------------------------------------------------------------------------------------------------


@given(st.floats(min_value=-90, max_value=90), st.floats(min_value=-180, max_value=180))
def test_a_cell_tells_a_place_to_about_200_metres_only(lat: float, lon: float) -> None:
    cell = cell_of(lat, lon)
    assert h3.get_resolution(cell) == 9
    assert cell_of(*h3.cell_to_latlng(cell)) == cell


# --- certificates ----------------------------------------------------------------------------------------------------


def test_a_certificate_is_good_before_its_end() -> None:
    end = datetime(2026, 11, 23, 16, tzinfo=UTC)
    certificate = Certificate(code="health", until=end)
    assert certificate.good(end - timedelta(milliseconds=1))
    assert not certificate.good(end)
    assert Certificate(code="forklift").good(end + timedelta(days=36_500))


# --- hardship --------------------------------------------------------------------------------------------------------

OLDER = Category(tier=1, zh="大龄", en="older", from_age=FromAge(men=50, women=40))
POOR = Category(tier=2, zh="低保", en="poor")


TABLE = TierTable(name="d1", source="a notice", categories={"older": OLDER, "poor": POOR})


@pytest.mark.parametrize(
    ("declared", "born", "man", "tier"),
    [
        ([], date(1960, 1, 1), True, 0),
        (["poor"], date(2000, 1, 1), True, 2),
        (["older"], date(1976, 11, 23), True, 1),
        (["older"], date(1986, 11, 23), False, 1),
        (["older", "poor"], date(1970, 1, 1), True, 2),
    ],
)
def test_the_tier_is_the_highest_of_the_categories(declared: list[str], born: date, man: bool, tier: int) -> None:
    assert tier_of(TABLE, declared, number(born, man=man), TODAY) == tier


@pytest.mark.parametrize(
    ("declared", "born", "man"),
    [
        (["older"], date(1976, 11, 24), True),
        (["older"], date(1986, 11, 24), False),
        (["rich"], date(1960, 1, 1), True),
    ],
)
def test_categories_that_cannot_be_are_refused(declared: list[str], born: date, man: bool) -> None:
    with pytest.raises(Invalid) as refused:
        tier_of(TABLE, declared, number(born, man=man), TODAY)
    assert refused.value.faults[0].field == "hardship"


def test_what_another_table_does_not_have_or_not_at_that_age_counts_nothing_there() -> None:
    man = number(date(1976, 11, 24), man=True)
    assert tier_by_other_rules(TABLE, ["older", "rich"], man, TODAY) == 0
    assert tier_by_other_rules(TABLE, ["older", "rich"], man, date(2026, 11, 24)) == 1
    assert tier_by_other_rules(TABLE, ["older", "poor"], man, TODAY) == 2


# --- the data files --------------------------------------------------------------------------------------------------


def test_every_district_of_the_region_has_a_station() -> None:
    changsha = {f"4301{end}" for end in ("02", "03", "04", "05", "11", "12", "21", "81", "82")}
    assert {station.district for station in STATIONS.values()} == changsha | {"500120", "330110"}
    for station in STATIONS.values():
        assert station.id.startswith(station.district)
        assert station.zh
        assert station.en.isascii()


def test_stations_do_not_share_a_cell() -> None:
    assert len({station.cell for station in STATIONS.values()}) == len(STATIONS)


@pytest.mark.parametrize("area", ["country", "33"])
def test_a_tier_table_names_its_source(area: str) -> None:
    table = TIERS.shipped(area, NOW)
    assert table.source
    assert table.categories


def test_provinces_differ() -> None:
    """A woman of 42 is an older jobseeker in Hunan and not in Zhejiang, since November 2025."""
    woman = number(date(1984, 5, 17), man=False)
    assert tier_of(TIERS.shipped("430102", NOW), ["older-jobseeker"], woman, TODAY) == 1
    with pytest.raises(Invalid, match="45"):
        tier_of(TIERS.shipped("330110", NOW), ["older-jobseeker"], woman, TODAY)
    begins = datetime.fromisoformat("2025-11-01T00:00:00+08:00")
    assert TIERS.shipped("330110", begins).name == "zhejiang-2025-59"
    assert TIERS.shipped("330110", begins - timedelta(seconds=1)).name == "mohrss-2024-84"


def test_the_consent_text_is_there_in_both_languages() -> None:
    assert "身份证号" in CONSENT.zh
    assert "identity number" in CONSENT.en
