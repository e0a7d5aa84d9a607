"""Nothing can carry a charge to a worker: the market is free for them (人社部发〔2023〕65号)."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from docs import build
from shared.contracts import catalogue
from shared.contracts.record import schema_of
from tests.contract.rules import fields_of

MONEY = (
    "fen",
    "yuan",
    "fee",
    "amount",
    "price",
    "deposit",
    "charge",
    "cost",
    "money",
    "fare",
    "pay",
    "payment",
    "wage",
)

TO_THE_WORKER = {
    "amount_fen": "what the worker is paid for the work",
    "compensation_fen": "what an employer owes the worker for cancelling too late",
    "hourly_floor_fen": "the least that an hour must pay the worker",
    "floor_fen_per_hour": "the least that the worker would work for",
    "usual_fen_per_hour": "what pay is weighed against when a worker names no floor",
    "min_fen_per_hour": "the least that a gig that is searched for pays",
    **dict.fromkeys(("p25_fen", "p50_fen", "p75_fen"), "what gigs of a trade pay by the hour"),
    "pay": "the basic pay of a gig: an amount, its unit and when it is due",
}
"""The only fields that speak of money, and whose it is."""


def money_fields(names: Iterable[str]) -> set[str]:
    """The names, or last parts of paths, that speak of money and are not a worker's gain."""
    last = {name.rsplit(".", 1)[-1].removesuffix("[]") for name in names}
    return {name for name in last if set(name.split("_")) & set(MONEY)} - TO_THE_WORKER.keys()


def interface_fields(described: dict[str, Any]) -> Iterator[str]:
    """All names of fields and parameters of the HTTP interface."""
    for schema in described["components"]["schemas"].values():
        yield from schema.get("properties", {})
    for item in described["paths"].values():
        for operation in item.values():
            yield from (parameter["name"] for parameter in operation.get("parameters", ()))


@pytest.mark.feature("F14")
def test_no_event_carries_a_charge() -> None:
    names = {path for kind in catalogue().values() for path, _ in fields_of(schema_of(kind))}
    assert any(name.endswith("amount_fen") for name in names)
    assert money_fields(names) == set()


@pytest.mark.feature("F14")
def test_no_route_takes_or_names_a_charge() -> None:
    services = build.services()
    whole = build.merged({name: build.openapi(each) for name, each in services.items()}, dict.fromkeys(services, ""))
    names = set(interface_fields(whole))
    assert "amount_fen" in names
    assert money_fields(names) == set()
    assert [path for path in whole["paths"] if set(path.strip("/").split("/")) & {"fees", "deposits", "charges"}] == []


@pytest.mark.parametrize("name", ["deposit_fen", "fee", "terms.service_fee", "charges[].amount", "price_yuan"])
def test_a_charge_is_noticed(name: str) -> None:
    assert money_fields([name, "terms.pay.amount_fen"])
