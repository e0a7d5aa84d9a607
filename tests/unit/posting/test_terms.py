"""What a post may say: each limit on both sides of its boundary."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from services.posting.domain import broken_rules
from services.posting.rules import Bounds, Policy
from services.posting.store import RULES
from shared.contracts.posting import GigTerms

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
CHECKED = NOW + timedelta(days=180)
SECOND = timedelta(seconds=1)

LIMITS = Policy(
    name="limits",
    hourly_floor_fen=1_950,
    verification_warning_days=(30, 7),
    max_file_rows=500,
    max_offers_waiting=10_000,
    max_validity_days=30,
    max_headcount=10_000,
    min_lead_minutes=10,
    max_shift_hours=12,
    verification_days=180,
    bounds=Bounds(south=3.8, west=73.4, north=53.6, east=135.1),
)


def terms(
    *,
    start: datetime = NOW + timedelta(hours=2),
    end: datetime | None = None,
    valid_until: datetime | None = None,
    headcount: int = 3,
    lat: float = 28.2,
    lon: float = 113.1,
) -> GigTerms:
    end = end or start + timedelta(hours=8)
    fields: dict[str, Any] = {
        "employer_id": "e1",
        "employer_name": "长沙星沙分拣有限公司",
        "title": "快递分拣员",
        "occupation": "4-02-07-02",
        "content": "夜间快递包裹分拣装车",
        "place": {"lat": lat, "lon": lon, "address": "星沙街道开元路 1 号"},
        "period": {"start": start, "end": end},
        "headcount": headcount,
        "pay": {"amount_fen": 2_200, "unit": "hour", "mode": "same-day"},
        "valid_until": valid_until or min(end, NOW + timedelta(days=1)),
    }
    return GigTerms.model_validate(fields)


def broken(what: GigTerms, **circumstances: Any) -> list[str]:
    faults = broken_rules(what, LIMITS, now=NOW, **{"verified_until": CHECKED} | circumstances)
    return [fault.field for fault in faults]


def test_plain_terms_stand() -> None:
    assert broken(terms()) == []


def test_the_figures_that_ship_are_a_policy_within_the_law() -> None:
    assert RULES.shipped().verification_days <= 181
    assert RULES.shipped().max_shift_hours <= 12
    assert RULES.shipped().max_headcount == 10_000


def test_a_verification_longer_than_six_months_is_no_policy() -> None:
    with pytest.raises(ValidationError, match="verification_days"):
        Policy.model_validate(LIMITS.model_dump() | {"verification_days": 182})


def test_the_start_needs_the_minimum_lead() -> None:
    assert broken(terms(start=NOW + timedelta(minutes=10))) == []
    assert broken(terms(start=NOW + timedelta(minutes=10) - SECOND)) == ["period.start"]


def test_a_start_that_an_amendment_leaves_needs_no_lead() -> None:
    before = terms(start=NOW + timedelta(minutes=2))
    assert broken(before, before=before) == []
    assert broken(terms(start=NOW + timedelta(minutes=3)), before=before) == ["period.start"]


def test_a_shift_has_a_maximum_length() -> None:
    start = NOW + timedelta(hours=2)
    assert broken(terms(start=start, end=start + timedelta(hours=12))) == []
    assert broken(terms(start=start, end=start + timedelta(hours=12) + SECOND)) == ["period.end"]


@pytest.mark.parametrize(("headcount", "fields"), [(1, []), (10_000, []), (10_001, ["headcount"])])
def test_the_headcount_has_a_maximum(headcount: int, fields: list[str]) -> None:
    assert broken(terms(headcount=headcount)) == fields


def test_validity_begins_after_now_and_ends_with_the_shift() -> None:
    start = NOW + timedelta(hours=2)
    end = start + timedelta(hours=8)
    assert broken(terms(valid_until=NOW)) == ["valid_until"]
    assert broken(terms(valid_until=NOW + SECOND)) == []
    assert broken(terms(start=start, end=end, valid_until=end)) == []
    assert broken(terms(start=start, end=end, valid_until=end + SECOND)) == ["valid_until"]


def test_validity_has_a_policy_maximum() -> None:
    start = NOW + timedelta(days=40)
    assert broken(terms(start=start, valid_until=NOW + timedelta(days=30))) == []
    assert broken(terms(start=start, valid_until=NOW + timedelta(days=30) + SECOND)) == ["valid_until"]


def test_no_gig_outlives_the_check_of_its_employer() -> None:
    until = NOW + timedelta(hours=5)
    assert broken(terms(valid_until=until), verified_until=until) == []
    assert broken(terms(valid_until=until + SECOND), verified_until=until) == ["valid_until"]


@pytest.mark.parametrize(
    ("lat", "lon", "fields"),
    [
        (3.8, 73.4, []),
        (53.6, 135.1, []),
        (0.0, 0.0, ["place.lat", "place.lon"]),
        (3.79, 113.1, ["place.lat"]),
        (53.61, 113.1, ["place.lat"]),
        (28.2, 73.39, ["place.lon"]),
        (28.2, 135.11, ["place.lon"]),
    ],
)
def test_a_workplace_lies_in_the_country(lat: float, lon: float, fields: list[str]) -> None:
    assert broken(terms(lat=lat, lon=lon)) == fields


def test_swapped_coordinates_are_noticed() -> None:
    assert broken(terms(lat=73.5, lon=28.2)) == ["place.lat", "place.lon"]


def test_every_broken_rule_is_named_with_its_figure_in_both_languages() -> None:
    start = NOW + timedelta(minutes=1)
    wrong = terms(start=start, end=start + timedelta(hours=13), headcount=10_001, valid_until=NOW)
    faults = broken_rules(wrong, LIMITS, now=NOW, verified_until=CHECKED)
    assert [fault.field for fault in faults] == ["period.start", "period.end", "headcount", "valid_until"]
    for fault, figure in zip(faults, ("10", "12", "10000", ""), strict=True):
        for language in ("en", "zh"):
            said = fault.text.say(language, {})
            assert figure in said
            assert "{" not in said
    assert "2026-11-22T22:10:00Z" in faults[0].text.zh
