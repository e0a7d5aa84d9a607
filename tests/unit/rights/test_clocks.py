"""Time limits in working and calendar days, with holidays and the weekends worked in exchange."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from services.rights.clocks import BASE32, NEXT, RULES, LegalLimit, due_at, receipt_of
from services.rights.rules import POLICY

pytestmark = pytest.mark.feature("F10")

ZONE = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("began", "days", "working", "last_day"),
    [
        ("2026-11-23", 5, True, "2026-11-30"),  # Monday: Tuesday to Friday, and Monday
        ("2026-11-20", 1, True, "2026-11-23"),  # Friday
        ("2026-11-21", 1, True, "2026-11-23"),  # Saturday
        ("2026-09-30", 5, True, "2026-10-13"),  # seven days of rest; Saturday 10 October is worked
        ("2026-02-13", 2, True, "2026-02-24"),  # Saturday 14 February is worked, then nine days of rest
        ("2026-11-23", 15, False, "2026-12-08"),
        ("2026-09-20", 11, False, "2026-10-08"),  # would end on 1 October
        ("2026-11-20", 30, False, "2026-12-21"),  # would end on a Sunday
        ("2026-09-10", 10, False, "2026-09-20"),  # a Sunday that is worked
    ],
)
def test_a_limit_ends_with_its_last_day(began: str, days: int, working: bool, last_day: str) -> None:
    found = due_at(date.fromisoformat(began), days, working=working, zone=ZONE, calendar=POLICY.pay)
    assert found == datetime.combine(date.fromisoformat(last_day) + timedelta(days=1), time.min, ZONE)


def test_limits_have_sources_and_begin_with_states_that_can_be_reached() -> None:
    reached = {"open"} | {state for after in NEXT.values() for state in after}
    for limit in RULES.limits:
        assert limit.kind or limit.state in reached
        assert "art." in limit.source
    assert len({limit.name for limit in RULES.limits}) == len(RULES.limits)


def test_every_case_can_be_closed_and_none_goes_on_after_it() -> None:
    assert all("closed" in after for state, after in NEXT.items() if state != "closed")
    assert NEXT["closed"] == ()


def test_a_limit_that_never_begins_is_refused() -> None:
    with pytest.raises(ValidationError, match="begins either"):
        LegalLimit(name="x", days=1, working=True, source="nowhere", verified=False)


def test_a_receipt_number_is_for_people() -> None:
    receipt = receipt_of("01a2054f-93d8-713f-8e5a-92ee440abbb3", date(2026, 11, 23))
    day, first, second = receipt.split("-")
    assert day == "261123"
    assert len(first) == len(second) == 4
    assert set(first + second) <= set(BASE32)
    assert len({receipt_of(str(n), date(2026, 11, 23)) for n in range(10_000)}) == 10_000
