"""The knowledge base as data: whole in both languages, with its sources, searched by parts of words."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from services.rights import knowledge
from services.rights.clocks import CaseKind
from services.rights.knowledge import ARTICLES, for_case, read, search

pytestmark = pytest.mark.feature("F10")

FILE = Path(knowledge.__file__).with_name("knowledge.yaml")


def ids(query: str, kind: CaseKind | None = None) -> list[str]:
    return [article.id for article in search(query, kind)]


def test_there_are_articles_for_every_kind_of_case() -> None:
    assert len(ARTICLES) >= 15
    for kind in get_args(CaseKind):
        assert len(for_case(kind)) >= 3
        assert "complain" in for_case(kind)


@pytest.mark.parametrize("article", ARTICLES.values(), ids=ARTICLES)
def test_an_article_says_the_same_in_both_languages_and_names_its_sources(article: knowledge.Article) -> None:
    chinese = re.compile("[\u4e00-\u9fff]")
    assert chinese.search(article.zh.title)
    assert not chinese.search(article.en.title + article.en.text)
    facts = [writing.text.strip().splitlines() for writing in (article.zh, article.en)]
    assert len(facts[0]) == len(facts[1]) >= 4
    for source in article.sources:
        assert chinese.search(source.act)
        assert not chinese.search(source.en)
        assert re.fullmatch(r"[0-9]+(, [0-9]+)*|[一二三四五六七八九十]+|全文", source.article)


def test_figures_are_the_same_in_both_languages() -> None:
    """A time limit or temperature that differs between two texts is wrong in one of them."""
    words = {"one": 1, "two": 2, "three": 3, "six": 6, "fifteen": 15, "half": 0, "seventh": 7, "once": 1}
    chinese = {"一": 1, "十五": 15}
    for article in ARTICLES.values():
        zh = {int(figure.replace(",", "")) for figure in re.findall(r"[0-9][0-9,]*", article.zh.text)}
        en = {int(figure.replace(",", "")) for figure in re.findall(r"[0-9][0-9,]*", article.en.text)}
        said = en | {number for word, number in words.items() if re.search(rf"\b{word}\b", article.en.text.lower())}
        assert zh <= said, f"{article.id}: {zh - said}"
        known = zh | {number for word, number in chinese.items() if word in article.zh.text}
        assert en <= known | {17}, f"{article.id}: {en - known}"  # 16 and 17: those from 16 and below 18


def test_words_are_found_as_parts_in_either_language_and_all_of_them_are_needed() -> None:
    assert ids("押金")[0] == "deposits-and-documents"
    assert "no-fees" not in ids("押金 居民身份证法")
    assert ids("ＨＥＡＴ allowance")[0] == "heat"
    assert "mediation-and-arbitration" in ids("仲裁 时效")
    assert ids("高温 仲裁") == []
    assert {"heat", "minimum-wage"} <= set(ids("津"))
    assert ids("") == list(ARTICLES)
    assert ids("", "fee-charged") == for_case("fee-charged")
    assert "heat" not in ids("", "arrears")


def test_every_article_is_found_by_its_title() -> None:
    for article in ARTICLES.values():
        assert ids(article.zh.title)[0] == article.id
        assert ids(article.en.title)[0] == article.id


@pytest.mark.parametrize(
    "change",
    [{"version": 0}, {"cases": []}, {"cases": ["gossip"]}, {"sources": []}, {"zh": {"title": "x"}}, {"more": 1}],
)
def test_an_article_that_is_not_whole_is_refused(change: dict[str, object]) -> None:
    rows = yaml.safe_load(FILE.read_text("utf-8"))
    assert read(yaml.safe_dump(rows))
    with pytest.raises(ValueError, match=next(iter(change))):
        read(yaml.safe_dump([rows[0] | change]))


def test_two_articles_of_one_id_are_refused() -> None:
    rows = yaml.safe_load(FILE.read_text("utf-8"))
    with pytest.raises(ValueError, match="one id"):
        read(yaml.safe_dump([rows[0], rows[0]]))
