"""From the employer's office to the message on the worker's phone, through the real gateway."""

from pathlib import Path

import httpx
import pytest

from deploy.local.stack import Stack
from tests.chaos.checker import judge_log
from tests.chaos.history import History
from tests.chaos.image import take
from tests.e2e.journey import EDGES, Story, missing_edges
from tests.e2e.smoke import walk

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_parcel_sorter_is_hired_and_told_in_one_trace(whole_market: Stack, tmp_path: Path) -> None:
    market = whole_market
    story = Story(market.gateway, market.url("web"), market.operator_password)
    async with story.open():
        _, services, spans = await walk(story)
    assert services == 7
    assert spans > len(EDGES)
    image = await take(market.mongo_url, market.kafka, History(tmp_path / "history.jsonl"))
    assert judge_log(image).findings == []
    assert [said.subject for said in image.of("placement-made")].count(story.placement_id) == 1
    for kept in ("agreements", "covers", "shifts"):
        assert story.placement_id in image.databases["rights"][kept]
    told = [
        id for id in image.databases["notify"]["messages"] if id.startswith(f"placement-made:{story.placement_id}:")
    ]
    assert len(told) == 2


async def test_a_trace_with_a_gap_is_seen() -> None:
    spans = [{"span_id": service, "parent": "", "service": service} for service in ("gateway", "posting", "matching")]
    assert ("gateway", "posting") in missing_edges({"spans": spans})
    spans[1]["parent"] = "gateway"
    assert ("gateway", "posting") not in missing_edges({"spans": spans})


async def test_the_gateway_lets_nobody_in_without_a_token_and_says_so_in_their_language(whole_market: Stack) -> None:
    async with httpx.AsyncClient(base_url=whole_market.gateway) as http:
        answer = await http.get("/api/matching/offers")
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        board = await http.get("/api/matching/board")
        assert board.status_code == 200
        for hidden in ("/otlp/v1/traces", "/sms", "/api/matching/../../metrics"):
            assert (await http.get(hidden)).status_code in (400, 404)
