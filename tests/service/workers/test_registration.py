"""One worker for one person, whoever asks and however often; and no personal data outside."""

import asyncio
from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest

from services.workers.store import Presence, Worker
from services.workers.tables import CONSENT
from shared.auth import Role
from shared.contracts.workers import WorkerChanged, WorkerRegistered
from shared.sealed import PersonalSealer
from shared.testing import Harness
from tests.service.workers.conftest import DISTRICT, NAME, POSITION, check_in, draft, fields, id_number, register

CLERK = "clerk-1"


async def register_by_clerk(
    workers: Harness, *, districts: Iterable[str] = (DISTRICT,), role: Role = "clerk", **changes: Any
) -> Any:
    headers = workers.as_(role, CLERK, districts=districts)
    return await workers.http.post("/registration", json=draft(**changes), headers=headers)


async def test_a_worker_registers(workers: Harness) -> None:
    answer = await register(workers)
    assert answer.status_code == 201
    assert answer.json() == {"worker_id": "worker-1", "district": DISTRICT, "tier": 1, "minor": False}
    (said,) = await workers.published()
    assert isinstance(said, WorkerRegistered)
    assert said.worker_id == said.key == "worker-1"
    assert said.profile.model_dump() == {
        "skills": ("parcel-sorting",),
        "certificates": (),
        "floor_fen_per_hour": 2000,
        "reach_m": 8000,
        "tier": 1,
        "minor": False,
        "accepts_automatically": False,
        "trades_wanted": (),
        "trades_unwanted": (),
        "only_with_meals": False,
        "only_with_lodging": False,
        "no_night": False,
        "calendar": {"weekly": (), "dates": ()},
        "revision": 0,
    }


async def test_a_short_registration_has_plain_defaults(workers: Harness) -> None:
    body = {name: draft()[name] for name in ("name", "id_number", "district", "consent")}
    answer = await workers.http.post("/registration", json=body, headers=workers.as_("worker", "worker-1"))
    assert (answer.status_code, answer.json()["tier"]) == (201, 0)


# --- once ------------------------------------------------------------------------------------------------------------


async def test_the_same_account_gets_its_registration_again(workers: Harness) -> None:
    await register(workers)
    again = await register(workers, skills=["cooking"], id_number=id_number().lower())
    assert (again.status_code, again.json()["worker_id"]) == (200, "worker-1")
    (worker,) = await workers.all(Worker)
    assert worker.skills == ["parcel-sorting"]
    assert len(await workers.published()) == 1


async def test_a_repeated_key_gets_the_first_answer(workers: Harness) -> None:
    headers = workers.as_("worker", "worker-1", idempotency_key="once")
    first = await workers.http.post("/registration", json=draft(), headers=headers)
    second = await workers.http.post("/registration", json=draft(), headers=headers)
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (201, first.json())


async def test_an_account_keeps_its_identity(workers: Harness) -> None:
    await register(workers)
    answer = await register(workers, id_number=id_number(3))
    assert (answer.status_code, answer.json()["code"]) == (409, "registered-otherwise")


async def test_the_same_person_in_another_district_is_the_same_worker(workers: Harness) -> None:
    await register(workers, "worker-1", district="430102")
    for district in ("430104", "330110"):
        answer = await register(workers, "worker-2", district=district, hardship=[])
        assert (answer.status_code, answer.json()["code"]) == (409, "id-number-taken")
    assert [worker.id for worker in await workers.all(Worker)] == ["worker-1"]


