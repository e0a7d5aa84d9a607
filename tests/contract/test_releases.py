"""What was released is what later events are measured by, and all of it goes out as one file that anybody can check."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from docs import bundle
from docs.build import changelog_md
from shared.contracts import catalogue, record
from shared.contracts.record import Change, changes, refused, release, releases, schema_of

KINDS = {type_: schema_of(kind) for type_, kind in catalogue().items()}
TYPE = "posting.gig-filled.v1"


def edited(**fields: Any) -> dict[str, Any]:
    """The events with other fields in one of them; None takes a field away."""
    schema = json.loads(json.dumps(KINDS[TYPE]))
    for name, field in fields.items():
        if field is None:
            del schema["properties"][name]
            schema["required"].remove(name)
        else:
            schema["properties"][name] = field
    return KINDS | {TYPE: schema}


NOTE = {"default": None, "type": "string"}


def test_a_change_is_safe_or_breaking() -> None:
    assert changes(KINDS, KINDS) == []
    assert changes(KINDS, edited(note=NOTE)) == [Change(TYPE, "field `note` is new and optional", safe=True)]
    assert changes(KINDS, KINDS | {"posting.gig-filled.v2": KINDS[TYPE]}) == [
        Change("posting.gig-filled.v2", "new event", safe=True)
    ]
    (gone,) = changes(KINDS, edited(placed=None))
    assert (gone.what, gone.safe) == ("field `placed` is gone, which readers may use", False)
    without = {type_: schema for type_, schema in KINDS.items() if type_ != TYPE}
    assert changes(KINDS, without) == [Change(TYPE, "is said no more, which readers may wait for", safe=False)]


def test_an_event_that_was_announced_as_retired_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(record.RETIRED, TYPE, "posting.gig-filled.v2 since 1.1")
    without = {type_: schema for type_, schema in KINDS.items() if type_ != TYPE}
    assert changes(KINDS, without) == [Change(TYPE, "is said no more: posting.gig-filled.v2 since 1.1", safe=True)]
    assert refused({"1.0": KINDS}, without) == []


def test_a_break_of_what_was_released_is_refused_whatever_became_of_its_file() -> None:
    assert refused({"1.0": KINDS}, edited(note=NOTE)) == []
    assert refused({"1.0": KINDS}, edited(placed=None)) == [
        f"{TYPE}: field `placed` is gone, which readers may use (released in 1.0)."
    ]
    assert refused({"0.9": KINDS}, edited(placed=None)) == [], "before 1.0 nothing is promised"
    assert refused({}, KINDS) == []


def test_todays_events_may_follow_the_last_release() -> None:
    kept = releases()
    assert kept, "run `make contracts release=0.1`"
    assert refused(kept, KINDS) == []


def test_releases_follow_one_another(tmp_path: Path) -> None:
    release("0.1", {}, KINDS, tmp_path)
    assert list(releases(tmp_path)) == ["0.1"]
    assert changes(releases(tmp_path)["0.1"], KINDS) == []
    for number, why in (("0.1", "after 0.1 comes 0.2 or 1.0, not 0.1"), ("0.3", "comes 0.2"), ("one", "is no number")):
        with pytest.raises(ValueError, match=why):
            release(number, releases(tmp_path), KINDS, tmp_path)
    for number in ("0.2", *(f"0.{n}" for n in range(3, 11)), "1.0"):
        release(number, releases(tmp_path), edited(note=NOTE), tmp_path)
    assert list(releases(tmp_path))[-3:] == ["0.9", "0.10", "1.0"]


def test_the_changelog_says_what_each_release_changed_and_what_is_to_come() -> None:
    text = changelog_md({"0.1": KINDS, "0.2": edited(placed=None)}, edited(placed=None, note=NOTE))
    assert [line for line in text.splitlines() if line.startswith(("##", "-", "  -"))] == [
        "## To come",
        f"- `{TYPE}`",
        "  - safe: field `note` is new and optional",
        "## 0.2",
        f"- `{TYPE}`",
        "  - **breaking**: field `placed` is gone, which readers may use",
        "## 0.1",
    ]
    assert "## To come" not in changelog_md({"0.1": KINDS}, KINDS)


def test_the_file_is_whole_and_the_same_each_time() -> None:
    written = {"events-changelog.md": "changes", "site/asyncapi.json": "{}"}
    parts = bundle.contents("0.1", written)
    first, second = bundle.packed("0.1", parts), bundle.packed("0.1", dict(reversed(parts.items())))
    assert first == second != bundle.packed("0.1", parts | {"VERSION": b"0.2\n"})
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        held = {entry.name.partition("/")[2]: tar.extractfile(entry) for entry in tar.getmembers()}
        found = {name: file.read() for name, file in held.items() if file}
    assert {f"schemas/{type_}.json" for type_ in KINDS} | {f"examples/{type_}.json" for type_ in KINDS} < found.keys()
    lines = (line.split("  ") for line in found.pop("SHA256SUMS").decode().splitlines())
    sums = {name: digest for digest, name in lines}
    assert sums == {name: hashlib.sha256(part).hexdigest() for name, part in found.items()}


def test_its_version_says_whether_the_events_are_still_the_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "releases", lambda: {"1.2": KINDS})
    assert bundle.version() == "1.2"
    monkeypatch.setattr(bundle, "releases", lambda: {"1.2": edited(note=NOTE)})
    assert bundle.version() == "1.2-next"
