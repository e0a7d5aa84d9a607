"""Hardship tiers as rules that a province sets for itself while the market runs."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.workers.store import Worker
from shared.contracts.workers import WorkerChanged, WorkerCheckedIn
from shared.rulebook import RuleVersion
from shared.testing import Harness
from tests.service.workers.conftest import check_in, fields, register


async def put(workers: Harness, area: str, changes: dict[str, Any], **more: Any) -> httpx.Response:
    body = {"changes": changes, "replaces": 0, "reason": "湘人社发〔2027〕1号"} | more
    return await workers.http.put(f"/rules/{area}", json=body, headers=workers.as_("operator", "operator-7"))


async def rules(workers: Harness, district: str, **query: str) -> dict[str, Any]:
    answer = await workers.http.get("/rules", params={"district": district, **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["rules"]
    return found


def tier(of: dict[str, Any], category: str) -> int:
    found: int = of["categories"][category]["tier"]
    return found


@pytest.mark.feature("F44")
async def test_two_districts_have_different_rules_side_by_side(workers: Harness) -> None:
    """A district above its prefecture above its province above the country; what is shipped for Zhejiang stays."""
    older = {"older-jobseeker": {"tier": 2}}
    assert (await put(workers, "43", {"categories": older})).status_code == 200
    assert (await put(workers, "430104", {"categories": {"older-jobseeker": {"tier": 3}}})).status_code == 200
    assert (await put(workers, "country", {"categories": {"disability": {"tier": 3}}})).status_code == 200
    furong, yuelu, yuhang = [await rules(workers, district) for district in ("430102", "430104", "330110")]
    assert [tier(each, "older-jobseeker") for each in (furong, yuelu, yuhang)] == [2, 3, 1]
    assert [tier(each, "disability") for each in (furong, yuelu, yuhang)] == [3, 3, 2]
    assert furong["name"] == "mohrss-2024-84+country.3+43.1"
    assert yuelu["name"] == "mohrss-2024-84+country.3+43.1+430104.2"
    assert furong["categories"]["older-jobseeker"]["from_age"] == {"men": 50, "women": 40}


@pytest.mark.feature("F44")
async def test_a_change_is_audited_and_none_is_ever_overwritten(workers: Harness) -> None:
    await put(workers, "43", {"categories": {"disability": {"tier": 3}}})
    ended = await put(workers, "43", {}, replaces=1, reason="withdrawn by the province")
    assert ended.json()["number"] == 2
    assert tier(await rules(workers, "430102"), "disability") == 2
    audit = await workers.runtime.store.db["_audit"].find({}, sort=[("_id", 1)]).to_list()
    assert [(row["by"], row["what"], row["area"], row["number"]) for row in audit] == [
        ("operator-7", "rules set", "43", 1),
        ("operator-7", "rules set", "43", 2),
    ]
    clerk = workers.as_("clerk", districts=["4301"])
    versions = (await workers.http.get("/rules/43/versions", headers=clerk)).json()
    assert [(each["number"], each["reason"]) for each in versions] == [
        (2, "withdrawn by the province"),
        (1, "湘人社发〔2027〕1号"),
    ]


@pytest.mark.feature("F44")
async def test_a_version_holds_from_its_second_on(workers: Harness) -> None:
    since = workers.clock.now + timedelta(hours=1)
    await put(workers, "43", {"categories": {"disability": {"tier": 3}}}, since=since.isoformat())
    workers.clock.now = since - timedelta(seconds=1)
    assert tier(await rules(workers, "430102"), "disability") == 2
    assert tier(await rules(workers, "430102", at=since.isoformat()), "disability") == 3
    workers.clock.now = since
    assert tier(await rules(workers, "430102"), "disability") == 3
    earlier = (since - timedelta(seconds=1)).isoformat()
    assert tier(await rules(workers, "430102", at=earlier), "disability") == 2


async def test_who_did_not_see_the_newest_version_is_told_of_it(workers: Harness) -> None:
    await put(workers, "43", {"categories": {"disability": {"tier": 3}}})
    late = await put(workers, "43", {"categories": {"disability": {"tier": 1}}})
    assert (late.status_code, late.json()["code"], late.json()["facts"]) == (409, "rules-changed", {"number": 1})
    assert len(await workers.all(RuleVersion)) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"categories": {"disability": {"tier": 4}}}, "changes.categories.disability.tier"),
        ({"categories": {"disability": {"tier": None}}}, "changes.categories.disability.tier"),
        ({"categories": {"student": {"tier": 1, "zh": "学生"}}}, "changes.categories.student.en"),
        ({"catgories": {}}, "changes.catgories"),
        ({"name": "ours"}, "changes.name"),
        ({"source": None}, "changes.source"),
    ],
)
async def test_figures_that_are_no_rules_are_refused_by_name(
    workers: Harness, changes: dict[str, Any], field: str
) -> None:
    assert fields(await put(workers, "43", changes)) == [field]
    assert await workers.all(RuleVersion) == []


async def test_a_change_that_breaks_a_narrower_areas_rules_is_refused(workers: Harness) -> None:
    """The district only says a tier; without the country's category there would be no text for it."""
    since = (workers.clock.now + timedelta(days=1)).isoformat()
    await put(workers, "430102", {"categories": {"disability": {"tier": 3}}}, since=since)
    refused = await put(workers, "43", {"categories": {"disability": None}})
    assert fields(refused) == ["changes"]
    assert "430102" in refused.json()["errors"][0]["detail"]