@pytest.mark.feature("F7")
async def test_a_hundred_registrations_of_one_person_at_once_make_one_worker(workers: Harness) -> None:
    districts = ("430102", "430104")
    answers = await asyncio.gather(*(register(workers, f"worker-{n}", district=districts[n % 2]) for n in range(100)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 99
    assert len(await workers.all(Worker)) == 1
    assert len(await workers.published(WorkerRegistered)) == 1


async def test_an_impatient_account_is_one_worker(workers: Harness) -> None:
    answers = await asyncio.gather(*(register(workers) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len(await workers.published()) == 1


async def test_an_identity_number_is_taken_in_either_spelling(workers: Harness) -> None:
    with_x = next(number for number in map(id_number, range(1, 999)) if number.endswith("X"))
    assert (await register(workers, "worker-1", id_number=with_x)).status_code == 201
    assert (await register(workers, "worker-2", id_number=with_x.lower())).status_code == 409


# --- what is refused -------------------------------------------------------------------------------------------------


async def test_under_sixteen_nobody_registers(workers: Harness) -> None:
    tomorrow_16 = id_number(born=date(2010, 11, 24))
    answer = await register(workers, id_number=tomorrow_16, hardship=[])
    assert fields(answer) == ["id_number"]
    assert answer.json()["code"] == "under-age"
    assert "Labour Law, art. 15" in answer.json()["detail"]
    headers = workers.as_("worker", "worker-1", accept_language="zh")
    chinese = await workers.http.post("/registration", json=draft(id_number=tomorrow_16, hardship=[]), headers=headers)
    assert "《劳动法》第十五条" in chinese.json()["detail"]
    workers.clock.advance(days=1)
    assert (await register(workers, id_number=tomorrow_16, hardship=[])).status_code == 201


@pytest.mark.parametrize("missing", ["name", "id_number", "district", "consent"])
async def test_a_missing_field_is_named(workers: Harness, missing: str) -> None:
    body = {name: value for name, value in draft().items() if name != missing}
    answer = await workers.http.post("/registration", json=body, headers=workers.as_("worker", "worker-1"))
    assert fields(answer) == [missing]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"consent": False}, "consent"),
        ({"name": "甲"}, "name"),
        ({"name": "甲1"}, "name"),
        ({"name": "   "}, "name"),
        ({"id_number": "110105194912310021"}, "id_number"),
        ({"id_number": 110105194912310021}, "id_number"),
        ({"district": "4301"}, "district"),
        ({"skills": ["a", "a"]}, "skills"),
        ({"skills": ["Not A Code"]}, "skills.0"),
        ({"certificates": ["health", "health"]}, "certificates"),
        ({"certificates": [{"code": "health", "valid_until": "soon"}]}, "certificates.0.valid_until"),
        ({"certificates": [{"code": "health", "valid_until": "2026-11-22"}]}, "certificates.0.valid_until"),
        ({"certificates": [{"code": "health", "valid_until": "9999-12-31"}]}, "certificates.0.valid_until"),
        ({"floor_fen_per_hour": -1}, "floor_fen_per_hour"),
        ({"reach_m": 99}, "reach_m"),
        ({"hardship": ["unlucky"]}, "hardship"),
        ({"hardship": ["older-jobseeker"], "id_number": id_number(born=date(1977, 1, 1))}, "hardship"),
        ({"age": 30}, "age"),
    ],
)
async def test_what_is_wrong_is_named_in_both_languages(workers: Harness, change: dict[str, Any], field: str) -> None:
    answer = await register(workers, **change)
    assert fields(answer) == [field]
    headers = workers.as_("worker", "worker-1", accept_language="zh-CN")
    chinese = await workers.http.post("/registration", json=draft(**change), headers=headers)
    assert chinese.json()["errors"][0]["detail"] != answer.json()["errors"][0]["detail"]
    for said in (answer.text, chinese.text):
        assert id_number() not in said
        assert NAME not in said
    assert await workers.all(Worker) == []


async def test_a_certificate_is_good_through_its_last_day(workers: Harness) -> None:
    today = [{"code": "health", "valid_until": "2026-11-23"}]
    assert (await register(workers, certificates=today)).status_code == 201


@pytest.mark.parametrize("role", ["employer", "agency"])
async def test_other_roles_cannot_register_anyone(workers: Harness, role: Role) -> None:
    answer = await workers.http.post("/registration", json=draft(), headers=workers.as_(role))
    assert answer.status_code == 403
    assert (await workers.http.post("/registration", json=draft())).status_code == 401


async def test_a_worker_registers_nobody_else(workers: Harness) -> None:
    assert (await register(workers, account_id="worker-2")).status_code == 403
    assert (await register(workers, account_id="worker-1")).status_code == 201


# --- at the counter --------------------------------------------------------------------------------------------------


async def test_a_clerk_registers_a_person_and_the_consent_says_so(workers: Harness) -> None:
    answer = await register_by_clerk(workers, account_id="worker-7")
    assert (answer.status_code, answer.json()["worker_id"]) == (201, "worker-7")
    (worker,) = await workers.all(Worker)
    assert worker.consent.model_dump() == {
        "version": CONSENT.version,
        "at": workers.clock.now,
        "clerk_id": CLERK,
    }
    mine = await workers.http.get("/me", headers=workers.as_("worker", "worker-7"))
    assert mine.json()["consent"]["before_clerk"] is True


async def test_a_clerk_names_the_person(workers: Harness) -> None:
    assert fields(await register_by_clerk(workers)) == ["account_id"]


