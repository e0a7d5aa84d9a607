"""A code is sent once, can be tried a few times for a few minutes, and stays readable for nobody."""

import asyncio
from typing import Any

import pytest

from services.identity.domain import CODE_TRIES
from services.identity.store import Account, Code
from shared.testing import Harness
from tests.service.identity.conftest import PHONE, Provider, signed_in, token


async def ask(identity: Harness, phone: str = PHONE, **headers: str) -> Any:
    return await identity.http.post("/codes", json={"phone": phone}, headers=headers)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def test_a_code_signs_in_once(identity: Harness, sms: Provider) -> None:
    answer = await ask(identity)
    assert (answer.status_code, answer.json()) == (202, {"expires_in": 300, "resend_in": 60})
    grant = {"grant_type": "phone_code", "phone": PHONE, "code": await sms.last_code(), "role": "worker"}
    first = await token(identity, **grant)
    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-store"
    body = first.json()
    assert (body["token_type"], body["expires_in"], body["role"]) == ("Bearer", 1800, "worker")
    again = await token(identity, **grant)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


async def test_the_same_phone_is_the_same_account(identity: Harness, sms: Provider) -> None:
    first = await signed_in(identity, sms)
    identity.clock.advance(minutes=2)
    second = await signed_in(identity, sms)
    assert first["account_id"] == second["account_id"]


async def test_a_person_who_works_and_employs_has_two_accounts(identity: Harness, sms: Provider) -> None:
    """So that no event shows that they are one person."""
    worker = await signed_in(identity, sms, role="worker")
    identity.clock.advance(minutes=2)
    employer = await signed_in(identity, sms, role="employer")
    assert worker["account_id"] != employer["account_id"]
    logins = [account.login.split(":") for account in await identity.all(Account)]
    assert [role for role, _ in logins] == ["worker", "employer"]


async def test_five_wrong_tries_end_a_code(identity: Harness, sms: Provider) -> None:
    await ask(identity)
    code = await sms.last_code()
    for _ in range(CODE_TRIES):
        answer = await token(identity, grant_type="phone_code", phone=PHONE, code=wrong(code), role="worker")
        assert answer.json()["error"] == "invalid_grant"
    answer = await token(identity, grant_type="phone_code", phone=PHONE, code=code, role="worker")
    assert answer.json()["error"] == "invalid_grant"


async def test_four_wrong_tries_do_not(identity: Harness, sms: Provider) -> None:
    await ask(identity)
    code = await sms.last_code()
    for _ in range(CODE_TRIES - 1):
        await token(identity, grant_type="phone_code", phone=PHONE, code=wrong(code), role="worker")
    answer = await token(identity, grant_type="phone_code", phone=PHONE, code=code, role="worker")
    assert answer.status_code == 200


async def test_many_tries_at_once_are_counted_each(identity: Harness, sms: Provider) -> None:
    await ask(identity)
    code = await sms.last_code()
    tries = [token(identity, grant_type="phone_code", phone=PHONE, code=wrong(code), role="worker") for _ in range(40)]
    assert {answer.status_code for answer in await asyncio.gather(*tries)} == {400}
    assert [kept.tries for kept in await identity.all(Code)] == [CODE_TRIES]


