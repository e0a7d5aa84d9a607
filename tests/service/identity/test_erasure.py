"""A person erases their account: what stands in the way, what is gone at once, and that nothing brings it back."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.identity.store import Account, Session, Tie
from shared.contracts import Event
from shared.contracts.identity import AccountErased
from shared.contracts.matching import PlacementCancelled, PlacementMade
from shared.contracts.rights import (
    CaseClosed,
    CaseOpened,
    PayConfirmed,
    PayCorrected,
    PayDue,
    SanctionLifted,
    SanctionSet,
)
from shared.testing import Harness
from tests.contract.test_events import example_of
from tests.service.identity.conftest import PHONE, Provider, signed_in, token

pytestmark = pytest.mark.feature("F37")


class Person:
    """A worker who signed in, and wants to be erased."""

    def __init__(self, identity: Harness, sms: Provider, tokens: dict[str, Any]) -> None:
        self.identity, self.sms, self.id, self.tokens = identity, sms, tokens["account_id"], tokens
        self.me = identity.as_("worker", self.id)

    async def code(self) -> str:
        self.identity.clock.advance(minutes=2)
        asked = await self.identity.http.post("/codes", json={"phone": PHONE})
        assert asked.status_code == 202
        return await self.sms.last_code()

    async def erases(self, code: str | None = None) -> httpx.Response:
        body = {"code": code or await self.code()}
        return await self.identity.http.post("/me/erasure", json=body, headers=self.me)

    def said(self, kind: type[Event], **changes: Any) -> Any:
        whose = {"worker_id": self.id, "party_id": self.id, "party": "worker"}
        return kind.model_validate(example_of(kind) | whose | changes)


@pytest.fixture
async def person(identity: Harness, sms: Provider) -> Person:
    return Person(identity, sms, await signed_in(identity, sms))


async def test_an_erasure_is_proven_by_a_new_code_and_said_once(identity: Harness, person: Person) -> None:
    code = await person.code()
    wrong = await person.erases("000000" if code != "000000" else "111111")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid-grant")
    assert await identity.get(Account, person.id)
    done = await person.erases(code)
    assert (done.status_code, done.json()["account_id"]) == (200, person.id)
    (said,) = await identity.published(AccountErased)
    assert (said.account_id, said.role) == (person.id, "worker")
    assert (await person.erases(code)).json()["code"] == "account-erased"
    assert len(await identity.published(AccountErased)) == 1
    proof = await identity.http.get(f"/erasures/{person.id}")
    assert proof.json() == {"account_id": person.id, "erased_at": done.json()["erased_at"]}
    assert (await identity.http.get("/erasures/somebody-else")).status_code == 404


async def test_five_wrong_codes_are_counted_and_end_the_code(person: Person) -> None:
    code = await person.code()
    wrong = "000000" if code != "000000" else "111111"
    assert {(await person.erases(wrong)).status_code for _ in range(5)} == {400}
    assert (await person.erases(code)).status_code == 400


async def test_sign_ins_end_at_once_and_the_phone_registers_anew_as_somebody_else(
    identity: Harness, sms: Provider, person: Person
) -> None:
    assert (await person.erases()).status_code == 200
    refused = await token(identity, grant_type="refresh_token", refresh_token=person.tokens["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"
    assert (await identity.http.get("/me", headers=person.me)).json()["code"] == "account-erased"
    assert await identity.all(Session) == []
    anew = await signed_in(identity, sms)
    assert anew["account_id"] != person.id
    assert (await identity.http.get("/me", headers=identity.as_("worker", anew["account_id"]))).status_code == 200


BONDS = [
    (PlacementMade, {}, PlacementCancelled, "placement", "placement_id"),
    (PayDue, {}, PayConfirmed, "pay", "placement_id"),
    (PayDue, {}, PayCorrected, "pay", "placement_id"),
    (CaseOpened, {}, CaseClosed, "case", "case_id"),
    (SanctionSet, {"until": None}, SanctionLifted, "sanction", "sanction_id"),
]


@pytest.mark.parametrize(("begins", "changes", "ends", "kind", "id"), BONDS, ids=[str(b[2].__name__) for b in BONDS])
async def test_what_is_open_stands_in_the_way_and_is_named(
    identity: Harness,
    person: Person,
    begins: type[Event],
    changes: dict[str, Any],
    ends: type[Event],
    kind: str,
    id: str,
) -> None:
    opening = person.said(begins, **{id: "x1"}, **changes)
    ending = person.said(ends, **{id: "x1"}, **({"amount_fen": 0} if ends is PayCorrected else {}))
    code = await person.code()
    await identity.receives(opening)
    refused = await person.erases(code)
    assert (refused.status_code, refused.json()["code"]) == (409, "account-bound")
    assert refused.json()["facts"] == {"ties": f"{kind} x1"}
    listed = (await identity.http.get("/me/ties", headers=person.me)).json()["items"]
    assert [(tie["kind"], tie["id"]) for tie in listed] == [(kind, "x1")]
    assert await identity.published(AccountErased) == []
    await identity.receives(ending)
    await identity.receives(opening)  # again, late: what is over stays over
    assert (await person.erases(code)).status_code == 200


async def test_pay_that_was_corrected_to_something_is_still_owed(identity: Harness, person: Person) -> None:
    await identity.receives(person.said(PayDue), person.said(PayCorrected, amount_fen=100))
    assert (await person.erases()).json()["code"] == "account-bound"


async def test_a_placement_without_pay_binds_until_its_timesheet_must_be_settled(
    identity: Harness, person: Person
) -> None:
    """Half-open: at the end of the rules' days it does not bind any more."""
    made = person.said(PlacementMade)
    await identity.receives(made)
    ends = made.terms.period.end + timedelta(days=8)
    identity.clock.now = ends - timedelta(minutes=3)
    assert (await person.erases()).status_code == 409
    identity.clock.now = ends - timedelta(minutes=2)
    assert (await person.erases()).status_code == 200


