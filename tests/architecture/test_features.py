"""What docs/features.md claims, tests show."""

from pathlib import Path

import pytest

from tests.features import FILE, Row, faults, read, report

TESTS = {"F1": {"a"}, "F2": {"a", "b"}}
ROWS = [Row("F1", "One", ""), Row("F2", "Two", "some of it"), Row("F3", "Three", "all of it")]


def test_every_claim_has_its_tests_and_every_test_its_row(request: pytest.FixtureRequest) -> None:
    """The markers of this run's own tests: whatever part of the suite runs, no unknown row may be named."""
    named: dict[str, set[str]] = {}
    for item in request.session.items:
        for mark in item.iter_markers("feature"):
            named.setdefault(mark.args[0], set()).add(item.nodeid)
    folders = {Path(str(item.path)).parent.name for item in request.session.items}
    whole = folders >= {"chaos", "contract", "e2e", "integration", "rights"}
    rows = read(FILE.read_text("utf-8"))
    assert len(rows) == 50
    wrong = faults(rows, named)
    assert [fault for fault in wrong if whole or "no such row" in fault] == []


def test_a_claim_without_a_test_and_a_test_without_a_row_are_noticed() -> None:
    assert faults(ROWS, TESTS) == []
    assert faults([*ROWS, Row("F4", "Four", "")], TESTS) == [
        "F4 says that nothing is left to show, but no test names it"
    ]
    assert faults(ROWS, TESTS | {"F9": {"t"}}) == ["F9 is named by t, but docs/features.md has no such row"]


def test_a_partial_test_does_not_make_a_row_shown() -> None:
    assert report(ROWS, TESTS) == [
        "F1 shown 1 test",
        "F2 partly 2 tests; left: some of it",
        "F3 missing",
        "features: 3, shown 1, partly 1, missing 1",
    ]


def test_rows_are_read_with_their_empty_cell() -> None:
    text = (
        "| id | feature | what shows it | not yet shown |\n|---|---|---|---|\n| F1 | One | x |  |\n| F2 | Two | y | z |"
    )
    assert read(text) == [Row("F1", "One", ""), Row("F2", "Two", "z")]


@pytest.mark.parametrize("text", ["| F1 | a |  b | c | d | e |", "| F1x | a | b | c |", "| F1 | a | b | c |\n" * 2])
def test_a_row_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"docs/features\.md"):
        read(text)
