"""A change that others could not read is refused, and one that they can is recorded."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, StringConstraints

from shared.contracts import Event
from shared.contracts.record import breaking, record, schema_of


class Wide(BaseModel):
    start: int
    end: int = 0


class WideGrown(BaseModel):
    start: int
    end: int = 0
    note: str | None = None


class WideRenamed(BaseModel):
    begin: int
    end: int = 0


class Colour(StrEnum):
    red = "red"
    blue = "blue"


class Was(BaseModel):
    """What was recorded."""

    gig_id: str
    district: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]
    reason: Literal["time", "closed"]
    colour: Colour
    seats: Annotated[int, Field(ge=0, le=10)]
    span: Wide
    spans: tuple[Wide, ...] = ()
    origin: str | None = None


def edited(**fields: Any) -> dict[str, Any]:
    """The schema of `Was` with other annotations; None takes a field away."""
    body: dict[str, Any] = {"__annotations__": {}, "__module__": __name__}
    for name, info in Was.model_fields.items():
        change = fields.pop(name, info.annotation if not info.metadata else Was.__annotations__[name])
        if change is None:
            continue
        annotation, default = change if isinstance(change, tuple) else (change, info.default)
        body["__annotations__"][name] = annotation
        if default is not ... and not (default is info.default and info.is_required()):
            body[name] = default
    for name, (annotation, *default) in fields.items():
        body["__annotations__"][name] = annotation
        if default:
            body[name] = default[0]
    now: type[BaseModel] = type("Now", (BaseModel,), body)
    return now.model_json_schema()


OLD = Was.model_json_schema()


def test_an_edit_without_a_change_breaks_nothing() -> None:
    assert breaking(OLD, OLD) == []
    assert breaking(OLD, edited()) == []


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"note": (str, "")}, id="a new field with a default"),
        pytest.param({"note": (str | None, None)}, id="a new field that may be null"),
        pytest.param({"span": WideGrown}, id="a new optional field inside"),
        pytest.param({"spans": (tuple[WideGrown, ...], ())}, id="a new optional field inside a list"),
        pytest.param({"gig_id": Annotated[str, Field(description="Which.")]}, id="a description"),
        pytest.param({"reason": Literal["closed", "time"]}, id="the order of choices"),
    ],
)
def test_an_addition_is_no_break(fields: dict[str, Any]) -> None:
    assert edited(**fields) != OLD
    assert breaking(OLD, edited(**fields)) == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        pytest.param({"origin": None}, "field `origin` is gone", id="removed"),
        pytest.param({"gig_id": None, "gig": (str,)}, "field `gig_id` is gone", id="renamed"),
        pytest.param({"note": (str,)}, "field `note` is new and required", id="new required"),
        pytest.param({"origin": (str | None, ...)}, "field `origin` is now required", id="now required"),
        pytest.param({"gig_id": (str, "")}, "field `gig_id` is no longer required", id="no longer required"),
        pytest.param({"seats": Annotated[str, Field()]}, "field `seats` has another `type`", id="another type"),
        pytest.param({"origin": (str, "")}, "field `origin` has another", id="no longer null"),
        pytest.param({"gig_id": str | None}, "field `gig_id` has another", id="now null"),
        pytest.param({"reason": Literal["time"]}, "field `reason` has another", id="one choice left"),
        pytest.param({"reason": Literal["time", "gone"]}, 'no longer allows "closed"', id="choice removed"),
        pytest.param({"reason": Literal["time", "closed", "gone"]}, 'now allows "gone"', id="choice added"),
        pytest.param({"colour": str}, "field `colour` has another `enum`", id="choices opened"),
        pytest.param(
            {"district": Annotated[str, StringConstraints(pattern=r"^4[0-9]{5}$")]},
            "field `district` has another `pattern`",
            id="narrower pattern",
        ),
        pytest.param(
            {"gig_id": Annotated[str, StringConstraints(max_length=8)]},
            "field `gig_id` has another `maxLength`",
            id="new bound",
        ),
        pytest.param(
            {"seats": Annotated[int, Field(ge=1, le=10)]}, "field `seats` has another `minimum`", id="narrower bound"
        ),
        pytest.param(
            {"seats": Annotated[int, Field(ge=0, le=99)]}, "field `seats` has another `maximum`", id="wider bound"
        ),
        pytest.param({"span": WideRenamed}, "field `span.start` is gone", id="renamed inside"),
        pytest.param({"spans": (tuple[WideRenamed, ...], ())}, "field `spans[].start` is gone", id="inside a list"),
        pytest.param({"span": str}, "field `span.start` is gone", id="an object no more"),
        pytest.param({"origin": (str | None, "here")}, "field `origin` has another `default`", id="another default"),
    ],
)
def test_a_break_is_noticed(fields: dict[str, Any], sentence: str) -> None:
    found = breaking(OLD, edited(**fields))
    assert any(sentence in reason for reason in found), found


@pytest.mark.parametrize("word", ["x-topic", "x-subject", "x-key"])
def test_another_topic_subject_or_key_is_a_break(word: str) -> None:
    assert breaking({**OLD, word: "a"}, {**OLD, word: "b"}) == [f'the event has another `{word}`: "a" became "b"']


def test_moving_a_part_to_a_class_of_another_name_is_no_break() -> None:
    moved = dict(OLD)
    moved["$defs"] = {"Span" if name == "Wide" else name: part for name, part in OLD["$defs"].items()}
    moved["properties"] = OLD["properties"] | {
        "span": {"$ref": "#/$defs/Span"},
        "spans": OLD["properties"]["spans"] | {"items": {"$ref": "#/$defs/Span"}},
    }
    assert breaking(OLD, moved) == []


# --- the command ---------------------------------------------------------------------------------------------------


class Folders:
    def __init__(self, root: Path) -> None:
        self.schemas, self.examples = root / "schemas", root / "examples"
        self.schemas.mkdir()
        self.examples.mkdir()

    def record(self, *kinds: type[Event]) -> tuple[list[str], list[str]]:
        return record({kind.type: kind for kind in kinds}, self.schemas, self.examples)


TYPE = "posting.seat-counted.v1"


class First(Event):
    """Not registered: it has no type on its class line."""

    topic, type, subject_field, key_field = "posting.seat", TYPE, "gig_id", "district"

    gig_id: str
    district: str


class Grown(First):
    note: str | None = None


class Broken(First):
    seat: int


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path)
    (made.examples / f"{TYPE}.json").write_text("{}")
    return made


def test_a_new_event_is_recorded_once(folders: Folders) -> None:
    assert folders.record(First) == ([TYPE], [])
    assert folders.record(First) == ([], [])


def test_an_addition_is_recorded(folders: Folders) -> None:
    folders.record(First)
    assert folders.record(Grown) == ([TYPE], [])
    assert "note" in (folders.schemas / f"{TYPE}.json").read_text()


def test_a_break_is_refused_with_what_to_do_and_nothing_is_written(folders: Folders) -> None:
    folders.record(First)
    before = (folders.schemas / f"{TYPE}.json").read_text()
    written, wrong = folders.record(Broken)
    assert written == []
    assert "field `seat` is new and required" in wrong[0]
    assert wrong[-1] == f"{TYPE}: leave it as it was and add SeatCountedV2 (posting.seat-counted.v2) beside it."
    assert (folders.schemas / f"{TYPE}.json").read_text() == before


def test_an_event_without_an_example_is_refused(folders: Folders) -> None:
    (folders.examples / f"{TYPE}.json").unlink()
    written, wrong = folders.record(First)
    assert written == []
    assert "has no example yet" in wrong[0]


def test_an_event_that_is_gone_is_not_forgotten_silently(folders: Folders) -> None:
    folders.record(First)
    _, wrong = folders.record()
    assert [sentence.split(": ")[1][:28] for sentence in wrong] == ["no event has this type. When"] * 2


def test_recording_gives_the_same_bytes(folders: Folders) -> None:
    file = folders.schemas / f"{TYPE}.json"
    folders.record(First)
    first = file.read_bytes()
    file.unlink()
    folders.record(First)
    assert file.read_bytes() == first


def test_the_schema_says_where_an_event_travels() -> None:
    schema = schema_of(First)
    assert (schema["x-topic"], schema["x-subject"], schema["x-key"]) == ("posting.seat", "gig_id", "district")
