from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rights import domain
from services.rights.rules import POLICY, PayDays
from shared.contracts.terms import Pay, PayMode, PayUnit, Period
from tests.service.rights.placements import placement_made

CHANGSHA = ZoneInfo("Asia/Shanghai")
EARLY = timedelta(minutes=15)


def at(text: str) -> datetime:
    """A moment in Changsha, such as `2026-11-23 08:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=CHANGSHA).astimezone(UTC)


def span(start: str, end: str) -> Period:
    return Period(start=at(start), end=at(end))


def hourly(fen: int) -> Pay:
    return Pay(amount_fen=fen, unit=PayUnit.hour, mode=PayMode.same_day)


# --- the agreement ---------------------------------------------------------------------------------------------------


def test_the_same_placement_always_has_the_same_bytes() -> None:
    assert domain.agreement_text(placement_made()) == domain.agreement_text(placement_made())


def test_the_text_is_canonical() -> None:
    text = domain.agreement_text(placement_made())
    read = orjson.loads(text)
    assert orjson.dumps(read, option=orjson.OPT_SORT_KEYS) == text
    assert list(read) == sorted(read)
    assert list(read["terms"]["pay"]) == ["amount_fen", "mode", "unit"]
    assert b'": ' not in text
    assert b", " not in text
    assert "包裹分拣".encode() in text


def test_any_other_term_is_another_hash() -> None:
    hashes = {
        domain.sha256(domain.agreement_text(made))
        for made in (
            placement_made(),
            placement_made(amount_fen=2001),
            placement_made(worker_id="worker-2"),
            placement_made(hours=7.75),
            placement_made(meals=True),
            placement_made("placement-2"),
        )
    }
    assert len(hashes) == 6


# --- the start -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "refusal"),
    [
        ("2026-11-23 07:44:59", "too-early"),
        ("2026-11-23 07:45:00", None),
        ("2026-11-23 08:00:00", None),
        ("2026-11-23 15:59:59", None),
        ("2026-11-23 16:00:00", "too-late"),
    ],
)
def test_a_shift_starts_from_15_minutes_before_it_until_it_ends(now: str, refusal: str | None) -> None:
    assert domain.start_refusal(span("2026-11-23 08:00", "2026-11-23 16:00"), at(now), EARLY) == refusal


# --- minutes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("started", "ended", "minutes"),
    [
        ("2026-11-23 22:00", "2026-11-24 06:00", 480),
        ("2026-11-23 23:59", "2026-11-24 00:01", 2),
        ("2026-11-23 21:45", "2026-11-24 06:00", 480),
        ("2026-11-23 22:00", "2026-11-24 07:30", 480),
        ("2026-11-23 21:45", "2026-11-23 21:59", 0),
        ("2026-11-23 22:00:30", "2026-11-23 22:02:00", 1),
        ("2026-11-23 22:00", "2026-11-23 22:00", 0),
    ],
)
def test_minutes_are_those_within_the_shift_across_midnight(started: str, ended: str, minutes: int) -> None:
    assert domain.worked_minutes(span("2026-11-23 22:00", "2026-11-24 06:00"), at(started), at(ended)) == minutes


@given(
    late=st.timedeltas(timedelta(0), timedelta(hours=8)),
    cut=st.timedeltas(timedelta(0), timedelta(hours=8)),
)
def test_two_halves_of_a_shift_lose_less_than_one_minute(late: timedelta, cut: timedelta) -> None:
    shift = span("2026-11-23 22:00", "2026-11-24 06:00")
    middle = min(shift.end, shift.start + max(late, cut))
    first = domain.worked_minutes(shift, shift.start, middle)
    second = domain.worked_minutes(shift, middle, shift.end)
    assert 479 <= first + second <= 480


# --- amounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "rate", "fen"),
    [(480, 2000, 16000), (1, 2000, 33), (1, 30, 1), (1, 29, 0), (90, 1999, 2999), (0, 2000, 0)],
)
def test_hourly_pay_is_rounded_half_up(minutes: int, rate: int, fen: int) -> None:
    assert domain.amount_fen(hourly(rate), minutes, 0) == fen


@given(minutes=st.integers(0, 24 * 60), rate=st.integers(1, 100_000_000))
def test_hourly_pay_is_the_nearest_fen(minutes: int, rate: int) -> None:
    error = domain.amount_fen(hourly(rate), minutes, 0) - Fraction(minutes * rate, 60)
    assert Fraction(-1, 2) < error <= Fraction(1, 2)


@given(rate=st.integers(1, 100_000_000), hours=st.integers(0, 24))
def test_whole_hours_are_exact(rate: int, hours: int) -> None:
    assert domain.amount_fen(hourly(rate), hours * 60, 0) == rate * hours


def test_a_day_is_its_amount_and_pieces_are_counted() -> None:
    assert domain.amount_fen(Pay(amount_fen=20_000, unit=PayUnit.day, mode=PayMode.same_day), 7, 0) == 20_000
    assert domain.amount_fen(Pay(amount_fen=35, unit=PayUnit.piece, mode=PayMode.same_day), 480, 412) == 14_420


def test_a_day_without_a_minute_of_work_is_not_owed() -> None:
    assert domain.amount_fen(Pay(amount_fen=20_000, unit=PayUnit.day, mode=PayMode.same_day), 0, 0) == 0


# --- when pay is due -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "ended", "due"),
    [
        (PayMode.same_day, "2026-11-23 16:00", "2026-11-24 00:00"),
        (PayMode.same_day, "2026-11-23 23:59", "2026-11-24 00:00"),
        (PayMode.same_day, "2026-11-24 00:00", "2026-11-25 00:00"),
        (PayMode.same_day, "2026-12-31 16:00", "2027-01-01 00:00"),
        (PayMode.weekly, "2026-11-23 16:00", "2026-11-30 00:00"),  # Monday: the Sunday of that week
        (PayMode.weekly, "2026-11-28 16:00", "2026-11-30 00:00"),  # Saturday
        (PayMode.weekly, "2026-11-29 23:00", "2026-11-30 00:00"),  # Sunday itself
        (PayMode.weekly, "2026-11-30 00:30", "2026-12-07 00:00"),  # Monday after midnight: another week
        (PayMode.monthly, "2026-11-01 16:00", "2026-12-16 00:00"),  # Tuesday 15 December
        (PayMode.monthly, "2026-11-30 16:00", "2026-12-16 00:00"),
        (PayMode.monthly, "2026-12-31 16:00", "2027-01-16 00:00"),  # Friday 15 January
        (PayMode.monthly, "2026-07-31 16:00", "2026-08-15 00:00"),  # 15 August is a Saturday: Friday the 14th
        (PayMode.monthly, "2026-10-05 16:00", "2026-11-14 00:00"),  # 15 November is a Sunday: Friday the 13th
        (PayMode.monthly, "2026-01-31 16:00", "2026-02-15 00:00"),  # a holiday; Saturday the 14th is worked for it
    ],
)
def test_pay_is_due_at_the_end_of_a_local_day(mode: PayMode, ended: str, due: str) -> None:
    assert domain.due_at(mode, at(ended), CHANGSHA, POLICY.pay) == at(due)


def test_a_long_holiday_moves_the_day_before_all_of_it() -> None:
    days = PayDays(monthly_day=5, holidays=((date(2026, 10, 1), date(2026, 10, 7)),))
    assert domain.due_at(PayMode.monthly, at("2026-09-03 16:00"), CHANGSHA, days) == at("2026-10-01 00:00")


MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001


@given(ended=MOMENTS, mode=st.sampled_from(PayMode))
def test_pay_is_due_after_the_work_and_within_the_law(ended: datetime, mode: PayMode) -> None:
    due = domain.due_at(mode, ended, CHANGSHA, POLICY.pay)
    most = {PayMode.same_day: 1, PayMode.weekly: 7, PayMode.monthly: 31 + 15}[mode]
    assert timedelta(0) < due - ended <= timedelta(days=most)
    assert due.astimezone(CHANGSHA).time() == datetime.min.time()
