"""Records each event's JSON Schema, and refuses a change that others could not read.

    python -m shared.contracts.record

A schema is what publishers and readers of one version may rely on, at every age of either. Within a version a new
optional field is an addition; any other difference on the wire is a break, in one of two ways: events that were said
can no longer be read, or readers that are not yet updated cannot read what is said from now on.

What was released stays in `releases/<number>.json`, and is what a change is measured by as well: an event that others
have can be taken back by no deletion of its file. `--release 1.1` writes the next one.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.contracts import Event, catalogue

HERE = Path(__file__).parent
SCHEMAS, EXAMPLES, RELEASES = HERE / "schemas", HERE / "examples", HERE / "releases"

Schema = Mapping[str, Any]

SAID_ONLY = frozenset({"title", "description", "examples", "$comment", "$defs", "$schema", "deprecated"})
"""Keywords that explain: they may change freely."""


def schema_of(kind: type[Event]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of an event's body, with its topic, subject and key as `x-` members."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **kind.model_json_schema(),
        "x-topic": kind.topic,
        "x-subject": kind.subject_field,
        "x-key": kind.key_field,
    }


def text_of(value: Any) -> str:
    """JSON as it is kept in files: fields in the order of their class."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def breaking(old: Schema, new: Schema) -> list[str]:
    """Why a schema may not take the place of an older one of the same version, a sentence each; empty when it may."""
    return list(_differences("", _plain(old, old), _plain(new, new)))