async def test_rules_are_not_set_back_in_time_or_before_what_comes(workers: Harness) -> None:
    past = (workers.clock.now - timedelta(seconds=1)).isoformat()
    assert fields(await put(workers, "43", {}, since=past)) == ["since"]
    later = (workers.clock.now + timedelta(days=2)).isoformat()
    sooner = (workers.clock.now + timedelta(days=1)).isoformat()
    assert (await put(workers, "43", {}, since=later)).status_code == 200
    assert fields(await put(workers, "43", {}, since=sooner, replaces=1)) == ["since"]
    assert (await put(workers, "43", {}, since=later, replaces=1)).status_code == 200


@pytest.mark.parametrize("area", ["4", "430", "43010", "4301022", "hunan", "043"])
async def test_what_is_no_area_has_no_rules(workers: Harness, area: str) -> None:
    assert fields(await put(workers, area, {})) == ["area"]


@pytest.mark.parametrize("role", ["worker", "employer", "clerk", "agency"])
async def test_only_operators_set_rules(workers: Harness, role: Any) -> None:
    body = {"changes": {}, "replaces": 0, "reason": "why not"}
    answer = await workers.http.put("/rules/43", json=body, headers=workers.as_(role))
    assert answer.status_code == 403


@pytest.mark.feature("F44")
async def test_a_tier_goes_by_the_rules_of_the_day_of_the_check_in(workers: Harness) -> None:
    await register(workers)
    await put(workers, "43", {"categories": {"older-jobseeker": {"tier": 2}}})
    await check_in(workers)
    await put(workers, "43", {"categories": {"older-jobseeker": None}}, replaces=1)
    await check_in(workers)
    await check_in(workers)
    said = await workers.published(WorkerCheckedIn)
    assert [each.profile.tier for each in said] == [2, 0, 0]
    assert [each.profile.tier for each in await workers.published(WorkerChanged)] == [2, 0]
    (worker,) = await workers.all(Worker)
    assert worker.tier_table == "mohrss-2024-84+43.2"


@pytest.mark.feature("F44")
async def test_who_changed_which_rule_when_and_from_what_to_what_is_audited(workers: Harness) -> None:
    """One row for each change that was made, none for one that was refused."""
    first, second = ({"categories": {"older-jobseeker": {"tier": tier}}} for tier in (2, 1))
    since = workers.clock.now + timedelta(days=2)
    assert (await put(workers, "43", first)).status_code == 200
    workers.clock.advance(hours=1)
    assert (await put(workers, "43", second, replaces=1, since=since.isoformat())).status_code == 200
    assert (await put(workers, "43", {}, replaces=1)).status_code == 409
    assert (await put(workers, "43", {"categories": 7}, replaces=2)).status_code == 422
    rows = await workers.runtime.store.db["_audit"].find({"what": "rules set"}, sort=[("_id", 1)]).to_list()
    told = [(row["area"], row["number"], row["replaces"], row["before"], row["changes"]) for row in rows]
    assert told == [("43", 1, 0, {}, first), ("43", 2, 1, first, second)]
    assert [(row["at"], row["since"]) for row in rows] == [
        (workers.clock.now - timedelta(hours=1), workers.clock.now - timedelta(hours=1)),
        (workers.clock.now, since),
    ]
    assert all(row["by"] and row["reason"] for row in rows)
