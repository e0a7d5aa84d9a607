"""What `make bench` makes of its figures: ratios, the mark of a fallen one, the table, the last line, the file."""

from pathlib import Path

import pytest

from bench.results import Figure, last_line, read, table, write


def figure(
    name: str = "edge", *, ours: float = 70, other: float = 100, place: str = "edge", aim: float = 0.7
) -> Figure:
    return Figure(name, "requests/s", [ours], aim, "bare route", [other], place=place)


def test_a_ratio_is_of_medians() -> None:
    assert Figure("edge", "requests/s", [1, 50, 60], 0.7, "bare route", [100, 900, 90]).value == 0.5


def test_a_time_counts_the_more_the_shorter_it_is() -> None:
    found = Figure("engine", "s", [0.02], 10, "scipy", [0.3], less_is_better=True)
    assert found.value == pytest.approx(15)
    assert found.kept


def test_what_stands_alone_counts_as_it_is_and_never_falls() -> None:
    alone = Figure("e2e", "placements/s", [50], 100, place="e2e")
    assert alone.value == 50
    assert not alone.kept
    assert not alone.fallen({"e2e": {"value": 500}})


@pytest.mark.parametrize(("ours", "fell"), [(80, False), (79.9, True), (120, False)])
def test_a_ratio_fell_when_it_lost_more_than_a_fifth(ours: float, fell: bool) -> None:
    assert figure(ours=ours).fallen({"edge": {"value": 1.0}}) is fell


def test_a_ratio_of_which_nothing_is_stored_did_not_fall() -> None:
    assert not figure(ours=1).fallen({})


def test_the_table_names_what_is_not_met_and_what_fell() -> None:
    head, met, not_met = table([figure(), figure("growth", ours=10)], {"growth": {"value": 0.9}}).splitlines()
    assert head.split() == ["figure", "ours", "against", "theirs", "ratio", "aim", "kept", "stored"]
    assert met.split() == ["edge", "70", "requests/s", "bare", "route", "100", "requests/s", "0.7", "0.7", "yes", "-"]
    assert not_met.endswith("0.1    0.7  NOT MET  0.9 FELL")


def test_the_last_line_shows_the_least_of_each_place() -> None:
    measured = [
        figure("engine-a", ours=900, place="engine"),
        figure("engine-b", ours=120, place="engine"),
        figure("edge-p99", ours=1, place=""),
        Figure("e2e", "placements/s", [61.4], 1, place="e2e"),
    ]
    assert last_line(measured) == "bench: reactions=- usual=- e2e=61.4/s latency=- edge=- engine=1.2 growth=-"


def test_the_file_keeps_what_was_not_measured_again(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    assert read(file) == {}
    write([figure(), figure("growth")], file)
    write([figure(ours=35)], file)
    stored = read(file)
    assert {name: row["value"] for name, row in stored.items()} == {"edge": 0.35, "growth": 0.7}
    assert stored["edge"]["rounds"] == {"ours": [35], "other": [100]}
    assert not stored["edge"]["kept"]
