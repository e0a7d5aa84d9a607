"""The knowledge base over HTTP: what a worker should know of their rights, for everybody, in their language."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from services.rights.clocks import CaseKind
from services.rights.knowledge import ARTICLES, Article, search
from shared.http import UnitRoute, language_of
from shared.problems import Missing, Text

routes = APIRouter(route_class=UnitRoute)

ARTICLE = Text("article", "文章")


class ArticleTitle(BaseModel):
    """`cases` are the kinds of case that it is about."""

    article_id: str
    version: int
    title: str
    cases: tuple[CaseKind, ...]


class SourceView(BaseModel):
    """`verified`: the article of the act was read in a text of it, not only remembered; never the gazette."""

    act: str
    article: str
    verified: bool


class ArticleView(ArticleTitle):
    """`text` has a fact a line. An act is named by its exact title, with one in English for who reads English."""

    text: str
    sources: list[SourceView]


@routes.get("/articles")
async def list_articles(
    request: Request,
    q: Annotated[str, Query(max_length=60, description="words, each of which stands in the article")] = "",
    kind: Annotated[CaseKind | None, Query(description="only those about such a case")] = None,
) -> list[ArticleTitle]:
    """Articles that have all words of `q`, in either language; those with them in the title first. Public."""
    return [_title(article, request) for article in search(q, kind)]


@routes.get("/articles/{article_id}")
async def read_article(article_id: str, request: Request) -> ArticleView:
    """One article whole, in the language that `Accept-Language` prefers, with what it goes by. Public."""
    article = ARTICLES.get(article_id)
    if article is None:
        raise Missing(ARTICLE)
    chinese = language_of(request) == "zh"
    sources = [
        SourceView(
            act=source.act if chinese else f"{source.en} ({source.act})",
            article=source.article,
            verified=source.verified,
        )
        for source in article.sources
    ]
    text = article.in_("zh" if chinese else "en").text
    return ArticleView(text=text, sources=sources, **_title(article, request).model_dump())


def _title(article: Article, request: Request) -> ArticleTitle:
    title = article.in_("zh" if language_of(request) == "zh" else "en").title
    return ArticleTitle(article_id=article.id, version=article.version, title=title, cases=article.cases)
