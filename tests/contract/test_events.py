"""Every event is named, recorded and shown by an example, and what one version promised still holds."""

import json
from collections.abc import Iterable
from typing import Any

import jsonschema
import pytest

from shared.contracts import Event, catalogue
from shared.contracts.record import EXAMPLES, SCHEMAS, class_name, schema_of
from tests.contract.rules import OPEN_ALLOWED, key_order, type_faults

KINDS = catalogue()
each_event = pytest.mark.parametrize("kind", [pytest.param(kind, id=type) for type, kind in sorted(KINDS.items())])


def example_of(kind: type[Event]) -> dict[str, Any]:
    example = json.loads((EXAMPLES / f"{kind.type}.json").read_text("utf-8"))
    assert isinstance(example, dict)
    return example


def names(files: Iterable[Any]) -> set[str]:
    return {file.name for file in files}


def test_there_are_events() -> None:
    """The tests below are made from the catalogue: an empty one would pass them all."""
    assert len(KINDS) >= 24


def test_every_event_has_its_schema_and_example_and_no_file_is_left_over() -> None:
    wanted = {f"{type}.json" for type in KINDS}
    assert names(SCHEMAS.iterdir()) == wanted, "run `make contracts`"
    assert names(EXAMPLES.iterdir()) == wanted, "write an example for each event, then run `make contracts`"


@each_event
def test_the_recorded_schema_is_the_current_one(kind: type[Event]) -> None:
    recorded = json.loads((SCHEMAS / f"{kind.type}.json").read_text("utf-8"))
    assert recorded == schema_of(kind), "run `make contracts`"


@each_event
def test_its_example_is_a_message_as_we_send_it(kind: type[Event]) -> None:
    example = example_of(kind)
    jsonschema.Draft202012Validator(
        schema_of(kind), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(example)
    event = kind.model_validate_json(json.dumps(example))
    assert event.model_dump(mode="json") == example
    assert key_order(event.model_dump(mode="json")) == key_order(example), "fields in the order of the class"


@each_event
def test_fields_a_newer_publisher_adds_are_left_alone(kind: type[Event]) -> None:
    example = example_of(kind)
    newer = with_a_new_field_everywhere(example)
    assert newer != example
    assert kind.model_validate_json(json.dumps(newer)) == kind.model_validate_json(json.dumps(example))


def with_a_new_field_everywhere(value: Any) -> Any:
    if isinstance(value, dict):
        parts = {
            name: part if name in OPEN_ALLOWED else with_a_new_field_everywhere(part) for name, part in value.items()
        }
        return parts | {"of_tomorrow": {"x": [1]}}
    if isinstance(value, list):
        return [with_a_new_field_everywhere(part) for part in value]
    return value


@each_event
def test_its_names_follow_the_rules(kind: type[Event]) -> None:
    module = kind.__module__.rsplit(".", 1)[-1]
    assert type_faults(kind.type, kind.topic, class_=kind.__name__, service=module) == []


@pytest.mark.parametrize(
    ("type", "topic", "class_", "service"),
    [
        ("posting.gig_posted.v1", "posting.gig", "GigPosted", "posting"),
        ("posting.gig-posted", "posting.gig", "GigPosted", "posting"),
        ("posting.gig-posted.v0", "posting.gig", "GigPosted", "posting"),
        ("posting.posted.v1", "posting.gig", "Posted", "posting"),
        ("posting.gig-posted.v1", "posting.gig", "PostedGig", "posting"),
        ("posting.gig-posted.v2", "posting.gig", "GigPosted", "posting"),
        ("posting.gig-posted.v1", "posting.gig", "GigPosted", "matching"),
        ("posting.gig-posted.v1", "matching.gig", "GigPosted", "posting"),
        ("posting.gig-posted.v1", "posting.gig_post", "GigPosted", "posting"),
    ],
)
def test_a_wrong_name_is_noticed(type: str, topic: str, class_: str, service: str) -> None:
    assert type_faults(type, topic, class_=class_, service=service)


def test_a_next_version_is_named_after_its_number() -> None:
    assert class_name("posting.gig-posted.v1") == "GigPosted"
    assert class_name("posting.gig-posted.v2") == "GigPostedV2"
