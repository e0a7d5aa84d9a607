"""What a bench finds, in one shape: ours beside somebody else's in one run, by the medians of several rounds.

A module of bench/ that compares has `figures(quick: bool) -> list[Figure]`. What the last full run found is kept in
results.json; a later run says which ratio has fallen since.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from shared import clock

FILE = Path(__file__).with_name("results.json")
FALLEN = 0.8
"""A ratio below this part of the stored one is marked."""

LINE = ("reactions={}", "usual={}", "e2e={}/s", "latency={}", "edge={}", "engine={}", "growth={}")
"""The last line of a run. Each place is named by what stands before its `=`; `-` is in that of which there is none."""

HEAD = ("figure", "ours", "against", "theirs", "ratio", "aim", "kept", "stored")

Stored = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Figure:
    """One thing that was measured, a value for each round. `value` is what counts, and the greater the better.

    That is ours as a part of the other's, or the other's of ours where `less_is_better`, as it is of times; without
    another it is ours itself, which depends on the machine, so that it is not compared with a stored one. `place` is
    where it counts in the last line; of several the least is shown.
    """

    name: str
    unit: str
    ours: Sequence[float]
    aim: float
    against: str = ""
    other: Sequence[float] = ()
    less_is_better: bool = False
    place: str = ""

    @property
    def value(self) -> float:
        mine = median(self.ours)
        if not self.other:
            return mine
        theirs = median(self.other)
        return theirs / mine if self.less_is_better else mine / theirs

    @property
    def kept(self) -> bool:
        return self.value >= self.aim

    def fallen(self, stored: Stored) -> bool:
        """Whether its ratio is more than a fifth below the stored one."""
        before = stored.get(self.name)
        return bool(self.other) and before is not None and self.value < FALLEN * before["value"]


def table(figures: Iterable[Figure], stored: Stored) -> str:
    """A line for each figure, under a head. What is not kept says so, and what has fallen is called FELL."""
    rows = [HEAD]
    for each in figures:
        before = stored.get(each.name)
        rows.append(
            (
                each.name,
                f"{_short(median(each.ours))} {each.unit}",
                each.against or "-",
                f"{_short(median(each.other))} {each.unit}" if each.other else "-",
                _short(each.value) if each.other else "-",
                _short(each.aim),
                "yes" if each.kept else "NOT MET",
                ("-" if before is None else _short(before["value"])) + (" FELL" if each.fallen(stored) else ""),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def last_line(figures: Iterable[Figure]) -> str:
    least: dict[str, float] = {}
    for each in figures:
        least[each.place] = min(each.value, least.get(each.place, each.value))
    places = ((form, form.partition("=")[0]) for form in LINE)
    return "bench: " + " ".join(form.format(_short(least[name]) if name in least else "-") for form, name in places)


def read(file: Path = FILE) -> Stored:
    """What the last full run found, by a figure's name; nothing when there was none."""
    found: Stored = orjson.loads(file.read_bytes()) if file.exists() else {}
    return found


def write(figures: Iterable[Figure], file: Path = FILE) -> None:
    """Keep these; of those that were not measured now, what was found before."""
    kept = {**read(file), **{each.name: _row(each) for each in figures}}
    file.write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2) + b"\n")


def _row(figure: Figure) -> dict[str, Any]:
    row: dict[str, Any] = {
        "value": _rounded(figure.value),
        "aim": figure.aim,
        "kept": figure.kept,
        "unit": figure.unit,
        "ours": _rounded(median(figure.ours)),
        "rounds": {"ours": list(map(_rounded, figure.ours))},
        "measured_on": str(clock.now().date()),
        "processors": os.cpu_count(),
    }
    if figure.other:
        row |= {"against": figure.against, "other": _rounded(median(figure.other))}
        row["rounds"]["other"] = list(map(_rounded, figure.other))
    return row


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
