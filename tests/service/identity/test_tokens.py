"""Tokens: what they say, who can check them, how a session goes on and ends, how keys turn."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from services.identity import keys
from services.identity.store import Session
from shared.auth import Keys
from shared.problems import Problem
from shared.signing import KeyRing
from shared.testing import Harness
from tests.service.identity.conftest import Provider, signed_in, token


async def refresh(identity: Harness, refresh_token: str) -> httpx.Response:
    return await token(identity, grant_type="refresh_token", refresh_token=refresh_token)


async def published(identity: Harness) -> list[dict[str, Any]]:
    answer = await identity.http.get("/.well-known/jwks.json")
    found: list[dict[str, Any]] = answer.json()["keys"]
    return found


async def test_a_token_says_who_is_there(identity: Harness, sms: Provider) -> None:
    identity.clock.now = datetime.now(UTC)
    issued = await signed_in(identity, sms)
    decoded = jwt.decode(issued["access_token"], KeySet.import_key_set({"keys": await published(identity)}))
    claims = decoded.claims
    assert decoded.header["alg"] == "ES256"
    assert (claims["sub"], claims["role"], claims["districts"]) == (issued["account_id"], "worker", [])
    assert (claims["iss"], claims["aud"]) == ("https://kuaizhao.local", "kuaizhao")
    assert claims["exp"] - claims["iat"] == 1800
    assert set(claims) == {"iss", "aud", "sub", "role", "districts", "iat", "exp", "jti"}


async def test_another_service_knows_the_caller_by_the_published_keys(
    identity: Harness, sms: Provider, own_keys: Keys
) -> None:
    identity.clock.now = datetime.now(UTC)
    issued = await signed_in(identity, sms, role="employer")
    caller = await own_keys.caller(issued["access_token"])
    assert (caller.id, caller.role) == (issued["account_id"], "employer")
    head, body, signature = issued["access_token"].split(".")
    claims = base64.urlsafe_b64decode(body + "==").replace(b'"employer"', b'"operator"')
    forged = base64.urlsafe_b64encode(claims).decode().rstrip("=")
    with pytest.raises(Problem, match="invalid-token"):
        await own_keys.caller(f"{head}.{forged}.{signature}")


# --- sessions --------------------------------------------------------------------------------------------------------


async def test_a_session_goes_on_with_a_new_token_each_time(identity: Harness, sms: Provider) -> None:
    first = await signed_in(identity, sms)
    identity.clock.advance(days=29)
    second = (await refresh(identity, first["refresh_token"])).json()
    identity.clock.advance(days=29)
    third = (await refresh(identity, second["refresh_token"])).json()
    assert len({t["refresh_token"] for t in (first, second, third)}) == 3
    assert {t["account_id"] for t in (first, second, third)} == {first["account_id"]}


async def test_a_token_used_twice_ends_the_session_for_both(identity: Harness, sms: Provider) -> None:
    stolen = (await signed_in(identity, sms))["refresh_token"]
    newest = (await refresh(identity, stolen)).json()["refresh_token"]
    assert (await refresh(identity, stolen)).json()["error"] == "invalid_grant"
    assert (await refresh(identity, newest)).json()["error"] == "invalid_grant"


async def test_of_many_at_once_at_most_one_goes_on(identity: Harness, sms: Provider) -> None:
    issued = await signed_in(identity, sms)
    answers = await asyncio.gather(*(refresh(identity, issued["refresh_token"]) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
    assert await identity.all(Session) == []


async def test_a_session_ends_when_it_was_long_unused(identity: Harness, sms: Provider) -> None:
    issued = await signed_in(identity, sms)
    identity.clock.advance(days=30)
    assert (await refresh(identity, issued["refresh_token"])).json()["error"] == "invalid_grant"


async def test_signing_out_ends_the_session(identity: Harness, sms: Provider) -> None:
    issued = await signed_in(identity, sms)
    for _ in range(2):
        assert (await identity.http.post("/revoke", json={"token": issued["refresh_token"]})).status_code == 200
    assert (await refresh(identity, issued["refresh_token"])).status_code == 400


async def test_a_made_up_token_signs_nobody_out(identity: Harness, sms: Provider) -> None:
    issued = await signed_in(identity, sms)
    session = issued["refresh_token"].partition(".")[0]
    await identity.http.post("/revoke", json={"token": f"{session}.made-up"})
    assert (await refresh(identity, issued["refresh_token"])).status_code == 200


async def test_no_token_can_be_read_in_the_database(identity: Harness, sms: Provider) -> None:
    issued = await signed_in(identity, sms)
    next_ = (await refresh(identity, issued["refresh_token"])).json()
    db = identity.runtime.store.db
    content = repr([await db[name].find({}).to_list() for name in await db.list_collection_names()])
    for secret in (issued["refresh_token"], next_["refresh_token"]):
        assert secret.partition(".")[2] not in content
    assert next_["access_token"] not in content


# --- keys ------------------------------------------------------------------------------------------------------------


async def test_replicas_that_start_together_share_their_keys(identity: Harness) -> None:
    await identity.runtime.store.db[KeyRing.collection].delete_many({})
    await asyncio.gather(*(keys.SIGNING.prepare(identity.runtime) for _ in range(8)))
    (ring,) = await identity.all(KeyRing)
    assert len(ring.keys) == 2


async def test_a_restart_keeps_the_keys(identity: Harness) -> None:
    before = await published(identity)
    await keys.SIGNING.prepare(identity.runtime)
    assert await published(identity) == before


async def test_published_keys_are_public_and_named_by_thumbprint(identity: Harness) -> None:
    answer = await identity.http.get("/.well-known/jwks.json")
    assert "max-age" in answer.headers["cache-control"]
    for jwk in answer.json()["keys"]:
        assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert KeySet.import_key_set({"keys": [jwk]}).keys[0].thumbprint() == jwk["kid"]


async def test_private_keys_are_sealed(identity: Harness) -> None:
    (ring,) = await identity.all(KeyRing)
    for key in ring.keys:
        assert key.private is not None
        assert b"kty" not in key.private
        opened = identity.app.state.sealer.open(key.private, subject=key.kid, field="signing-key")
        assert '"d":' in opened


async def test_keys_turn_each_month_and_each_is_known_before_it_signs(identity: Harness, sms: Provider) -> None:
    def signed_by(issued: dict[str, Any]) -> str:
        header = issued["access_token"].partition(".")[0]
        return str(orjson.loads(base64.urlsafe_b64decode(header + "=="))["kid"])

    async def ring() -> KeyRing:
        (found,) = await identity.all(KeyRing)
        return found

    issued = await signed_in(identity, sms)
    signers = [signed_by(issued)]
    for _ in range(3):
        turns_at = (await ring()).keys[-1].signs_from
        assert turns_at - identity.clock.now == keys.SIGNS_FOR
        known = {key["kid"] for key in await published(identity)}
        identity.clock.now = turns_at - timedelta(seconds=1)
        issued = (await refresh(identity, issued["refresh_token"])).json()
        assert signed_by(issued) == signers[-1]
        identity.clock.now = turns_at
        issued = (await refresh(identity, issued["refresh_token"])).json()
        assert signed_by(issued) in known - set(signers)
        signers.append(signed_by(issued))
        identity.clock.advance(minutes=5)
        await asyncio.gather(*(keys.SIGNING.prepare(identity.runtime) for _ in range(4)))
        issued = (await refresh(identity, issued["refresh_token"])).json()
        assert {signers[-2], signers[-1]} < {key["kid"] for key in await published(identity)}
        assert [key.private is None for key in (await ring()).keys] == [True, False, False]


async def test_clients_can_discover_where_things_are(identity: Harness) -> None:
    found = (await identity.http.get("/.well-known/openid-configuration")).json()
    assert found["issuer"] == identity.runtime.settings.issuer
    assert found["jwks_uri"] == f"{found['issuer']}/api/identity/.well-known/jwks.json"
    assert found["token_endpoint"] == f"{found['issuer']}/api/identity/token"


# --- requests that are not right -------------------------------------------------------------------------------------


BY_CODE = {"grant_type": "phone_code", "phone": "+8619900001234", "code": "123456", "role": "worker"}
BY_CLIENT = {"grant_type": "client_credentials", "client_id": "nobody", "client_secret": "x"}


@pytest.mark.parametrize(
    ("grant", "status", "error", "field"),
    [
        ({"refresh_token": "made.up"}, 422, "invalid_request", "grant_type"),
        ({"grant_type": "implicit"}, 400, "unsupported_grant_type", None),
        ({name: BY_CODE[name] for name in ("grant_type", "phone", "role")}, 422, "invalid_request", "code"),
        (BY_CODE | {"code": "12345"}, 422, "invalid_request", "code"),
        (BY_CODE | {"phone": "1"}, 422, "invalid_request", "phone"),
        (BY_CODE | {"role": "operator"}, 422, "invalid_request", "role"),
        ({"grant_type": "password", "username": "li.clerk"}, 422, "invalid_request", "password"),
        ({"grant_type": "refresh_token"}, 422, "invalid_request", "refresh_token"),
        ({"grant_type": "refresh_token", "refresh_token": "made.up"}, 400, "invalid_grant", None),
        (BY_CODE, 400, "invalid_grant", None),
        (BY_CLIENT, 401, "invalid_client", None),
    ],
)
async def test_a_refusal_is_oauths_and_ours(
    identity: Harness, grant: dict[str, str], status: int, error: str, field: str | None
) -> None:
    as_json = await identity.http.post("/token", json=grant)
    as_form = await identity.http.post("/token", data=grant, headers={"accept-language": "zh"})
    for answer in (as_json, as_form):
        assert (answer.status_code, answer.json()["error"]) == (status, error)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["error_description"].isascii()
        assert [fault["field"] for fault in answer.json().get("errors", [])] == ([field] if field else [])
    assert as_json.json()["detail"] != as_form.json()["detail"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"", "application/json"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(identity: Harness, body: bytes, kind: str) -> None:
    answer = await identity.http.post("/token", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_field_sent_twice_is_refused(identity: Harness) -> None:
    answer = await identity.http.post(
        "/token",
        content=b"grant_type=refresh_token&refresh_token=a&refresh_token=b",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"] == "refresh_token"


async def test_fields_that_are_not_known_are_ignored(identity: Harness) -> None:
    """As RFC 6749, 3.2 demands of token endpoints."""
    answer = await token(identity, grant_type="refresh_token", refresh_token="a.b", scope="all")
    assert answer.json()["error"] == "invalid_grant"


async def test_a_large_body_is_refused(identity: Harness) -> None:
    answer = await identity.http.post("/token", json={"grant_type": "x" * 100_000})
    assert answer.status_code == 413
