"""Clerks, agencies and operators: who may make them, how they sign in, how guessing is stopped."""

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from limits import RateLimitItemPerMinute
from pydantic import SecretStr

from services.identity import api, shield
from services.identity.app import first_operator
from services.identity.store import Account, Quota
from shared.auth import Keys, Role
from shared.testing import Harness, harness
from tests.service.identity.conftest import PHONE, Provider, signed_in, token

PASSWORD = "correct horse battery"
CLERK = {"username": "li.clerk", "password": PASSWORD, "districts": ["430102", "4302"]}


async def add_clerk(identity: Harness, **changes: Any) -> httpx.Response:
    return await identity.http.post("/clerks", json=CLERK | changes, headers=identity.as_("operator"))


async def sign_in(identity: Harness, username: str = "li.clerk", password: str = PASSWORD) -> httpx.Response:
    return await token(identity, grant_type="password", username=username, password=password)


# --- clerks ----------------------------------------------------------------------------------------------------------


async def test_a_clerk_signs_in_for_some_districts(identity: Harness, own_keys: Keys) -> None:
    identity.clock.now = datetime.now(UTC)
    made = await add_clerk(identity)
    assert made.status_code == 201
    assert "password" not in made.text
    issued = (await sign_in(identity)).json()
    caller = await own_keys.caller(issued["access_token"])
    assert (caller.id, caller.role) == (made.json()["account_id"], "clerk")
    assert caller.covers("430102")
    assert caller.covers("430204")
    assert not caller.covers("430103")
    assert (await token(identity, grant_type="refresh_token", refresh_token=issued["refresh_token"])).status_code == 200


async def test_a_clerks_session_ends_with_the_day(identity: Harness) -> None:
    await add_clerk(identity)
    issued = (await sign_in(identity)).json()
    identity.clock.advance(hours=12)
    answer = await token(identity, grant_type="refresh_token", refresh_token=issued["refresh_token"])
    assert answer.json()["error"] == "invalid_grant"


async def test_a_username_is_taken_once(identity: Harness) -> None:
    answers = await asyncio.gather(*(add_clerk(identity) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    taken = await add_clerk(identity)
    assert taken.json()["code"] == "name-taken"


async def test_a_repeated_key_gets_the_first_clerk_again(identity: Harness) -> None:
    headers = identity.as_("operator", idempotency_key="clerk-1")
    first = await identity.http.post("/clerks", json=CLERK, headers=headers)
    second = await identity.http.post("/clerks", json=CLERK, headers=headers)
    assert (first.status_code, first.json()) == (second.status_code, second.json())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"password": "too short"}, "password"),
        ({"password": "for li.clerk at 430102"}, "password"),
        ({"username": "Li Clerk"}, "username"),
        ({"districts": []}, "districts"),
        ({"districts": ["43010"]}, "districts.0"),
        ({"role": "operator"}, "role"),
    ],
)
async def test_what_is_wrong_with_a_clerk_is_named(identity: Harness, change: dict[str, Any], field: str) -> None:
    answer = await add_clerk(identity, **change)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert str(CLERK["password"]) not in answer.text


@pytest.mark.parametrize("path", ["/clerks", "/agencies"])
@pytest.mark.parametrize("role", ["worker", "employer", "clerk", "agency"])
async def test_only_operators_make_clerks_and_agencies(identity: Harness, path: str, role: Role) -> None:
    body = CLERK if path == "/clerks" else {"name": "Furong agency", "districts": ["430102"]}
    assert (await identity.http.post(path, json=body, headers=identity.as_(role))).status_code == 403
    assert (await identity.http.post(path, json=body)).status_code == 401


# --- guessing --------------------------------------------------------------------------------------------------------


async def test_wrong_passwords_lock_for_longer_each_time(identity: Harness) -> None:
    await add_clerk(identity)
    locks = []
    for _ in range(3):
        for _ in range(5):
            assert (await sign_in(identity, password="wrong")).json()["error"] == "invalid_grant"
        locked = await sign_in(identity)  # the right one, too
        assert (locked.status_code, locked.json()["code"]) == (429, "locked")
        locks.append(int(locked.headers["retry-after"]))
        identity.clock.advance(seconds=locks[-1])
    assert locks == [60, 840, 2700]
    assert (await sign_in(identity)).status_code == 200


