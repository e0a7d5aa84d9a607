from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain import (
    ORDER,
    Via,
    about,
    after_quiet,
    kind_of,
    masked,
    metres,
    next_time,
    ways,
)
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


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("worker@example.org", "w****@example.org"),
        ("https://hooks.example.org:8443/secret?token=1", "https://hooks.example.org/****"),
    ],
)
def test_other_addresses_show_where_and_not_who(address: str, shown: str) -> None:
    assert masked(address) == shown


CHANGSHA = ZoneInfo("Asia/Shanghai")
HOURS = st.times().map(lambda at: at.replace(second=0, microsecond=0))
MOMENTS = st.integers(0, 366 * 86_400).map(lambda after: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=after))


@given(MOMENTS, HOURS, HOURS)
def test_quiet_hours_end_within_a_day_and_outside_nothing_waits(now: datetime, begins: time, ends: time) -> None:
    due = after_quiet(now, begins, ends, CHANGSHA)
    assert now <= due <= now + timedelta(days=1)
    assert after_quiet(due, begins, ends, CHANGSHA) == due
    if due > now:
        assert due.astimezone(CHANGSHA).time() == ends
    if begins == ends:
        assert due == now


@given(MOMENTS, HOURS)
def test_an_hour_comes_next_after_now_within_a_day(now: datetime, hour: time) -> None:
    at = next_time(now, hour, CHANGSHA)
    assert now < at <= now + timedelta(days=1)
    assert at.astimezone(CHANGSHA).time() == hour


@pytest.mark.parametrize(
    ("has", "order", "by_kind", "taken"),
    [
        (["sms"], [], {}, ("sms",)),
        (["voice", "sms"], [], {}, ("sms", "voice")),
        (["voice", "sms"], ["voice"], {}, ("voice", "sms")),
        (["sms", "email"], ["voice"], {}, ("sms", "email")),
        (["sms", "email"], [], {"pay-due": ["email"]}, ("email",)),
        (["sms", "email"], [], {"pay-due": []}, ()),
        (["sms", "email"], [], {"offer-made": []}, ("sms", "email")),
        ([], ["sms"], {}, ()),
    ],
)
def test_a_message_takes_the_channels_a_person_has_in_their_order(
    has: list[Via], order: list[Via], by_kind: dict[str, list[Via]], taken: tuple[Via, ...]
) -> None:
    assert ways(has, order, by_kind, "pay-due") == taken
    assert set(taken) <= set(ORDER)


def test_metres_over_ground() -> None:
    assert metres((28.0, 113.0), (29.0, 113.0)) == pytest.approx(111_195, abs=1)
