"""Every question the market asks is answered by an index."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from services.matching import store
from services.matching.store import Offer, Placement
from shared.contracts.workers import WorkerChanged
from shared.testing import Harness
from shared.unit import Document, Unit
from tests.service.matching.kit import (
    FURONG,
    accept,
    amended,
    checked_in,
    closed,
    offer_of,
    posted,
    profile,
    run,
    terms,
)

Asked = list[tuple[str, list[Any]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """All that units are asked, as pipelines."""
    questions: Asked = []
    find, count, aggregate = Unit.find, Unit.count, Unit.aggregate

    async def find_(unit: Unit, kind: type[Document], query: Mapping[str, Any], **how: Any) -> Any:
        order = [{"$sort": dict(how["sort"])}] if how.get("sort") else []
        limit = [{"$limit": how["limit"]}] if how.get("limit") else []
        questions.append((kind.collection, [{"$match": query}, *order, *limit]))
        return await find(unit, kind, query, **how)

    async def count_(unit: Unit, kind: type[Document], query: Mapping[str, Any]) -> int:
        questions.append((kind.collection, [{"$match": query}]))
        return await count(unit, kind, query)

    async def aggregate_(unit: Unit, kind: type[Document], pipeline: Any) -> Any:
        questions.append((kind.collection, list(pipeline)))
        return await aggregate(unit, kind, pipeline)

    monkeypatch.setattr(Unit, "find", find_)
    monkeypatch.setattr(Unit, "count", count_)
    monkeypatch.setattr(Unit, "aggregate", aggregate_)
    return questions


def stages(plan: Any) -> Iterator[str]:
    """The names of a plan's stages, whatever it is nested in."""
    if isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            yield plan["stage"]
        for name, part in plan.items():
            if name != "rejectedPlans":
                yield from stages(part)
    elif isinstance(plan, list):
        for part in plan:
            yield from stages(part)


async def test_no_question_scans_a_collection_or_sorts_what_it_read(matching: Harness, asked: Asked) -> None:
    await matching.receives(posted(headcount=3), *(checked_in(f"worker-{n}") for n in range(4)))
    await matching.receives(WorkerChanged(worker_id="worker-1", district=FURONG, profile=profile(revision=1)))
    await run(matching)
    offer = await offer_of(matching, "worker-1")
    await accept(matching, offer)
    await matching.receives(amended("gig-1", terms(headcount=2)), posted("gig-2"))
    await run(matching)
    (placement,) = await matching.all(Placement)
    worker, employer = matching.as_("worker", "worker-1"), matching.as_("employer", "employer-1")
    for url, caller in (
        ("/offers", worker),
        (f"/offers?after=open:{offer.id}", worker),
        ("/placements", worker),
        ("/placements", employer),
        ("/gigs/gig-1/placements", employer),
        ("/board", {}),
    ):
        assert (await matching.http.get(url, headers=caller)).status_code == 200
    await matching.http.post(f"/placements/{placement.id}/cancel", headers=employer)
    await matching.receives(closed())
    await matching.runtime.store.reading().aggregate(Offer, [{"$match": {"district": FURONG, "open": True}}])

    questions = {repr(question): question for question in asked if question[1][0].get("$match") != {}}.values()
    assert len(questions) > 25
    for collection, pipeline in questions:
        plan = await matching.runtime.store.db.command(
            {"explain": {"aggregate": collection, "pipeline": pipeline, "cursor": {}}, "verbosity": "queryPlanner"}
        )
        used = set(stages(plan))
        assert used & {"IXSCAN", "IDHACK", "DISTINCT_SCAN", "COUNT_SCAN", "EOF"}, (collection, pipeline, used)
        assert "COLLSCAN" not in used, (collection, pipeline)
        assert "SORT" not in used, (collection, pipeline)


async def test_rules_that_a_unit_sets_are_those_it_goes_on_with(matching: Harness) -> None:
    async def set_and_read(unit: Unit) -> tuple[int, int]:
        before = await store.RULES.of(unit, FURONG)
        changes = {"offer_seconds": before.offer_seconds + 30}
        await store.RULES.put(unit, FURONG, changes, replaces=0, since=None, reason="for a test", by="operator-1")
        return before.offer_seconds, (await store.RULES.of(unit, FURONG)).offer_seconds

    before, after = await matching.runtime.store.transact(set_and_read)
    assert after == before + 30


async def test_rules_are_asked_for_once_a_unit(matching: Harness, asked: Asked) -> None:
    unit = matching.reading()
    for _ in range(3):
        await store.RULES.of(unit, FURONG)
    assert [collection for collection, _ in asked] == ["rules"]