async def test_a_clerk_registers_in_their_own_districts_only(workers: Harness) -> None:
    refused = await register_by_clerk(workers, districts=["430103", "4302"], account_id="worker-7")
    assert (refused.status_code, refused.json()["code"]) == (403, "other-district")
    assert (await register_by_clerk(workers, districts=["4301"], account_id="worker-7")).status_code == 201


async def test_without_consent_a_clerk_registers_nobody(workers: Harness) -> None:
    assert fields(await register_by_clerk(workers, account_id="worker-7", consent=False)) == ["consent"]
    assert await workers.all(Worker) == []


async def test_an_operator_registers_anywhere(workers: Harness) -> None:
    answer = await register_by_clerk(workers, districts=(), role="operator", account_id="worker-7")
    assert answer.status_code == 201


# --- minors ----------------------------------------------------------------------------------------------------------


async def test_from_sixteen_to_eighteen_a_worker_is_a_minor(workers: Harness) -> None:
    born = date(2008, 11, 25)
    answer = await register(workers, id_number=id_number(born=born), hardship=[])
    assert answer.json()["minor"] is True
    await workers.later(days=1, hours=17, minutes=59)  # to 23:59 of the day before
    assert await workers.published(WorkerChanged) == []
    await workers.later(minutes=1)
    (said,) = await workers.published(WorkerChanged)
    assert (said.profile.minor, said.profile.revision) == (False, 1)
    assert (await workers.http.get("/me", headers=workers.as_("worker", "worker-1"))).json()["minor"] is False


# --- the form --------------------------------------------------------------------------------------------------------


async def test_the_form_has_the_consent_text_and_the_provinces_categories(workers: Harness) -> None:
    english = (await workers.http.get("/registration-form", params={"district": "430102"})).json()
    assert (english["consent"]["version"], english["consent"]["text"]) == (CONSENT.version, CONSENT.en)
    assert {"code": "older-jobseeker", "label": "Older jobseeker"} in english["hardship"]
    chinese = await workers.http.get(
        "/registration-form", params={"district": "330110"}, headers={"accept-language": "zh"}
    )
    assert chinese.json()["consent"]["text"] == CONSENT.zh
    assert {"code": "low-income", "label": "低保、低保边缘家庭成员"} in chinese.json()["hardship"]
    assert fields(await workers.http.get("/registration-form")) == ["district"]


# --- privacy ---------------------------------------------------------------------------------------------------------


@pytest.mark.feature("F7")
async def test_no_event_no_log_line_and_no_stored_byte_holds_personal_data(
    workers: Harness, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole visit, with mistakes, keys and a reaction; then all events, documents and log lines are searched."""
    keyed = workers.as_("worker", "worker-1", idempotency_key="k1")
    await workers.http.post("/registration", json=draft(id_number=id_number()[:-1]), headers=keyed)
    await workers.http.post("/registration", json=draft(), headers=keyed)
    await register(workers, "worker-2")
    keyed = workers.as_("worker", "worker-1", idempotency_key="k2")
    await workers.http.patch("/me", json={"reach_m": 3000, "hardship": []}, headers=keyed)
    await workers.http.get("/me", headers=workers.as_("worker", "worker-1"))
    await check_in(workers, position=POSITION, station_id=None)
    await workers.later(days=1)
    db = workers.runtime.store.db
    stored = repr([await db[name].find({}).to_list() for name in await db.list_collection_names()])
    said = "".join([row["body"].decode() + repr(row["headers"]) async for row in db["_outbox"].find({})])
    logged = "".join(capsys.readouterr())
    assert "worker-1" in said
    number = id_number()
    for secret in (NAME, number, number[:-1], number[6:14], str(POSITION["lat"]), str(POSITION["lon"]), "older-job"):
        assert secret not in said, secret
        assert secret not in stored, secret
        assert secret not in logged, secret
    assert ascii(NAME)[1:-1] not in stored + said + logged
    assert await workers.all(Presence) == []


async def test_a_sealed_field_opens_for_its_worker_only(workers: Harness) -> None:
    from cryptography.exceptions import InvalidTag

    await register(workers)
    (worker,) = await workers.all(Worker)
    people = PersonalSealer(workers.app.state.sealer, workers.reading())
    assert await people.open(worker.id_number, of="worker-1", field="id-number") == id_number()
    with pytest.raises(InvalidTag):
        await people.open(worker.id_number, of="worker-2", field="id-number")