async def test_events_that_come_again_or_late_bring_nothing_back(identity: Harness, person: Person) -> None:
    made, cancelled = person.said(PlacementMade), person.said(PlacementCancelled)
    await identity.receives(made, cancelled)
    await identity.http.post(
        f"/contacts/{person.id}/readings", json={"reason": "核对登记电话"}, headers=identity.as_("operator")
    )
    assert (await person.erases()).status_code == 200
    (entry,) = (await identity.http.get("/readings", headers=identity.as_("operator"))).json()["items"]
    assert (entry["person_id"], entry["reason"]) == (person.id, None)
    assert await identity.all(Tie) == []
    await identity.receives(made, cancelled, person.said(CaseOpened, employer_id=None))
    ties = await identity.all(Tie)
    assert all(person.id not in tie.people for tie in ties)
    assert {tie.kind for tie in ties} <= {"placement"}
    read = await identity.http.post(
        f"/contacts/{person.id}/readings", json={"reason": "核对登记电话"}, headers=identity.as_("operator")
    )
    assert (read.status_code, read.json()["code"]) == (410, "account-erased")


async def test_an_export_has_what_is_held_and_no_secret(identity: Harness, person: Person) -> None:
    made = person.said(PlacementMade)
    await identity.receives(made)
    mine = (await identity.http.get("/me/export", headers=person.me)).json()
    assert (mine["service"], mine["account_id"]) == ("identity", person.id)
    (account,) = mine["collections"]["accounts"]
    assert account["phone"] == PHONE
    assert [tie["kind"] for tie in mine["collections"]["ties"]] == ["placement"]
    assert len(mine["collections"]["sessions"]) == 1
    assert "token_hash" not in repr(mine)
    assert "login" not in account
    assert "readings" in mine["kept"]
    assert (await identity.http.get("/me/export", headers=identity.as_("clerk"))).status_code == 403
    none = (await identity.http.get("/me/export", headers=identity.as_("worker", "w9"))).json()
    assert not any(none["collections"].values())


async def test_an_account_that_nobody_used_ends_by_itself_once_nothing_binds_it(
    identity: Harness, person: Person
) -> None:
    await identity.later(days=1_094)
    assert await identity.get(Account, person.id)
    await signed_in(identity, person.sms)  # in use again
    await identity.receives(person.said(CaseOpened))
    await identity.later(days=1_095)
    assert await identity.published(AccountErased) == []
    await identity.receives(person.said(CaseClosed))
    await identity.later(days=30)
    (said,) = await identity.published(AccountErased)
    assert said.account_id == person.id
    assert await identity.get(Account, person.id) is None
