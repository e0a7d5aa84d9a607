"""An employer's account is erased: its gigs end, its details are gone, its posts stay public."""

import pytest

from services.posting.store import Employer, Gig
from shared.contracts.identity import AccountErased
from shared.contracts.posting import GigClosed
from shared.testing import Harness
from tests.service.posting.market import business, code, post, verified

pytestmark = pytest.mark.feature("F37")


async def test_gigs_end_and_the_business_may_register_anew(posting: Harness) -> None:
    await verified(posting)
    await verified(posting, "e2", credit_code=code(2), licence_no=code(2))
    gig, other = await post(posting), await post(posting, "e2")
    await posting.receives(AccountErased(account_id="e1", role="employer", at=posting.clock.now))
    (closed,) = await posting.published(GigClosed)
    assert (closed.gig_id, closed.reason) == (gig["gig_id"], "employer")
    assert [employer.id for employer in await posting.all(Employer)] == ["e2"]
    assert {kept.id: kept.status for kept in await posting.all(Gig)} == {
        gig["gig_id"]: "closed",
        other["gig_id"]: "open",
    }
    refused = await posting.http.get("/employers/me", headers=posting.as_("employer", "e1"))
    assert refused.json()["code"] == "account-erased"
    await posting.later(days=200)  # its verification would have ended
    assert await posting.dead() == []
    anew = await posting.http.put("/employers/me", json=business(), headers=posting.as_("employer", "e3"))
    assert anew.status_code == 200, anew.text


async def test_an_export_has_what_an_employer_gave(posting: Harness) -> None:
    await verified(posting)
    await post(posting)
    mine = (await posting.http.get("/me/export", headers=posting.as_("employer", "e1"))).json()["collections"]
    assert mine["employers"][0]["contact"] == business()["contact_name"]
    assert len(mine["gigs"]) == 1
