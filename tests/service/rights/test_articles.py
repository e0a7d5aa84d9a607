"""The knowledge base over HTTP, what a case points to, and that a new version is said once (F10)."""

import asyncio

import pytest

from services.rights import knowledge
from services.rights.knowledge import ARTICLES
from services.rights.store import PublishedArticle
from shared.contracts.rights import ArticlePublished
from shared.testing import Harness
from tests.service.rights.placements import DISTRICT, WORKER

pytestmark = pytest.mark.feature("F10")


async def said(rights: Harness) -> list[tuple[str, int]]:
    return [(each.article_id, each.number) for each in await rights.published(ArticlePublished)]


async def test_anybody_lists_searches_and_reads_in_their_language(rights: Harness) -> None:
    listed = (await rights.http.get("/articles")).json()
    assert [item["article_id"] for item in listed] == list(ARTICLES)
    found = (await rights.http.get("/articles", params={"q": "押金"}, headers={"accept-language": "zh"})).json()
    assert found[0]["title"] == "不交押金，不扣证件"
    english = (await rights.http.get("/articles", params={"q": "押金"})).json()
    assert english[0]["title"] == "No deposits, and your papers stay with you"
    only = (await rights.http.get("/articles", params={"kind": "injury"})).json()
    assert all("injury" in item["cases"] for item in only)
    one = (await rights.http.get("/articles/heat", headers={"accept-language": "zh"})).json()
    assert one["sources"][0]["act"] == "防暑降温措施管理办法（安监总安健〔2012〕89号）"
    assert "40℃" in one["text"]
    one = (await rights.http.get("/articles/heat")).json()
    assert one["sources"][0]["act"].startswith("Measures for the Prevention of Heatstroke (防暑")
    assert (await rights.http.get("/articles/none")).status_code == 404
    assert (await rights.http.get("/articles", params={"kind": "gossip"})).status_code == 422
    assert (await rights.http.get("/articles", params={"q": "x" * 61})).status_code == 422


async def test_a_case_points_to_the_articles_about_it(rights: Harness) -> None:
    form = {"kind": "fee-charged", "what_happened": "被要求交押金", "district": DISTRICT}
    case = (await rights.http.post("/cases", json=form, headers=rights.as_("worker", WORKER))).json()
    assert {"no-fees", "deposits-and-documents", "complain"} <= set(case["articles"])
    for article in case["articles"]:
        assert (await rights.http.get(f"/articles/{article}")).status_code == 200


async def test_processes_that_start_together_and_again_say_each_version_once(rights: Harness) -> None:
    await asyncio.gather(*(knowledge.publish_new(rights.runtime) for _ in range(5)))
    await knowledge.publish_new(rights.runtime)
    assert await said(rights) == [(article.id, article.version) for article in ARTICLES.values()]


async def test_a_new_version_is_said_and_an_older_process_says_nothing(
    rights: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await knowledge.publish_new(rights.runtime)
    before = await said(rights)
    heat = ARTICLES["heat"]
    monkeypatch.setattr(knowledge, "ARTICLES", dict(ARTICLES) | {"heat": heat.model_copy(update={"version": 3})})
    await asyncio.gather(*(knowledge.publish_new(rights.runtime) for _ in range(3)))
    assert await said(rights) == [*before, ("heat", 3)]
    monkeypatch.undo()
    await knowledge.publish_new(rights.runtime)  # the older release, restarted in the middle of a rollout
    assert await said(rights) == [*before, ("heat", 3)]
    [known] = [each for each in await rights.all(PublishedArticle) if each.id == "heat"]
    assert known.number == 3
