"""The check of a unified social credit code, against the standard's own weights and published examples."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.posting.domain import credit_check, credit_code
from shared.wording import Said

CHARACTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
"""GB 32100-2015, table 3."""

characters = st.sampled_from(CHARACTERS)
bodies = st.builds(
    "{}{}{}".format,
    st.text(characters, min_size=2, max_size=2),
    st.text(st.sampled_from("0123456789"), min_size=6, max_size=6),
    st.text(characters, min_size=9, max_size=9),
)


def by_the_table(body: str) -> str:
    """The standard's formula as it is printed: 31 less the remainder of the weighted sum; 31 itself is 0."""
    remainder = sum(weight * CHARACTERS.index(c) for weight, c in zip(WEIGHTS, body, strict=True)) % 31
    return CHARACTERS[(31 - remainder) % 31]


@given(bodies)
def test_the_check_character_is_that_of_the_standard(body: str) -> None:
    assert credit_check(body) == by_the_table(body)
    assert credit_code(body + by_the_table(body)) == body + by_the_table(body)


def test_the_example_of_the_standard_is_valid() -> None:
    assert credit_code("91350100M000100Y43") == "91350100M000100Y43"


@given(bodies, st.integers(0, 17), characters)
def test_one_wrong_character_is_noticed(body: str, place: int, wrong: str) -> None:
    right = body + by_the_table(body)
    assume(right[place] != wrong)
    with pytest.raises(Said):
        credit_code(right[:place] + wrong + right[place + 1 :])


@given(bodies, st.integers(0, 16))
def test_two_neighbours_in_the_wrong_order_are_noticed(body: str, place: int) -> None:
    right = body + by_the_table(body)
    assume(right[place] != right[place + 1])
    with pytest.raises(Said):
        credit_code(right[:place] + right[place + 1] + right[place] + right[place + 2 :])


@given(bodies)
def test_small_letters_and_blanks_around_are_forgiven(body: str) -> None:
    right = body + by_the_table(body)
    assert credit_code(f" {right.lower()}\n") == right


@pytest.mark.parametrize(
    "text",
    [
        "",
        "91350100M000100Y4",
        "91350100M000100Y430",
        "91350100M000100Y 43",
        "9135010OM000100Y43",
        "91I50100M000100Y43",
        "91350100S000100Y43",
        "91350100V000100Y43",
        "91350100Z000100Y43",
        "９１350100M000100Y43",
        "91٣50100M000100Y43",
        "91350A00M000100Y43",
    ],
)
def test_another_length_or_character_is_no_code(text: str) -> None:
    with pytest.raises(Said) as refused:
        credit_code(text)
    assert "18" in refused.value.text.en
    assert "18" in refused.value.text.zh
