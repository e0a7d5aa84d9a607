"""A worker's record of work: what they chose, signed, and checked by whoever has the keys (F47)."""

import asyncio
import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from services.rights.record import SIGNING
from services.rights.store import Ability, WorkRecord
from shared.contracts.record import EXAMPLES
from shared.contracts.workers import WorkerChanged, WorkerRegistered
from shared.credential import UNKNOWN_KEY, Checked, check, signed
from shared.signing import KeyRing
from shared.testing import Harness
from tests.service.rights.placements import DISTRICT, EMPLOYER, MORNING, WORKER, placement_made
from tests.service.rights.test_pay import post as post_pay
from tests.service.rights.test_pay import work
from tests.service.rights.test_timesheets import CLAIM
from tests.service.rights.test_timesheets import post as post_sheet

pytestmark = pytest.mark.feature("F47")

Body = dict[str, Any]
TODAY: Body = {"first_day": "2026-11-23", "last_day": "2026-11-23"}
DID = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"


async def worked(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)


async def ask(rights: Harness, who: str = WORKER, **form: Any) -> httpx.Response:
    return await rights.http.post("/records", json=TODAY | form, headers=rights.as_("worker", who))


async def issued(rights: Harness, **form: Any) -> Body:
    answer = await ask(rights, **form)
    assert answer.status_code == 201, answer.text
    found: Body = answer.json()
    return found


async def keys(rights: Harness) -> Body:
    answer = await rights.http.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    found: Body = answer.json()
    return found


async def checked(rights: Harness, record: str) -> Checked:
    return check(record, await keys(rights), rights.clock.now)


async def said(rights: Harness, **form: Any) -> Body:
    found = await checked(rights, (await issued(rights, **form))["record"])
    assert found.faults == []
    assert found.credential
    return found.credential


async def status(rights: Harness, record_id: str) -> str:
    answer = await rights.http.get(f"/records/{record_id}/status")
    return str(answer.json()["status"])


# --- what it says ----------------------------------------------------------------------------------------------------


async def test_it_says_what_was_worked_and_is_a_credential_of_the_standard(rights: Harness) -> None:
    await worked(rights)
    given = await issued(rights)
    credential = await said(rights)
    assert credential["@context"][0] == "https://www.w3.org/ns/credentials/v2"
    assert credential["type"] == ["VerifiableCredential", "WorkRecord"]
    assert credential["issuer"] == "https://kuaizhao.local"
    assert (credential["validFrom"], credential["validUntil"]) == ("2026-11-23T08:00:00Z", "2027-11-23T08:00:00Z")
    assert credential["credentialSubject"] == {
        "id": f"https://kuaizhao.local/workers/{WORKER}",
        "form": "kuaizhao-work-record/1",
        "firstDay": "2026-11-23",
        "lastDay": "2026-11-23",
        "totalMinutes": 480,
        "shifts": [
            {
                "employer": {"id": EMPLOYER, "name": "长沙示例仓储有限公司"},
                "work": "包裹分拣",
                "occupation": "6-02-06-12",
                "district": DISTRICT,
                "start": "2026-11-23T00:00:00Z",
                "end": "2026-11-23T08:00:00Z",
                "minutes": 480,
                "minutesBy": None,
            }
        ],
    }
    assert given["shifts"] == 1


async def test_pay_is_in_it_only_when_the_worker_wants_it(rights: Harness) -> None:
    await worked(rights)
    assert "pay" not in json.dumps((await said(rights))["credentialSubject"])
    [shift] = (await said(rights, include=["pay"]))["credentialSubject"]["shifts"]
    assert shift["pay"] == {"amountFen": 16_000, "confirmed": False}
    await post_pay(rights, "confirm")
    await post_sheet(rights, "approve")
    [shift] = (await said(rights, include=["pay"]))["credentialSubject"]["shifts"]
    assert shift["pay"] == {"amountFen": 16_000, "confirmed": True}
    assert shift["minutesBy"] == "employer"


