"""Which rows of docs/features.md are shown, and by how many tests: `python -m tests.features`, or `make features`.

A row is shown when tests name it and the row itself says that nothing is left; see docs/features.md.
"""

import contextlib
import io
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

FILE = Path(__file__).parents[1] / "docs" / "features.md"


class Row(NamedTuple):
    """One feature. `left` is what of its acceptance no test shows yet; empty when all is shown."""

    id: str
    title: str
    left: str


def read(text: str) -> list[Row]:
    """The rows of the tables. Raises ValueError for a row that cannot be read, or an id that comes twice."""
    rows = []
    for line in text.splitlines():
        if line.startswith("| F"):
            cells = [cell.strip() for cell in line.strip("| ").replace("\\|", "/").split(" | ")]
            cells += [""] * (4 - len(cells))
            if len(cells) != 4 or not re.fullmatch(r"F[1-9][0-9]*", cells[0]):
                raise ValueError(f"docs/features.md: this is no row of four cells: {line}")
            rows.append(Row(cells[0], cells[1], cells[3]))
    if len({row.id for row in rows}) != len(rows):
        raise ValueError("docs/features.md: an id comes twice")
    return rows


class Collector:
    """A pytest plugin that notes which test functions name which feature."""

    def __init__(self) -> None:
        self.tests: dict[str, set[str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("feature"):
                for row in mark.args:
                    self.tests.setdefault(row, set()).add(item.nodeid.split("[")[0])


def collect() -> dict[str, set[str]]:
    """The test functions by the feature they name. Raises RuntimeError when the tests cannot be collected."""
    collector, output = Collector(), io.StringIO()
    with contextlib.redirect_stdout(output):
        status = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider"], plugins=[collector])
    if status != pytest.ExitCode.OK:
        raise RuntimeError(f"the tests cannot be collected:\n{output.getvalue()[-3000:]}")
    return collector.tests


def faults(rows: Iterable[Row], tests: Mapping[str, set[str]]) -> list[str]:
    """Rows that claim to be shown by no test, and tests that name no row."""
    rows = list(rows)
    unknown = sorted(tests.keys() - {row.id for row in rows})
    return [
        *(
            f"{row.id} says that nothing is left to show, but no test names it"
            for row in rows
            if state(row, tests) == ""
        ),
        *(f"{id} is named by {min(tests[id])}, but docs/features.md has no such row" for id in unknown),
    ]


def state(row: Row, tests: Mapping[str, set[str]]) -> str:
    """`shown`, `partly`, `missing`; empty for a row that claims what no test shows."""
    if tests.get(row.id):
        return "partly" if row.left else "shown"
    return "missing" if row.left else ""


def report(rows: Iterable[Row], tests: Mapping[str, set[str]]) -> list[str]:
    """A line for each row, and one with the totals."""
    rows = list(rows)
    lines = []
    for row in rows:
        how = state(row, tests) or "missing"
        count = len(tests.get(row.id, ()))
        lines.append(
            f"{row.id} {how}"
            + (f" {count} {'test' if count == 1 else 'tests'}" if count else "")
            + (f"; left: {row.left}" if how == "partly" else "")
        )
    states = [state(row, tests) for row in rows]
    shown, partly = states.count("shown"), states.count("partly")
    lines.append(f"features: {len(rows)}, shown {shown}, partly {partly}, missing {len(rows) - shown - partly}")
    return lines


def main() -> None:
    rows, tests = read(FILE.read_text("utf-8")), collect()
    print("\n".join(report(rows, tests)))
    if wrong := faults(rows, tests):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
