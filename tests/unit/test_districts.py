"""Codes of districts that are no longer in use."""

from pydantic import TypeAdapter

from shared.contracts.terms import District
from shared.districts import ABOLISHED, GivenDistrict, all_of_today, codes_of, of_today


def test_every_code_leads_to_one_in_use() -> None:
    district = TypeAdapter(District)
    for old, now in ABOLISHED.items():
        assert district.validate_python(old) == old
        assert of_today(district.validate_python(now)) == now
        assert old[:2] == now[:2]


def test_an_old_code_is_read_as_todays_and_todays_stays() -> None:
    given = TypeAdapter(GivenDistrict)
    assert [given.validate_python(code) for code in ("500227", "500120", "430102")] == ["500120", "500120", "430102"]


def test_those_that_became_one_are_named_once() -> None:
    assert all_of_today(["330103", "330105", "4301"]) == ["330105", "4301"]


def test_an_area_is_found_under_all_its_codes() -> None:
    assert codes_of("330105") == ["330105", "330103"]
    assert codes_of("430102") == ["430102"]