async def test_the_period_is_whole_local_days(rights: Harness) -> None:
    late = MORNING + timedelta(hours=17, minutes=30)  # 23:30 to 03:30
    await rights.receives(placement_made(), placement_made("placement-2", start=late, hours=4))
    await work(rights)
    rights.clock.now = late
    headers = rights.as_("worker", WORKER)
    assert (await rights.http.post("/shifts/placement-2/start", headers=headers)).status_code == 200
    await rights.later(hours=4)

    async def minutes(first: str, last: str) -> list[int]:
        subject = (await said(rights, first_day=first, last_day=last))["credentialSubject"]
        return [shift["minutes"] for shift in subject["shifts"]]

    assert await minutes("2026-11-23", "2026-11-23") == [480, 240]
    assert await minutes("2026-01-01", "2026-12-31") == [480, 240]
    for first, last in (("2026-11-24", "2026-11-30"), ("2026-11-01", "2026-11-22")):
        answer = await ask(rights, first_day=first, last_day=last)
        assert (answer.status_code, answer.json()["code"]) == (409, "nothing-to-record")


async def test_what_the_registry_vouches_for_and_the_average_are_in_it_when_wanted(rights: Harness) -> None:
    example = json.loads((EXAMPLES / "workers.worker-registered.v1.json").read_text("utf-8"))
    registered = WorkerRegistered.model_validate(example | {"worker_id": WORKER})
    profile = registered.profile.model_copy(update={"skills": ("sorting",), "certificates": ("forklift",)})
    await rights.receives(registered.model_copy(update={"profile": profile}))
    for n in (1, 2, 3):
        await rights.receives(placement_made(f"placement-{n}", start=MORNING + timedelta(hours=2)))
        await work(rights, 480, f"placement-{n}")
        for of, who, points in (("worker", EMPLOYER, 5 if n < 3 else 4), ("employer", WORKER, 3)):
            rater = rights.as_("worker" if of == "employer" else "employer", who)
            path = f"/ratings/placement-{n}/of-{of}"
            assert (await rights.http.post(path, json={"points": points}, headers=rater)).status_code == 201
    bare = (await said(rights))["credentialSubject"]
    assert not {"skills", "certificates", "ratings"} & bare.keys()
    full = (await said(rights, include=["skills", "certificates", "ratings"]))["credentialSubject"]
    assert (full["skills"], full["certificates"]) == (["sorting"], ["forklift"])
    assert full["ratings"] == {"averageHundredths": 467, "ratings": 3, "days": 365}


async def test_of_a_profile_the_newest_revision_counts_in_whatever_order_it_comes(rights: Harness) -> None:
    example = json.loads((EXAMPLES / "workers.worker-changed.v1.json").read_text("utf-8"))

    def changed(revision: int, *skills: str) -> WorkerChanged:
        event = WorkerChanged.model_validate(example)
        profile = event.profile.model_copy(update={"skills": skills, "revision": revision})
        return event.model_copy(update={"profile": profile})

    for event in (changed(2, "cooking"), changed(1, "sorting"), changed(2, "cooking"), changed(3)):
        await rights.receives(event)
    [known] = await rights.all(Ability)
    assert (known.skills, known.revision) == ((), 3)


async def test_a_key_of_the_workers_own_stands_in_place_of_the_account(rights: Harness) -> None:
    await worked(rights)
    credential = await said(rights, holder=DID)
    assert credential["credentialSubject"]["id"] == DID
    assert WORKER not in json.dumps(credential)


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"last_day": "2026-11-22"}, "last_day"),
        ({"first_day": "yesterday"}, "first_day"),
        ({"first_day": "0001-01-01"}, "first_day"),
        ({"last_day": "9999-12-31"}, "last_day"),
        ({"include": ["name"]}, "include.0"),
        ({"holder": "did:web:example.org"}, "holder"),
        ({"name": "somebody"}, "name"),
    ],
)
async def test_a_form_that_is_wrong_names_its_field(rights: Harness, form: Body, field: str) -> None:
    await worked(rights)
    answer = await ask(rights, **form)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await rights.all(WorkRecord) == []


async def test_only_a_worker_has_one_and_only_of_their_own_work(rights: Harness) -> None:
    await worked(rights)
    for role in ("employer", "clerk", "operator", "agency"):
        answer = await rights.http.post("/records", json=TODAY, headers=rights.as_(role, EMPLOYER))
        assert answer.status_code == 403
    assert (await rights.http.post("/records", json=TODAY)).status_code == 401
    assert (await ask(rights, who="worker-2")).status_code == 409


