"""What a provider's answers mean, and when it is asked again."""

from datetime import timedelta
from itertools import pairwise

import pytest

from shared.sending import LONGEST_PAUSE, Retry, Trouble, check, pause


def test_pauses_grow_to_a_limit() -> None:
    pauses = [pause("timeout", attempt, None) for attempt in range(1, 40)]
    assert pauses[:3] == [timedelta(seconds=2), timedelta(seconds=4), timedelta(seconds=8)]
    assert all(one <= two for one, two in pairwise(pauses))
    assert pauses[-1] == LONGEST_PAUSE


@pytest.mark.parametrize(
    ("trouble", "asked", "seconds"),
    [
        ("busy", None, 30),
        ("busy", 7.0, 7),
        ("busy", 0.0, 2),
        ("busy", 86_400.0, 300),
        ("misconfigured", None, 60),
        ("unreachable", None, 2),
        ("broken", None, 2),
    ],
)
def test_each_kind_of_trouble_has_its_pause(trouble: Trouble, asked: float | None, seconds: int) -> None:
    assert pause(trouble, 1, asked) == timedelta(seconds=seconds)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_what_a_provider_took_is_taken(status: int) -> None:
    assert check(status) is True


@pytest.mark.parametrize("status", [400, 409, 410, 422])
def test_what_it_will_never_take_is_not(status: int) -> None:
    assert check(status) is False


@pytest.mark.parametrize(
    ("status", "header", "trouble", "asked"),
    [
        (503, "7", "busy", 7.0),
        (429, "Wed, 21 Oct 2026 07:28:00 GMT", "busy", None),
        (408, None, "busy", None),
        (500, "7", "broken", None),
        (302, None, "misconfigured", None),
        (401, None, "misconfigured", None),
        (404, None, "misconfigured", None),
    ],
)
def test_what_it_may_take_later_is_tried_again(
    status: int, header: str | None, trouble: Trouble, asked: float | None
) -> None:
    with pytest.raises(Retry) as raised:
        check(status, header)
    assert (raised.value.trouble, raised.value.asked_seconds) == (trouble, asked)
