import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain import about, kind_of, masked
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
