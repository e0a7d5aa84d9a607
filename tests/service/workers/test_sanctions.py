"""What rights decided against a worker keeps them from waiting for work, as long as it is in force and no longer."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from services.workers.handlers import keep_out
from services.workers.store import Presence
from shared.contracts.rights import SanctionLifted, SanctionSet
from shared.contracts.workers import WorkerCheckedOut
from shared.sanctions import HeardSanction
from shared.testing import Harness
from shared.unit import Unit
from tests.service.workers.conftest import DISTRICT, check_in, id_number, register

pytestmark = pytest.mark.feature("F26")

MORNING = datetime.fromisoformat("2026-11-23T06:00:00+08:00")
UNTIL = MORNING + timedelta(days=7)


def sanction(id: str = "s1", worker: str = "worker-1", **more: Any) -> SanctionSet:
    facts: dict[str, Any] = {"party": "worker", "kind": "block", "since": MORNING, "until": UNTIL}
    return SanctionSet(sanction_id=id, party_id=worker, district=DISTRICT, reason="reliability", **facts | more)


def lifted(id: str = "s1", worker: str = "worker-1") -> SanctionLifted:
    return SanctionLifted(
        sanction_id=id, party="worker", party_id=worker, district=DISTRICT, reason="appeal", at=MORNING
    )


def refused(answer: httpx.Response) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (409, "worker-sanctioned"), answer.text
    facts: dict[str, Any] = answer.json()["facts"]
    return facts


@pytest.mark.parametrize("kind", ["block", "suspend"])
async def test_a_sanction_ends_the_check_in_and_refuses_others_until_its_second(workers: Harness, kind: str) -> None:
    await register(workers)
    await register(workers, "worker-2", id_number=id_number(2))
    await check_in(workers)
    await check_in(workers, "worker-2")
    await workers.receives(sanction(kind=kind))
    assert [waiting.id for waiting in await workers.all(Presence)] == ["worker-2"]
    (gone,) = await workers.published(WorkerCheckedOut)
    assert gone.worker_id == "worker-1"
    answer = await check_in(workers)
    assert refused(answer) == {"sanction_id": "s1", "until": "2026-11-29T22:00:00+00:00"}
    assert "/api/rights/sanctions/s1/appeal" in answer.json()["detail"]
    workers.clock.now = UNTIL - timedelta(seconds=1)
    refused(await check_in(workers))
    workers.clock.advance(seconds=1)
    assert (await check_in(workers)).status_code == 201


async def test_a_sanction_without_an_end_lasts_until_it_is_lifted(workers: Harness) -> None:
    await register(workers)
    await workers.receives(sanction(until=None))
    answer = await check_in(workers)
    assert refused(answer) == {"sanction_id": "s1"}
    assert "until it is lifted" in answer.json()["detail"]
    await workers.receives(lifted())
    assert (await check_in(workers)).status_code == 201


async def test_events_that_come_again_or_in_another_order_leave_the_same(workers: Harness) -> None:
    await register(workers)
    await workers.receives(lifted("s1"), sanction("s1"), lifted("s1"), sanction("s1"))
    await workers.receives(sanction("s2"))
    await workers.receives(sanction("s2"), lifted("s2"))
    assert (await check_in(workers)).status_code == 201
    await workers.receives(sanction("s1"), sanction("s2"))
    assert len(await workers.all(Presence)) == 1
    assert [one.in_force(workers.clock.now) for one in await workers.all(HeardSanction)] == [False, False]


async def test_one_that_is_over_when_it_is_heard_of_ends_nothing(workers: Harness) -> None:
    await register(workers)
    workers.clock.now = UNTIL
    await check_in(workers)
    await workers.receives(sanction())
    assert len(await workers.all(Presence)) == 1


async def test_what_is_against_an_employer_is_nothing_to_a_worker_of_the_same_id(workers: Harness) -> None:
    await register(workers)
    await check_in(workers)
    against = {"party": "employer"}
    await workers.receives(sanction(**against), lifted("s2").model_copy(update=against))
    assert await workers.all(HeardSanction) == []
    assert len(await workers.all(Presence)) == 1


async def test_a_sanction_reaches_who_registers_after_it(workers: Harness) -> None:
    await workers.receives(sanction())
    await register(workers)
    refused(await check_in(workers))


async def test_a_clerk_cannot_check_a_sanctioned_worker_in(workers: Harness) -> None:
    await register(workers)
    await workers.receives(sanction())
    body = {"worker_id": "worker-1", "districts": [DISTRICT], "station_id": "430102-mawangdui"}
    clerk = workers.as_("clerk", "clerk-1", districts=(DISTRICT,))
    refused(await workers.http.post("/check-ins", json=body, headers=clerk))


async def test_a_check_in_never_slips_past_a_sanction(workers: Harness) -> None:
    """Write skew: a check-in that saw no sanction and a sanction that saw no check-in may not both commit."""
    await register(workers)

    async def hear_while_somebody_checks_in(unit: Unit) -> None:
        await keep_out(sanction(), unit)
        if not await workers.all(Presence):
            assert (await check_in(workers)).status_code == 201

    await workers.runtime.store.transact(hear_while_somebody_checks_in)
    assert await workers.all(Presence) == []
    assert len(await workers.published(WorkerCheckedOut)) == 1
