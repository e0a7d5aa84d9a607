"""No event carries a person's name, numbers, exact position or traits: only ids (DESIGN section 3, PIPL article 6)."""

import json
from typing import Any

import pytest

from shared.contracts import Event
from shared.contracts.record import schema_of
from tests.contract.rules import fields_of, personal_fields, personal_values
from tests.contract.test_events import each_event, example_of


@pytest.mark.feature("F7")
@each_event
def test_no_field_can_hold_personal_data(kind: type[Event]) -> None:
    schema = schema_of(kind)
    assert {path.split(".")[0].removesuffix("[]") for path, _ in fields_of(schema)} == set(kind.model_fields)
    assert personal_fields(schema) == []


@pytest.mark.feature("F7")
@each_event
def test_no_example_holds_personal_data(kind: type[Event]) -> None:
    assert personal_values(example_of(kind)) == []


def event_with(field: str, shape: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"worker_id": {"type": "string"}, field: shape}}


CODE = {"type": "string", "pattern": "^[a-z]+$"}


@pytest.mark.parametrize(
    ("field", "shape"),
    [
        ("name", CODE),
        ("worker_name", CODE),
        ("id_number", CODE),
        ("phone", CODE),
        ("contact_phone", CODE),
        ("home_address", CODE),
        ("lat", {"type": "integer"}),
        ("sex", {"enum": ["f", "m"], "type": "string"}),
        ("birth_year", {"type": "integer"}),
        ("hardship", {"type": "array", "items": CODE}),
        ("x", {"type": "number"}),
        ("remark", {"type": "string"}),
        ("remark", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ("extra", {"type": "object"}),
        ("extra", {}),
    ],
)
def test_a_field_for_personal_data_is_noticed(field: str, shape: dict[str, Any]) -> None:
    assert personal_fields(event_with("seat", {"type": "integer"})) == []
    assert personal_fields(event_with(field, shape))


def test_a_position_inside_a_part_is_noticed() -> None:
    schema = event_with("at", {"$ref": "#/$defs/Point"}) | {
        "$defs": {"Point": {"type": "object", "properties": {"lat": {"type": "number"}}}}
    }
    assert personal_fields(schema)


@pytest.mark.parametrize(
    "value",
    [
        "11010119000101001X",
        "身份证 110101190001010010。",
        "19900001234",
        "+8619900001234",
        "电话19900001234",
        "someone@example.com",
        "8a41890062fffff",
        28.194,
    ],
)
def test_a_personal_value_is_noticed(value: Any) -> None:
    assert personal_values({"worker_id": "01a1f6ae-9900-777b-832e-a995b82204c4", "cell": "8941890062fffff"}) == []
    assert personal_values(json.loads(json.dumps({"parts": [{"note": value}]})))