# --- whether it holds ------------------------------------------------------------------------------------------------


def changes(value: Any) -> Iterator[Any]:
    """The value with each of its leaves changed in turn, and each of its members taken away."""
    match value:
        case dict():
            for name, part in value.items():
                yield {other: kept for other, kept in value.items() if other != name}
                for changed in changes(part):
                    yield value | {name: changed}
        case list():
            yield [*value, "more"]
            for n, part in enumerate(value):
                yield [*value[:n], *value[n + 1 :]]
                for changed in changes(part):
                    yield [*value[:n], changed, *value[n + 1 :]]
        case bool():
            yield not value
        case int():
            yield value + 1
        case str():
            yield value + "0"
        case None:
            yield "employer"


async def test_a_change_to_any_field_is_found(rights: Harness) -> None:
    await worked(rights)
    given = await issued(rights, include=["pay", "ratings", "skills"])
    published, now = await keys(rights), rights.clock.now
    whole = check(given["record"], published, now).credential
    assert whole
    header, _, signature = given["record"].split(".")
    ring = await rights.get(KeyRing, "signing")
    assert ring
    other = await SIGNING.key(rights.reading(), rights.app.state.sealer)
    tried = 0
    for changed in changes(deepcopy(whole)):
        body = signed(changed, other).split(".")[1]
        assert check(f"{header}.{body}.{signature}", published, now).credential is None
        tried += 1
    assert tried > 40
    assert check(signed(whole, other), published, now).faults == []  # the test's own writing is not what is found


async def test_a_record_outlives_its_key_and_a_foreign_market_does_not_know_it(rights: Harness) -> None:
    await worked(rights)
    record = (await issued(rights))["record"]
    first = await keys(rights)
    for _ in range(3):
        rights.clock.advance(days=90, minutes=6)
        await asyncio.gather(*(SIGNING.prepare(rights.runtime) for _ in range(4)))
    later = await keys(rights)
    assert len(later["keys"]) == 5
    assert all("d" not in key for key in later["keys"])
    assert [key["exp"] for key in later["keys"][:-1]] == [key["nbf"] for key in later["keys"][1:]]
    assert (await checked(rights, record)).faults == []
    ring = await rights.get(KeyRing, "signing")
    assert ring
    assert [key.private is None for key in ring.keys] == [True, True, True, False, False]
    strange = {"keys": [key for key in later["keys"] if key["kid"] not in {old["kid"] for old in first["keys"]}]}
    assert [found.text for found in check(record, strange, rights.clock.now).faults] == [UNKNOWN_KEY]


async def test_after_a_year_it_is_expired_offline_and_online(rights: Harness) -> None:
    await worked(rights)
    given = await issued(rights)
    rights.clock.advance(days=365, seconds=-1)
    assert (await checked(rights, given["record"])).faults == []
    assert await status(rights, given["record_id"]) == "valid"
    rights.clock.advance(seconds=1)
    [fault] = (await checked(rights, given["record"])).faults
    assert fault.text.say("en", fault.facts) == "it was valid until 2027-11-23T08:00:00Z; a new one can be had"
    assert await status(rights, given["record_id"]) == "expired"


async def test_minutes_that_are_settled_otherwise_revoke_the_records_that_hold_them(rights: Harness) -> None:
    await rights.receives(placement_made(), placement_made("placement-2", start=MORNING + timedelta(days=1, hours=2)))
    await work(rights)
    before = await issued(rights)
    await post_sheet(rights, "dispute", CLAIM)
    assert await status(rights, before["record_id"]) == "valid"
    rights.clock.now = MORNING + timedelta(days=1, hours=2)
    headers = rights.as_("worker", WORKER)
    await rights.http.post("/shifts/placement-2/start", headers=headers)
    rights.clock.advance(hours=1)
    await rights.http.post("/shifts/placement-2/end", headers=headers)
    other = await issued(rights, first_day="2026-11-24", last_day="2026-11-24")
    await post_sheet(rights, "agree")
    assert await status(rights, before["record_id"]) == "revoked"
    assert await status(rights, other["record_id"]) == "valid"
    [shift] = (await said(rights))["credentialSubject"]["shifts"]
    assert (shift["minutes"], shift["minutesBy"]) == (420, "worker")


