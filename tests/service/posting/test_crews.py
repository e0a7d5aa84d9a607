"""What a post may say of a crew (F39)."""

from typing import Any

import pytest

from shared.contracts.posting import GigPosted
from shared.testing import Harness
from tests.service.posting.market import amend, at, draft, post, verified

pytestmark = pytest.mark.feature("F39")


async def test_a_crew_is_said_with_its_gig(posting: Harness) -> None:
    await verified(posting)
    gig = await post(posting, crew={"least": 3})
    assert gig["crew"] == {"least": 3}
    (said,) = await posting.published(GigPosted)
    assert said.terms.crew is not None
    assert said.terms.crew.least == 3
    fewer = await amend(posting, gig["gig_id"], headcount=2)
    assert (fewer["http"], fewer["errors"][0]["field"]) == (422, "crew.least")
    assert (await amend(posting, gig["gig_id"], crew=None))["http"] == 422


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"crew": {"least": 4}}, "crew.least"),
        ({"crew": {"least": 0}}, "crew.least"),
        ({"hiring": "confirm"}, "hiring"),
        ({"valid_until": "after"}, "valid_until"),
    ],
)
async def test_a_crew_that_cannot_be_is_refused_by_its_field(
    posting: Harness, changes: dict[str, Any], field: str
) -> None:
    await verified(posting)
    if changes.get("valid_until"):
        changes = {"valid_until": at(hours=2, seconds=1)}
    body = draft(**{"crew": {"least": 3}} | changes)
    answer = await posting.http.post("/gigs", json=body, headers=posting.as_("employer", "e1"))
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