def _plain(schema: Any, root: Schema) -> Any:
    """A schema with its references filled in and its explanations left out: only what is on the wire."""
    if isinstance(schema, list):
        return [_plain(part, root) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        beside = {word: value for word, value in schema.items() if word != "$ref"}
        return _plain({**root["$defs"][str(schema["$ref"]).rsplit("/", 1)[-1]], **beside}, root)
    return {
        word: {name: _plain(field, root) for name, field in value.items()}
        if word == "properties"
        else value
        if word in ("default", "const", "enum")
        else _plain(value, root)
        for word, value in schema.items()
        if word not in SAID_ONLY
    }


def _differences(path: str, old: Schema, new: Schema) -> Iterator[str]:
    here = f"field `{path}`" if path else "the event"
    for word in sorted({*old, *new} - {"properties", "required"}):
        before, after = old.get(word), new.get(word)
        if before == after:
            continue
        if word == "enum" and before and after:
            if gone := [value for value in before if value not in after]:
                yield f"{here} no longer allows {_list(gone)}, which events already said may hold"
            if added := [value for value in after if value not in before]:
                yield f"{here} now allows {_list(added)}, which readers that are not updated cannot read"
        elif word == "items" and isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(f"{path}[]", before, after)
        elif word in ("anyOf", "prefixItems") and before and after and len(before) == len(after):
            for one, other in zip(before, after, strict=True):
                yield from _differences(path, one, other)
        else:
            yield f"{here} has another `{word}`: {_said(before)} became {_said(after)}"
    yield from _field_differences(path, old, new)


def _field_differences(path: str, old: Schema, new: Schema) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    needed_before, needed_after = set(old.get("required", ())), set(new.get("required", ()))
    for name in before.keys() - after.keys():
        yield f"field `{_join(path, name)}` is gone, which readers may use"
    for name in sorted(needed_after - needed_before):
        what = "is now required" if name in before else "is new and required"
        yield f"field `{_join(path, name)}` {what}, but events already said may lack it"
    for name in sorted((needed_before - needed_after) & after.keys()):
        yield f"field `{_join(path, name)}` is no longer required, but readers that are not updated need it"
    for name in before.keys() & after.keys():
        yield from _differences(_join(path, name), before[name], after[name])


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _list(values: Iterable[Any]) -> str:
    return ", ".join(_said(value) for value in values)


def _said(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


def added(old: Schema, new: Schema) -> list[str]:
    """What a schema has that an older one of the same version has not, a sentence each."""
    return list(_additions("", _plain(old, old), _plain(new, new)))


def _additions(path: str, old: Schema, new: Schema) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in after:
        if name in before:
            yield from _additions(_join(path, name), before[name], after[name])
        elif name not in new.get("required", ()):
            yield f"field `{_join(path, name)}` is new and optional"
    if isinstance(old.get("items"), Mapping) and isinstance(new.get("items"), Mapping):
        yield from _additions(f"{path}[]", old["items"], new["items"])
    for word in ("anyOf", "prefixItems"):
        for one, other in zip(old.get(word, ()), new.get(word, ()), strict=False):
            yield from _additions(path, one, other)


# --- releases ------------------------------------------------------------------------------------------------------

RETIRED: dict[str, str] = {}
"""Events that were released and are said no more, each with what to listen to instead."""


@dataclass(frozen=True)
class Change:
    """One difference between two releases. `safe`: readers and publishers of either get on with the other's."""

    type: str
    what: str
    safe: bool


def changes(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[Change]:
    """Every difference on the wire between the events of two releases, by type."""
    found = []
    for type in sorted({*old, *new}):
        if type not in old:
            found.append(Change(type, "new event", safe=True))
        elif type not in new:
            instead = f": {RETIRED[type]}" if type in RETIRED else ", which readers may wait for"
            found.append(Change(type, f"is said no more{instead}", safe=type in RETIRED))
        else:
            found += [Change(type, what, safe=True) for what in added(old[type], new[type])]
            found += [Change(type, what, safe=False) for what in breaking(old[type], new[type])]
    return found


def number_of(release: str) -> tuple[int, int]:
    """The parts of a release's number, such as 1.2. Raises ValueError when it is none."""
    if not re.fullmatch(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)", release):
        raise ValueError(f"{release} is no number of a release, such as 1.2")
    first, second = release.split(".")
    return int(first), int(second)


def releases(folder: Path = RELEASES) -> dict[str, dict[str, Schema]]:
    """The schemas of each release by type, the oldest release first."""
    files = sorted(folder.glob("*.json"), key=lambda file: number_of(file.stem))
    return {file.stem: json.loads(file.read_text("utf-8")) for file in files}


def refused(kept: Mapping[str, Mapping[str, Schema]], now: Mapping[str, Schema]) -> list[str]:
    """Why these events may not follow the last release, a sentence each. Releases before 1.0 promise nothing yet."""
    last = next(reversed([*kept]), "0.0")
    if number_of(last) < (1, 0):
        return []
    return [f"{c.type}: {c.what} (released in {last})." for c in changes(kept[last], now) if not c.safe]


def release(number: str, kept: Mapping[str, Mapping[str, Schema]], now: Mapping[str, Schema], folder: Path) -> None:
    """Keep these events as a release. Raises ValueError when the number does not follow the last one."""
    last = next(reversed([*kept]), "0.0")
    first, second = number_of(last)
    if number_of(number) not in {(first, second + 1), (first + 1, 0)}:
        raise ValueError(f"after {last} comes {first}.{second + 1} or {first + 1}.0, not {number}")
    folder.mkdir(exist_ok=True)
    lines = [
        f"{json.dumps(type)}:{json.dumps(_plain(schema, schema), ensure_ascii=False, separators=(',', ':'))}"
        for type, schema in sorted(now.items())
    ]
    (folder / f"{number}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def next_version(type: str) -> str:
    """`posting.gig-posted.v2` for `posting.gig-posted.v1`."""
    stem, _, number = type.rpartition(".v")
    return f"{stem}.v{int(number) + 1}"


def class_name(type: str) -> str:
    """The name of an event's class: `GigPosted` for `posting.gig-posted.v1`, `GigPostedV2` for its next version."""
    found = re.fullmatch(r"[a-z]+\.([a-z]+(?:-[a-z]+)*)\.v([1-9][0-9]*)", type)
    if not found:
        raise ValueError(f"{type} is not of the form <service>.<event>.v<n>")
    return found[1].title().replace("-", "") + (f"V{found[2]}" if found[2] != "1" else "")


def record(kinds: Mapping[str, type[Event]], schemas: Path, examples: Path) -> tuple[list[str], list[str]]:
    """Write the schemas that are new or grew; returns (types written, what stands in the way).

    Writes nothing when anything stands in the way.
    """
    wrong: list[str] = []
    write: dict[str, str] = {}
    for type, kind in sorted(kinds.items()):
        schema, kept = schema_of(kind), schemas / f"{type}.json"
        old = json.loads(kept.read_text("utf-8")) if kept.exists() else None
        reasons = breaking(old, schema) if old else []
        if reasons:
            new = next_version(type)
            wrong += [f"{type}: {reason}." for reason in reasons]
            wrong.append(f"{type}: leave it as it was and add {class_name(new)} ({new}) beside it.")
        elif not (examples / f"{type}.json").exists():
            wrong.append(f"{type}: it has no example yet. Write one to {_short(examples)}/{type}.json.")
        elif schema != old:
            write[type] = text_of(schema)
    for kept in sorted([*schemas.glob("*.json"), *examples.glob("*.json")]):
        if kept.name.removesuffix(".json") not in kinds:
            where = f"{_short(kept.parent)}/{kept.name}"
            wrong.append(f"{where}: no event has this type. When no reader needs it any more, delete the file.")
    if not wrong:
        for type, text in write.items():
            (schemas / f"{type}.json").write_text(text, "utf-8")
    return sorted(write), wrong


def _short(folder: Path) -> str:
    return "/".join(folder.parts[-3:])


def main() -> None:
    options = argparse.ArgumentParser(description="Record the schemas of events.")
    options.add_argument("--release", metavar="N", help="keep them as this release, such as 1.1")
    asked = options.parse_args()
    kinds, kept = catalogue(), releases()
    now = {type: schema_of(kind) for type, kind in kinds.items()}
    written, wrong = record(kinds, SCHEMAS, EXAMPLES)
    if wrong := wrong + refused(kept, now):
        sys.exit("\n".join(wrong))
    for type in written:
        print(f"contracts: {type} recorded")  # noqa: T201 - a command
    if kept:
        for change in changes(kept[last := next(reversed(kept))], now):
            print(f"contracts: {'safe' if change.safe else 'breaking'} since {last}: {change.type}: {change.what}")  # noqa: T201
    if asked.release:
        try:
            release(asked.release, kept, now, RELEASES)
        except ValueError as error:
            sys.exit(f"contracts: {error}")
    print(f"contracts: {len(kinds)} events, {len(written)} schemas written")  # noqa: T201


if __name__ == "__main__":
    main()