async def test_a_dispute_that_ends_as_recorded_revokes_nothing(rights: Harness) -> None:
    await worked(rights)
    given = await issued(rights)
    await post_sheet(rights, "dispute", CLAIM)
    await post_sheet(rights, "decide", {"minutes": 480, "grounds": "现场签到记录完整"})
    assert await status(rights, given["record_id"]) == "valid"


async def test_what_was_given_out_is_remembered_by_its_hash_alone(rights: Harness) -> None:
    await worked(rights)
    first, second = await issued(rights), await issued(rights, include=["pay"])
    listed = (await rights.http.get("/records", headers=rights.as_("worker", WORKER))).json()
    assert [item["record_id"] for item in listed["items"]] == [second["record_id"], first["record_id"]]
    assert "record" not in listed["items"][0]
    page = (await rights.http.get("/records", params={"limit": 1}, headers=rights.as_("worker", WORKER))).json()
    rest = {"limit": 1, "after": page["next"]}
    page = (await rights.http.get("/records", params=rest, headers=rights.as_("worker", WORKER))).json()
    assert [item["sha256"] for item in page["items"]] == [first["sha256"]]
    kept = str(await rights.runtime.store.db["work_records"].find({}).to_list())
    assert first["record"].split(".")[1][:40] not in kept
    assert (await rights.http.get("/records", headers=rights.as_("worker", "worker-2"))).json()["items"] == []
    assert (await rights.http.get("/records/of-nobody/status")).status_code == 404
    answer = await rights.http.get(f"/records/{first['record_id']}/status")
    assert WORKER not in answer.text


async def test_a_command_that_is_sent_again_gives_the_same_record(rights: Harness) -> None:
    await worked(rights)
    headers = rights.as_("worker", WORKER, idempotency_key="one")
    answers = [await rights.http.post("/records", json=TODAY, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert len(await rights.all(WorkRecord)) == 1


# --- as people read it -----------------------------------------------------------------------------------------------


async def document(rights: Harness, record: str, **query: str) -> httpx.Response:
    headers = rights.as_("employer", "employer-9", idempotency_key="read")
    return await rights.http.post("/records/document", json={"record": record}, params=query, headers=headers)


async def test_it_is_read_as_a_page_and_as_a_pdf_in_either_language(rights: Harness) -> None:
    await worked(rights)
    await post_pay(rights, "confirm")
    given = await issued(rights, include=["pay"])
    page = await document(rights, given["record"], lang="zh")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for text in (
        "工作经历证明",
        "长沙示例仓储有限公司",
        "8 小时 0 分钟，共 1 班",
        "报酬 160.00 元，已收到",
        given["sha256"],
    ):
        assert text in page.text
    page = await document(rights, given["record"])
    for text in ("Record of work", "8 h 0 min, 1 shifts", "¥160.00, received", "2026-11-23 08:00 – 2026-11-23 16:00"):
        assert text in page.text
    assert "Not a valid record" not in page.text
    pdf = await document(rights, given["record"], format="pdf", lang="zh")
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF-")
    assert f"record-{given['sha256'][:12]}.pdf" in pdf.headers["content-disposition"]


async def test_one_that_holds_no_more_says_so_over_all(rights: Harness) -> None:
    await worked(rights)
    given = await issued(rights)
    rights.clock.now = datetime.fromisoformat("2027-12-01T00:00:00+08:00")
    page = await document(rights, given["record"])
    assert "Not a valid record: it was valid until 2027-11-23T08:00:00Z" in page.text


async def test_what_the_market_did_not_sign_is_not_shown(rights: Harness) -> None:
    await worked(rights)
    record = (await issued(rights))["record"]
    for text in (record[:-2], f"{record[:40]}A{record[41:]}", "{0}", "x"):
        answer = await document(rights, text)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["record"]
    unsigned = await rights.http.post("/records/document", json={"record": record})
    assert unsigned.status_code == 401
