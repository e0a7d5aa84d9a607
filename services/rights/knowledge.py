"""Short articles on rights (knowledge.yaml): checked when they are read, searched, and each new version said once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from services.rights.clocks import CaseKind
from services.rights.store import PublishedArticle
from shared.contracts.rights import ArticlePublished
from shared.contracts.terms import Code
from shared.search import plain_text, words_of
from shared.service import Runtime
from shared.unit import Unit


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Writing(_Data):
    """An article in one language; `text` has a fact a line."""

    title: str = Field(min_length=2, max_length=80)
    text: str = Field(min_length=20)


class Source(_Data):
    """What an article goes by: the act's exact title, its name in English, and the articles of it."""

    act: str
    en: str
    article: str
    verified: bool


class Article(_Data):
    """knowledge.yaml says what each field means."""

    id: Code
    version: int = Field(ge=1)
    cases: tuple[CaseKind, ...] = Field(min_length=1)
    zh: Writing
    en: Writing
    sources: tuple[Source, ...] = Field(min_length=1)

    def in_(self, language: Literal["zh", "en"]) -> Writing:
        return self.zh if language == "zh" else self.en

    @property
    def titles(self) -> str:
        return plain_text(f"{self.zh.title}\n{self.en.title}")

    @property
    def whole(self) -> str:
        acts = "\n".join(f"{source.act}\n{source.en}" for source in self.sources)
        return f"{self.titles}\n{plain_text(f'{self.zh.text}{self.en.text}{acts}')}"


def read(text: str) -> Mapping[str, Article]:
    """Articles by id, in their order. Raises ValueError for one that is not whole, or an id that comes twice."""
    articles = TypeAdapter(list[Article]).validate_python(yaml.safe_load(text))
    found = {article.id: article for article in articles}
    if len(found) != len(articles):
        raise ValueError("two articles have one id")
    return found


ARTICLES = read((Path(__file__).parent / "knowledge.yaml").read_text("utf-8"))


def search(query: str, kind: CaseKind | None = None) -> list[Article]:
    """Articles that have every word of the query, in either language, those with all in the title first."""
    words = words_of(query)
    found = [
        article
        for article in ARTICLES.values()
        if (kind is None or kind in article.cases) and all(word in article.whole for word in words)
    ]
    return sorted(found, key=lambda article: not all(word in article.titles for word in words))


def for_case(kind: CaseKind) -> list[str]:
    """The articles that a case of a kind points to, by id."""
    return [article.id for article in ARTICLES.values() if kind in article.cases]


async def publish(unit: Unit) -> None:
    """Say each article whose version is newer than what was said before; of processes that start together one does."""
    await unit.load(PublishedArticle, ARTICLES)
    for article in ARTICLES.values():
        known = await unit.get(PublishedArticle, article.id)
        if known and known.number >= article.version:
            continue
        known = known or PublishedArticle(id=article.id, number=0, published_at=unit.now)
        known.number, known.published_at = article.version, unit.now
        unit.save(known)
        unit.publish(
            ArticlePublished(
                article_id=article.id,
                number=article.version,
                title_zh=article.zh.title,
                title_en=article.en.title,
                cases=article.cases,
                at=unit.now,
            )
        )


async def publish_new(runtime: Runtime) -> None:
    """When the service has its database. A process of an older release finds newer versions said, and says nothing."""
    await runtime.store.transact(publish)
