"""Made-up people pass every check of form and cannot be anybody."""

import re
from datetime import date, datetime

import pytest

from clients.city.people import (
    AREA,
    EMPLOYERS,
    WORKERS,
    People,
    credit_check,
    credit_code,
    id_check,
    numeral,
    organisation_check,
)
from clients.city.places import city

# Province-level codes of GB/T 2260; a resident number starts with one of them.
PROVINCES = {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82}


def test_check_characters_agree_with_the_examples_in_the_standards() -> None:
    assert id_check("11010519491231002") == "X"  # GB 11643-1999
    assert id_check("44052418800101001") == "4"  # GB 11643-1999
    assert credit_check("91350100M000100Y4") == "3"  # GB 32100-2015
    assert organisation_check("D2143569") == "X"  # GB 11714-1997


@pytest.mark.parametrize("wrong", ["11010519491231001", "11010519491231020", "11010519491321002"])
def test_a_changed_or_swapped_digit_changes_the_check_character(wrong: str) -> None:
    assert id_check(wrong) != "X"


def test_identity_numbers_are_well_formed_and_all_different() -> None:
    people = [People(7).worker(n) for n in range(WORKERS)]
    assert len({person.id_number for person in people}) == WORKERS
    for person in people:
        assert re.fullmatch(r"\d{17}[\dX]", person.id_number)
        assert int(person.id_number[:2]) in PROVINCES
        assert datetime.strptime(person.id_number[6:14], "%Y%m%d").date() == person.born  # noqa: DTZ007
        assert id_check(person.id_number[:17]) == person.id_number[17]


@pytest.mark.parametrize("seed", range(12))
def test_no_seed_gives_two_people_one_number(seed: int) -> None:
    people = People(seed)
    assert len({people.worker(n).id_number for n in range(WORKERS)}) == WORKERS


def test_nobody_is_registered_in_their_area() -> None:
    """439999 is under Hunan's 43, where GB/T 2260 has the prefectures 01 to 13 and 31 only."""
    assert {People(1).worker(n).id_number[:6] for n in range(100)} == {AREA}
    assert AREA[2:4] not in {f"{n:02d}" for n in (*range(1, 14), 31)}
    assert AREA not in {district.code for district in city().districts}


def test_everyone_is_of_working_age() -> None:
    today = date(2026, 11, 23)
    ages = [(today - People(3).worker(n).born).days / 365.2425 for n in range(WORKERS)]
    assert min(ages) >= 18
    assert max(ages) < 66
    assert sum(age > 50 for age in ages) > WORKERS / 5  # the article's jobseekers over fifty are among them


def test_credit_codes_are_well_formed_and_all_different() -> None:
    firms = [People(7).employer(n) for n in range(EMPLOYERS)]
    assert len({firm.credit_code for firm in firms}) == EMPLOYERS
    for firm in firms:
        code = firm.credit_code
        assert re.fullmatch(rf"91{AREA}[0-9A-HJ-NP-RTUW-Y]{{10}}", code)
        assert organisation_check(code[8:16]) == code[16]
        assert credit_check(code[:17]) == code[17]
        assert firm.name.endswith("（虚构）")


def test_a_credit_code_takes_an_organisation_with_letters() -> None:
    assert credit_code("D2143569")[8:17] == "D2143569X"


def test_phones_are_the_ones_set_aside_and_belong_to_one_each() -> None:
    people = People(7)
    phones = [people.worker(n).phone for n in range(WORKERS)] + [people.employer(n).phone for n in range(EMPLOYERS)]
    assert len(set(phones)) == WORKERS + EMPLOYERS
    assert all(re.fullmatch(r"\+861990000\d{4}", phone) for phone in phones)


def test_names_are_obviously_made_up() -> None:
    assert [People(7).worker(n).name for n in (0, 1, 19, 1049)] == ["甲一", "乙一", "癸二", "癸一百零五"]


def test_numerals_read_as_a_person_would_write_them() -> None:
    written = [numeral(n) for n in (1, 10, 12, 20, 99, 100, 105, 110, 115, 900)]
    assert written == ["一", "十", "十二", "二十", "九十九", "一百", "一百零五", "一百一十", "一百一十五", "九百"]


def test_the_same_seed_gives_the_same_people_and_another_seed_others() -> None:
    assert People(7).worker(42) == People(7).worker(42)
    assert People(7).worker(42) != People(8).worker(42)


@pytest.mark.parametrize("n", [-1, WORKERS])
def test_there_are_no_more_people_than_phones(n: int) -> None:
    with pytest.raises(ValueError, match="phones for workers"):
        People(7).worker(n)
