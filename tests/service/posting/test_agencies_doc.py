"""What docs/agencies.md shows works as it is written there."""

import json
import re
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from deploy.agencies import INBOUND, gate
from deploy.agencies.access import BYTES_IN, BYTES_OUT
from services.posting import turns
from services.posting.store import RULES, Gig
from shared.contracts.agencies import GigOffered
from shared.contracts.posting import FeedAnswered
from shared.http import BODY_BYTES
from shared.rules import COUNTRY
from shared.testing import Harness
from tests.architecture.source import ROOT
from tests.service.posting.market import code, verified

TEXT = (ROOT / "docs" / "agencies.md").read_text("utf-8")
AGENCY = "01a199d7-9100-7c2a-8f10-3f1d2a7b9c55"


def shown(kind: str) -> list[str]:
    return re.findall(rf"(?ms)^```{kind}\n(.*?)^```", TEXT)


@pytest.mark.feature("F12")
async def test_what_the_document_shows_is_done(posting: Harness) -> None:
    await verified(posting, "e1", credit_code=code(0))
    callers = [posting.as_("operator"), posting.as_("employer", "e1")]
    for request, headers in zip(shown("http"), callers, strict=True):
        line, _, body = request.strip().partition("\n")
        method, path = line.split()
        answer = await posting.http.request(
            method, path.removeprefix("/api/posting"), headers=headers, json=json.loads(body) if body else None
        )
        assert answer.status_code == 200, answer.text

    async def send(body: str, kind: str) -> dict[str, Any]:
        headers = posting.as_("agency", AGENCY, content_type=kind)
        answer = await posting.http.post("/gigs/bulk", content=body.encode(), headers=headers)
        assert answer.status_code == 200, answer.text
        report: dict[str, Any] = answer.json()
        return report

    (sheet,), (lines,), (report,), (event,) = shown("csv"), shown("json"), shown("json report"), shown("json event")
    first = await send(sheet, "text/csv")
    assert first["outcomes"] == json.loads(report)["outcomes"]
    assert first["rows"][0] | {"gig_id": "…"} == json.loads(report)["rows"][0]
    second = await send(lines, "application/x-ndjson")
    assert [row["outcome"] for row in second["rows"]] == ["posted", "closed"]
    sent = ConsumerRecord(INBOUND + AGENCY, 0, 0, 0, 0, None, event.encode(), None, 0, 0, [])
    await posting.receives(GigOffered.model_validate_json(gate.passed_on(sent)[2]))
    await posting.later()
    assert [answer.outcome for answer in await posting.published(FeedAnswered)] == ["posted"]
    assert {gig.origin for gig in await posting.all(Gig)} == {f"{AGENCY}/2026-1123-{n:03d}" for n in (7, 8, 9, 10)}


def test_the_figures_it_names_are_those_in_force() -> None:
    rules, text = RULES.shipped(COUNTRY), TEXT.replace("\n", " ")
    assert f"{rules.max_file_rows} rows" in text
    assert f"A line holds {rules.max_offers_waiting} posts" in text
    assert f"takes up to {turns.POSTS_OF_A_TURN} from each line" in text
    assert f"{BYTES_IN // 1024} KB/s in, {BYTES_OUT // 1024**2} MB/s out" in text
    assert BODY_BYTES == 1024 * 1024
    assert "1 MiB" in TEXT