async def test_the_right_password_clears_the_count(identity: Harness) -> None:
    await add_clerk(identity)
    for _ in range(3):
        for _ in range(4):
            await sign_in(identity, password="wrong")
        assert (await sign_in(identity)).status_code == 200
    assert await identity.all(Quota) == []


async def test_guesses_at_once_are_counted_each(identity: Harness) -> None:
    await add_clerk(identity)
    answers = await asyncio.gather(*(sign_in(identity, password=f"guess {n}") for n in range(25)))
    assert sorted(answer.status_code for answer in answers) == [400] * 5 + [429] * 20


async def test_a_name_that_nobody_has_answers_the_same(identity: Harness) -> None:
    await add_clerk(identity)

    def said(answer: httpx.Response) -> tuple[int, dict[str, Any]]:
        return answer.status_code, answer.json()

    for _ in range(6):
        known, unknown = await sign_in(identity, password="wrong"), await sign_in(identity, "nobody", "wrong")
        assert said(known) == said(unknown)
    assert known.status_code == 429


async def test_people_and_agencies_have_no_password(identity: Harness, sms: Provider) -> None:
    person = (await signed_in(identity, sms))["account_id"]
    agency = (await add_agency(identity)).json()
    for username in (person, agency["client_id"], "Furong agency"):
        for password in ("None", agency["client_secret"]):
            assert (await sign_in(identity, username, password)).status_code == 400


# --- agencies --------------------------------------------------------------------------------------------------------


async def add_agency(identity: Harness, name: str = "Furong agency") -> httpx.Response:
    headers = identity.as_("operator", idempotency_key="agency-1")
    return await identity.http.post("/agencies", json={"name": name, "districts": ["430102"]}, headers=headers)


async def test_an_agency_signs_in_by_its_secret(identity: Harness, own_keys: Keys) -> None:
    identity.clock.now = datetime.now(UTC)
    made = await add_agency(identity)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    credentials = made.json()
    by_body = await token(identity, grant_type="client_credentials", **credentials)
    assert "refresh_token" not in by_body.json()
    caller = await own_keys.caller(by_body.json()["access_token"])
    assert (caller.id, caller.role, caller.districts) == (credentials["client_id"], "agency", ("430102",))
    by_header = await identity.http.post(
        "/token",
        data={"grant_type": "client_credentials"},
        auth=(credentials["client_id"], credentials["client_secret"]),
    )
    assert by_header.status_code == 200


