"""Contact points: with consent, sealed, masked, and gone when they are withdrawn."""

import pytest

from services.notify.store import Contact, Delivery
from shared.contracts.matching import OfferMade
from shared.testing import Harness
from tests.service.notify.story import PHONE, WORKER, reach, said

FORM = {"channel": "sms", "address": PHONE, "language": "zh", "consent": True}


async def test_a_contact_point_is_sealed_and_shown_masked(notify: Harness) -> None:
    headers = notify.as_("worker", WORKER)
    assert (await notify.http.get("/contact", headers=headers)).status_code == 404
    await reach(notify)
    read = (await notify.http.get("/contact", headers=headers)).json()
    assert (read["channel"], read["address"], read["language"]) == ("sms", "+86199****0001", "zh")
    row = await notify.runtime.store.db["contacts"].find_one({})
    assert row
    assert PHONE[-8:] not in repr(row)
    assert PHONE[-8:].encode() not in row["points"][0]["sealed"]


async def test_a_new_contact_point_takes_the_place_of_the_old(notify: Harness) -> None:
    await reach(notify)
    await reach(notify, address="+8619900000002", language="en")
    [contact] = await notify.all(Contact)
    assert contact.language == "en"
    read = (await notify.http.get("/contact", headers=notify.as_("worker", WORKER))).json()
    assert read["address"] == "+86199****0002"


async def test_two_people_with_one_phone_have_one_blind_index_and_two_seals(notify: Harness) -> None:
    await reach(notify, "worker-1")
    await reach(notify, "worker-2")
    one, two = await notify.all(Contact)
    assert one.points[0].blind == two.points[0].blind
    assert one.points[0].sealed != two.points[0].sealed


async def test_whoever_withdraws_is_written_to_no_more(notify: Harness) -> None:
    headers = notify.as_("worker", WORKER)
    await reach(notify)
    assert (await notify.http.delete("/contact", headers=headers)).status_code == 204
    assert (await notify.http.delete("/contact", headers=headers)).status_code == 204
    await notify.receives(said(OfferMade))
    assert await notify.all(Delivery) == []
    assert (await notify.http.get("/contact", headers=headers)).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"address": "19900000001"}, "address"),
        ({"address": "+86 199 0000 0001"}, "address"),
        ({"address": "+86"}, "address"),
        ({"channel": "pigeon"}, "channel"),
        ({"language": "fr"}, "language"),
        ({"consent": False}, "consent"),
        ({"fax": "1"}, "fax"),
    ],
)
async def test_a_wrong_field_is_named(notify: Harness, change: dict[str, object], field: str) -> None:
    answer = await notify.http.put("/contact", json=FORM | change, headers=notify.as_("worker", WORKER))
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    assert PHONE[-8:] not in answer.text


async def test_consent_is_asked_for_in_the_callers_language(notify: Harness) -> None:
    headers = notify.as_("worker", WORKER, accept_language="zh")
    answer = await notify.http.put("/contact", json=FORM | {"consent": False}, headers=headers)
    assert answer.json()["errors"] == [{"field": "consent", "detail": "须为 true：未经同意不得发送消息"}]


async def test_a_contact_point_is_not_for_strangers(notify: Harness) -> None:
    assert (await notify.http.put("/contact", json=FORM)).status_code == 401
    assert (await notify.http.get("/contact")).status_code == 401
