"""A new version of an article reaches everybody in a station's group, once each and in their language (F10)."""

import pytest

from services.notify import broadcast
from services.notify.store import Delivery, Member, Message
from shared.contracts.rights import ArticlePublished
from shared.testing import Harness
from shared.unit import Unit
from tests.service.notify.story import messages, reach, said

pytestmark = pytest.mark.feature("F10")

ARTICLE = said(ArticlePublished)


async def join(notify: Harness, *people: tuple[str, str]) -> None:
    async def all_of(unit: Unit) -> None:
        for station, person in people:
            unit.save(Member(id=f"{station}/{person}", station_id=station, person_id=person, at=unit.now))

    await notify.runtime.store.transact(all_of)


async def test_who_is_in_groups_hears_of_an_article_once_and_of_its_next_version_again(notify: Harness) -> None:
    await join(notify, ("430102-a", "w1"), ("430102-b", "w1"), ("430102-b", "w2"))
    await reach(notify, "w1")
    for event in (ARTICLE, ARTICLE):
        await notify.receives(event)
        await notify.later()
    assert sorted(each.person_id for each in await notify.all(Message)) == ["w1", "w2"]
    [one] = await messages(notify, "w1")
    assert one["text"] == f"【权益知识】{ARTICLE.title_zh}"
    [one] = await messages(notify, "w2", accept_language="en")
    assert one["text"] == f"Know your rights: {ARTICLE.title_en}"
    assert one["refs"] == {"article_id": ARTICLE.article_id}
    assert await notify.all(Delivery) == []  # it waits in their list: nobody is rung for it
    await notify.receives(ARTICLE.model_copy(update={"number": ARTICLE.number + 1}))
    await notify.later()
    assert len(await messages(notify, "w1")) == 2


async def test_it_goes_out_in_pages_and_misses_nobody(notify: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "AT_ONCE", 3)
    people = [f"w{number:02}" for number in range(10)]
    await join(notify, *((f"43010{number % 2}-s", person) for number, person in enumerate(people)))
    await notify.receives(ARTICLE)
    await notify.later()
    assert sorted(each.person_id for each in await notify.all(Message)) == people