async def test_a_wrong_secret_is_refused(identity: Harness) -> None:
    credentials = (await add_agency(identity)).json()
    answer = await token(
        identity, grant_type="client_credentials", client_id=credentials["client_id"], client_secret="wrong"
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("header", ["Basic !!!", f"Basic {base64.b64encode(b'no colon').decode()}"])
async def test_a_broken_basic_header_is_refused(identity: Harness, header: str) -> None:
    answer = await identity.http.post(
        "/token", data={"grant_type": "client_credentials"}, headers={"authorization": header}
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_client_names_itself_one_way_only(identity: Harness) -> None:
    body = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}
    answer = await identity.http.post("/token", data=body, auth=("a", "b"))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_clerk_cannot_sign_in_as_a_client(identity: Harness) -> None:
    made = (await add_clerk(identity)).json()
    answer = await token(
        identity, grant_type="client_credentials", client_id=made["account_id"], client_secret=PASSWORD
    )
    assert answer.json()["error"] == "invalid_client"


async def test_the_secret_is_kept_nowhere_and_the_name_is_taken_once(identity: Harness) -> None:
    secret = (await add_agency(identity)).json()["client_secret"]
    db = identity.runtime.store.db
    content = repr([await db[name].find({}).to_list() for name in await db.list_collection_names()])
    assert secret not in content
    again = await add_agency(identity)
    assert (again.status_code, again.json()["code"]) == (409, "name-taken")


# --- people whom a clerk helps ---------------------------------------------------------------------------------------


async def test_a_clerk_finds_or_makes_a_workers_account(identity: Harness, sms: Provider) -> None:
    clerk = identity.as_("clerk", "clerk-1", districts=["430102"])
    made = await identity.http.post("/accounts", json={"phone": PHONE}, headers=clerk)
    found = await identity.http.post("/accounts", json={"phone": PHONE}, headers=clerk)
    assert (made.status_code, found.status_code) == (201, 200)
    assert (await signed_in(identity, sms))["account_id"] == made.json()["account_id"] == found.json()["account_id"]


async def test_two_clerks_at_once_make_one_account(identity: Harness) -> None:
    clerk = identity.as_("clerk", "clerk-1", districts=["430102"])
    answers = await asyncio.gather(
        *(identity.http.post("/accounts", json={"phone": PHONE}, headers=clerk) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert len({answer.json()["account_id"] for answer in answers}) == 1


@pytest.mark.parametrize("role", ["worker", "employer", "agency"])
async def test_only_clerks_look_accounts_up(identity: Harness, role: Role) -> None:
    answer = await identity.http.post("/accounts", json={"phone": PHONE}, headers=identity.as_(role))
    assert answer.status_code == 403


async def test_people_see_their_own_account_with_the_phone_masked(identity: Harness, sms: Provider) -> None:
    issued = await signed_in(identity, sms)
    me = await identity.http.get("/me", headers=identity.as_("worker", issued["account_id"]))
    assert me.json() == {
        "account_id": issued["account_id"],
        "role": "worker",
        "districts": [],
        "name": None,
        "phone": "+86199****1234",
    }
    assert (await identity.http.get("/me", headers=identity.as_("worker", "nobody"))).status_code == 404
    assert (await identity.http.get("/me")).status_code == 401


# --- the operator ----------------------------------------------------------------------------------------------------


async def test_the_first_operator_has_the_password_of_the_settings(identity: Harness) -> None:
    settings = identity.runtime.settings
    settings.operator_password = SecretStr("a password for tests")
    await asyncio.gather(*(first_operator(identity.runtime) for _ in range(3)))
    settings.operator_password = SecretStr("another password later")
    await first_operator(identity.runtime)
    assert len(await identity.all(Account)) == 1
    issued = await sign_in(identity, "operator", "a password for tests")
    assert issued.json()["role"] == "operator"
    assert (await sign_in(identity, "operator", "another password later")).status_code == 400


@pytest.mark.parametrize("password", ["", "short"])
async def test_there_is_no_operator_without_a_good_password(
    identity: Harness, password: str, capsys: pytest.CaptureFixture[str]
) -> None:
    identity.runtime.settings.operator_password = SecretStr(password)
    await first_operator(identity.runtime)
    assert await identity.all(Account) == []
    assert ("KUAIZHAO_OPERATOR_PASSWORD" in capsys.readouterr().out) == bool(password)


# --- floods ----------------------------------------------------------------------------------------------------------


async def test_a_flood_from_one_address_is_stopped(identity: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shield.LIMITS, "token", (RateLimitItemPerMinute(3),))
    answers = [await token(identity, grant_type="refresh_token", refresh_token="a.b") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 429]
    assert answers[-1].json()["error"] == "temporarily_unavailable"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=identity.app, client=("192.0.2.7", 1)), base_url=identity.http.base_url
    ) as elsewhere:
        answer = await elsewhere.post("/token", json={"grant_type": "refresh_token", "refresh_token": "a.b"})
    assert answer.status_code == 400


async def test_without_valkey_people_sign_in_and_the_database_still_counts(mongo_url: str) -> None:
    from services.identity.app import service

    async with harness(
        service, mongo_url, database="test_identity_no_valkey", valkey_url="redis://127.0.0.1:1/0"
    ) as identity:
        sms = Provider(identity)
        await signed_in(identity, sms)
        assert (await identity.http.post("/codes", json={"phone": PHONE})).status_code == 429


async def test_too_many_passwords_at_once_are_told_to_wait(identity: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.identity import passwords

    monkeypatch.setattr(passwords, "WAITING_AT_MOST", 1)
    answers = await asyncio.gather(*(sign_in(identity, f"name{n}", "x") for n in range(4)))
    assert {answer.status_code for answer in answers} == {400, 503}
    busy = next(answer for answer in answers if answer.status_code == 503)
    assert busy.headers["retry-after"] == "1"
    assert (await sign_in(identity, "name9", "x")).status_code == 400


def test_every_role_that_signs_in_by_itself_has_a_session_life() -> None:
    assert set(api.SESSION_LIFE) == {"worker", "employer", "clerk", "operator"}
