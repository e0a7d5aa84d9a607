"""An account is erased: notify forgets how to reach the person and what it told them, and tells them nothing more."""

import pytest

from services.notify.personal import PERSONAL
from services.notify.store import Message
from shared.contracts.identity import AccountErased
from shared.contracts.matching import OfferMade, PlacementMade
from shared.contracts.workers import WorkerCheckedIn
from shared.testing import Harness
from tests.service.notify.story import EMPLOYER, PHONE, WORKER, prefer, reach, said

pytestmark = pytest.mark.feature("F37")


async def known(notify: Harness) -> None:
    await reach(notify)
    await reach(notify, EMPLOYER, "+8619900000009")
    await prefer(notify, order=["sms"])
    await notify.receives(said(OfferMade), said(PlacementMade), said(WorkerCheckedIn, worker_id=WORKER))


async def held(notify: Harness, person: str) -> dict[str, int]:
    unit = notify.reading()
    return {each.kind.collection: await unit.count(each.kind, each.about(person)) for each in PERSONAL}


async def test_nothing_of_the_person_is_left_and_nothing_comes_back(notify: Harness) -> None:
    await known(notify)
    before = await held(notify, WORKER)
    assert all(before[name] for name in ("contacts", "preferences", "mailboxes", "messages", "deliveries", "presences"))
    others = await held(notify, EMPLOYER)
    erased = AccountErased(account_id=WORKER, role="worker", at=notify.clock.now)
    await notify.receives(erased)
    assert not any((await held(notify, WORKER)).values())
    assert await held(notify, EMPLOYER) == others
    await notify.receives(said(OfferMade), said(PlacementMade), said(WorkerCheckedIn, worker_id=WORKER), erased)
    assert not any((await held(notify, WORKER)).values())
    assert {message.person_id for message in await notify.all(Message)} == {EMPLOYER}
    form = {"channel": "sms", "address": PHONE, "language": "zh", "consent": True}
    refused = await notify.http.put("/contact", json=form, headers=notify.as_("worker", WORKER))
    assert (refused.status_code, refused.json()["code"]) == (401, "account-erased")


async def test_an_export_has_addresses_and_messages(notify: Harness) -> None:
    await known(notify)
    mine = (await notify.http.get("/me/export", headers=notify.as_("worker", WORKER))).json()["collections"]
    assert mine["contacts"][0]["points"][0]["sealed"] == PHONE
    assert len(mine["messages"]) == 2
