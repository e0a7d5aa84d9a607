"""HTTP in: one effect per idempotency key, and errors that name the field in the caller's language."""

import asyncio
import hashlib

import httpx
import pytest

from shared.admission import Admission
from shared.http import BODY_BYTES
from shared.testing import Harness, token
from tests.ledger import Count

ENTRY = {"id": "g", "amount": 2}


async def add(ledger: Harness, key: str | None = None, who: str = "w1", **entry: object) -> httpx.Response:
    headers = ledger.as_("worker", who, **({"idempotency_key": key} if key else {}))
    return await ledger.http.post("/entries", json=ENTRY | entry, headers=headers)


async def heard(ledger: Harness) -> int:
    found = await ledger.get(Count, "g")
    return found.heard if found else 0


async def test_a_repeated_key_gets_the_first_answer_and_acts_once(ledger: Harness) -> None:
    first, second = await add(ledger, "k"), await add(ledger, "k")
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (201, {"id": "g", "heard": 2})
    assert second.headers["idempotency-replayed"] == "true"
    assert await heard(ledger) == 2
    assert len(await ledger.published()) == 1


async def test_one_key_sent_at_once_by_many_acts_once(ledger: Harness) -> None:
    answers = await asyncio.gather(*(add(ledger, "k") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert await heard(ledger) == 2


async def test_a_key_belongs_to_its_caller_and_its_request(ledger: Harness) -> None:
    await add(ledger, "k")
    assert (await add(ledger, "k", who="w2")).json()["heard"] == 4
    reused = await add(ledger, "k", amount=3)
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency-key-reused")
    assert await heard(ledger) == 4


async def test_what_is_kept_for_a_key_tells_a_reader_of_the_database_nothing(ledger: Harness) -> None:
    await add(ledger, "k", id="g-that-nobody-may-read")
    (kept,) = await ledger.runtime.store.db["_answers"].find().to_list()
    assert b"g-that-nobody-may-read" not in kept["body"]
    guess = "POST /api/ledger/entries " + hashlib.sha256(b'{"id":"g-that-nobody-may-read","amount":2}').hexdigest()
    assert kept["request"] == ledger.runtime.sealer.blind(guess, field="request")


@pytest.mark.parametrize(
    ("language", "detail"),
    [("en", "is required"), ("zh-CN,zh;q=0.9", "为必填项"), ("fr, en;q=0.3", "is required"), ("", "为必填项")],
)
async def test_a_missing_field_is_named_in_the_callers_language(ledger: Harness, language: str, detail: str) -> None:
    headers = ledger.as_("worker") | {"accept-language": language}
    answer = await ledger.http.post("/entries", json={"id": "g"}, headers=headers)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"field": "amount", "detail": detail}]


async def test_a_wrong_or_unknown_field_is_named(ledger: Harness) -> None:
    body = {"id": 1, "amount": "many", "tip": 3}
    answer = await ledger.http.post("/entries", json=body, headers=ledger.as_("worker"))
    assert {error["field"] for error in answer.json()["errors"]} == {"id", "amount", "tip"}
    assert "many" not in answer.text


async def test_no_json_and_too_large_a_body_are_said(ledger: Harness) -> None:
    bad = await ledger.http.post(
        "/entries", content=b"{", headers=ledger.as_("worker", content_type="application/json")
    )
    assert (bad.status_code, bad.json()["errors"][0]["detail"]) == (422, "the body is not valid JSON")
    huge = await ledger.http.post("/entries", content=bytes(BODY_BYTES + 1), headers=ledger.as_("worker"))
    assert (huge.status_code, huge.json()["code"]) == (413, "too-large")


async def test_a_request_needs_a_token_and_the_role(ledger: Harness) -> None:
    none = await ledger.http.post("/entries", json=ENTRY)
    assert (none.status_code, none.json()["code"], none.headers["www-authenticate"]) == (401, "no-token", "Bearer")
    wrong = await ledger.http.post("/entries", json=ENTRY, headers=ledger.as_("employer"))
    assert (wrong.status_code, wrong.json()["facts"]) == (403, {"role": "employer"})


@pytest.mark.parametrize("flaw", ["expired", "issuer", "audience", "signature", "role"])
async def test_a_bad_token_is_refused(ledger: Harness, flaw: str) -> None:
    settings = ledger.runtime.settings
    bearer = token("w", "worker", settings)
    if flaw == "expired":
        bearer = token("w", "worker", settings, life=-60)
    elif flaw == "issuer":
        bearer = token("w", "worker", settings.model_copy(update={"issuer": "https://elsewhere.example"}))
    elif flaw == "audience":
        bearer = token("w", "worker", settings.model_copy(update={"audience": "other"}))
    elif flaw == "signature":
        bearer = bearer[:-8] + ("AAAAAAAA" if not bearer.endswith("AAAAAAAA") else "BBBBBBBB")
    else:
        bearer = token("w", "king", settings)  # type: ignore[arg-type]
    answer = await ledger.http.post("/entries", json=ENTRY, headers={"authorization": f"Bearer {bearer}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid-token")


async def test_an_unknown_address_is_a_problem_too(ledger: Harness) -> None:
    answer = await ledger.http.get("/nothing-here")
    assert (answer.status_code, answer.json()["code"]) == (404, "http-404")


@pytest.mark.feature("F40")
async def test_in_a_crowd_reads_are_turned_away_first_and_told_when_to_come_back(ledger: Harness) -> None:
    crowd = ledger.app.state.admission = Admission("ledger", reads=2, commands=3)
    with crowd.let_in(reading=True), crowd.let_in(reading=True):
        turned_away = await ledger.http.get("/entries/g", headers={"accept-language": "zh"})
        assert (turned_away.status_code, turned_away.headers["retry-after"]) == (429, "2")
        assert (turned_away.json()["code"], turned_away.json()["detail"][:8]) == ("crowded", "当前访问的人太多")
        assert (await add(ledger)).status_code == 201
        with crowd.let_in(reading=False):
            assert (await add(ledger)).status_code == 429
    assert (await ledger.http.get("/entries/g")).json()["heard"] == 2


async def test_a_request_that_fails_leaves_its_place(ledger: Harness) -> None:
    crowd = ledger.app.state.admission = Admission("ledger", reads=1, commands=1)
    assert (await add(ledger, amount="many")).status_code == 422
    assert (await add(ledger, "k" * 300)).status_code == 422
    assert crowd.under_way == 0
    assert (await add(ledger)).status_code == 201