async def test_one_code_typed_twice_at_once_signs_in_once(identity: Harness, sms: Provider) -> None:
    await ask(identity)
    grant = {"grant_type": "phone_code", "phone": PHONE, "code": await sms.last_code(), "role": "worker"}
    answers = await asyncio.gather(*(token(identity, **grant) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    assert len(await identity.all(Account)) == 1


async def test_a_code_ends_after_five_minutes(identity: Harness, sms: Provider) -> None:
    await ask(identity)
    code = await sms.last_code()
    identity.clock.advance(minutes=5)
    answer = await token(identity, grant_type="phone_code", phone=PHONE, code=code, role="worker")
    assert answer.json()["error"] == "invalid_grant"


async def test_a_new_code_ends_the_one_before(identity: Harness, sms: Provider) -> None:
    await ask(identity)
    old = await sms.last_code()
    identity.clock.advance(minutes=1)
    await ask(identity)
    new = await sms.last_code()
    if old != new:
        answer = await token(identity, grant_type="phone_code", phone=PHONE, code=old, role="worker")
        assert answer.status_code == 400
    answer = await token(identity, grant_type="phone_code", phone=PHONE, code=new, role="worker")
    assert answer.status_code == 200


async def test_a_code_belongs_to_its_phone(identity: Harness, sms: Provider) -> None:
    await ask(identity)
    code = await sms.last_code()
    answer = await token(identity, grant_type="phone_code", phone="+8619900005678", code=code, role="worker")
    assert answer.status_code == 400


async def test_no_answer_tells_which_phones_are_known(identity: Harness, sms: Provider) -> None:
    """Neither when a code is asked for, nor when one is wrong, with and without an account, with and without a code."""
    await signed_in(identity, sms)
    identity.clock.advance(minutes=2)
    unknown = "+8619900005678"
    assert (await ask(identity)).json() == (await ask(identity, unknown)).json()
    guess = wrong(await sms.last_code())
    said = [
        (await token(identity, grant_type="phone_code", phone=phone, code=guess, role="worker")).json()
        for phone in (PHONE, unknown, "+8619900009999")
    ]
    assert said[0] == said[1] == said[2]


async def test_a_second_code_waits_a_minute(identity: Harness, sms: Provider) -> None:
    await ask(identity)
    identity.clock.advance(seconds=20)
    answer = await ask(identity)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "40")
    assert answer.json()["code"] == "code-sent-already"
    assert "40 s" in answer.json()["detail"]
    chinese = await ask(identity, **{"accept-language": "zh-CN"})
    assert "40 秒" in chinese.json()["detail"]
    identity.clock.advance(seconds=40)
    assert (await ask(identity)).status_code == 202


async def test_a_crowd_of_requests_sends_one_code(identity: Harness, sms: Provider) -> None:
    answers = await asyncio.gather(*(ask(identity) for _ in range(30)))
    assert sorted(answer.status_code for answer in answers) == [202] + [429] * 29
    while await sms.send_due():
        pass
    assert len(sms.asked) == 1


async def test_a_repeated_key_gets_the_first_answer(identity: Harness, sms: Provider) -> None:
    key = {"idempotency-key": "ask-1"}
    first, second = await ask(identity, **key), await ask(identity, **key)
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.headers["idempotency-replayed"] == "true"
    await sms.send_due()
    await sms.send_due()
    assert len(sms.asked) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "phone"), ({"phone": "12345"}, "phone"), ({"phone": PHONE, "channel": "voice"}, "channel")],
)
async def test_what_is_wrong_with_a_request_is_named(identity: Harness, body: dict[str, str], field: str) -> None:
    answer = await identity.http.post("/codes", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    chinese = await identity.http.post("/codes", json=body, headers={"accept-language": "zh"})
    assert chinese.json()["errors"][0]["detail"] != answer.json()["errors"][0]["detail"]


# --- the message -----------------------------------------------------------------------------------------------------


async def test_the_message_speaks_the_language_of_the_request(identity: Harness, sms: Provider) -> None:
    await ask(identity, **{"accept-language": "zh"})
    await ask(identity, "+8619900005678", **{"accept-language": "en"})
    await sms.send_due()
    texts = {message["to"]: message["text"] for message in sms.asked}
    assert "验证码" in texts[PHONE]
    assert "is your code" in texts["+8619900005678"]


async def test_the_provider_is_asked_again_under_the_same_key(identity: Harness, sms: Provider) -> None:
    sms.answers = [0, 503, 429]
    await ask(identity)
    for seconds in (6, 8, 12, 20):
        await sms.send_due()
        identity.clock.advance(seconds=seconds)
    assert await sms.send_due() == 0
    assert len(sms.asked) == 4
    assert len({message["idempotency_key"] for message in sms.asked}) == 1
    assert len({message["text"] for message in sms.asked}) == 1


async def test_a_message_is_not_sent_by_two_processes(identity: Harness, sms: Provider) -> None:
    await ask(identity)
    await asyncio.gather(*(sms.send_due() for _ in range(8)))
    assert len(sms.asked) == 1


async def test_a_refused_message_is_given_up(identity: Harness, sms: Provider) -> None:
    sms.answers = [400]
    await ask(identity)
    await sms.send_due()
    identity.clock.advance(minutes=1)
    assert await sms.send_due() == 0
    assert [code.outgoing for code in await identity.all(Code)] == [None]


async def test_a_code_past_its_time_is_not_sent(identity: Harness, sms: Provider) -> None:
    await ask(identity)
    identity.clock.advance(minutes=5)
    await sms.send_due()
    assert sms.asked == []
    assert [code.outgoing for code in await identity.all(Code)] == [None]


async def test_the_code_asked_for_again_is_the_one_that_is_sent(identity: Harness, sms: Provider) -> None:
    """A provider that was away for a while does not then send a row of codes of which only the last is right."""
    sms.answers = [503]
    await ask(identity)
    await sms.send_due()
    identity.clock.advance(minutes=1)
    await ask(identity)
    code = await sms.last_code()
    assert len(sms.asked) == 2
    assert (await token(identity, grant_type="phone_code", phone=PHONE, code=code, role="worker")).status_code == 200


async def test_neither_code_nor_phone_can_be_read_in_the_database(identity: Harness, sms: Provider) -> None:
    await ask(identity)
    waiting = await everything(identity)
    code = await sms.last_code()
    sent = await everything(identity)
    assert (await identity.all(Code))[0].outgoing is None
    await token(identity, grant_type="phone_code", phone=PHONE, code=code, role="worker")
    for content in (waiting, sent, await everything(identity)):
        assert PHONE not in content
        assert PHONE.removeprefix("+86") not in content
        assert f"'{code}'" not in content
        assert f"b'{code}" not in content


async def everything(identity: Harness) -> str:
    db = identity.runtime.store.db
    return repr([await db[name].find({}).to_list() for name in await db.list_collection_names()])


async def test_no_log_line_holds_a_phone_or_a_code(
    identity: Harness, sms: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    sms.answers = [0, 500, 400]
    await ask(identity)
    for _ in range(3):
        code = await sms.last_code()
        identity.clock.advance(seconds=30)
    await token(identity, grant_type="phone_code", phone=PHONE, code=wrong(code), role="worker")
    await token(identity, grant_type="phone_code", phone="+8619900001234x", code=code, role="worker")
    await ask(identity, "+86 199 0000 1234")
    logged = "".join(capsys.readouterr())
    assert logged.count("SMS provider") == 3
    assert code not in logged
    assert "1990000" not in logged.replace(" ", "")
