"""Fifty records that drifted, of six kinds, among healthy ones and some that are on their way: these are found."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import timedelta
from typing import Any

import h3
import pytest

from ops import opened as opened_module
from ops import reconcile as module
from ops.reconcile import Behind, Report, reconcile
from services.matching.store import Offer, Placement, Seat
from services.posting.store import Gig as PostedGig
from services.rights.store import Agreement, Cover, Payment, Shift
from shared.contracts.posting import GigFilled
from shared.contracts.rights import AgreementMade
from tests.service.market import Market
from tests.service.matching.kit import checked_in, run
from tests.service.ops.conftest import Kuaizhao
from tests.service.posting.market import CHANGSHA_COUNTY, post, verified
from tests.service.workers import conftest as people

pytestmark = pytest.mark.feature("F42")

Key = tuple[str, str, str]
GIGS, SEATS, PLACED = 40, 3, 90
THERE = h3.latlng_to_cell(28.2453, 113.0803, 9)


async def look(market: Market, *, mend: bool = False, behind: Behind | None = None, by: str = "ann") -> Report:
    stores = {name: harness.runtime.store for name, harness in market.all.items()}
    return await reconcile(stores, behind or {}, mend=mend, by=by, pause_seconds=0)


def keys(findings: Iterable[Any]) -> set[Key]:
    return {finding.key for finding in findings}


async def people_come(market: Market, names: Iterable[str], *, automatic: bool) -> None:
    """Workers check in where the gigs are, and one window sees to them."""
    able: dict[str, Any] = {"accepts_automatically": automatic, "floor_fen_per_hour": 0}
    come = [checked_in(name, district=CHANGSHA_COUNTY, **able) for name in names]
    await market.matching.receives(*(each.model_copy(update={"cell": THERE}) for each in come))
    await run(market.matching, CHANGSHA_COUNTY)


async def at_ten_to_eight(market: Market) -> None:
    """A market that is whole: placements, shifts that began and ended, pay, offers in hand, people who wait."""
    usual: dict[str, Any] = {"skills": [], "pay": {"amount_fen": 180, "unit": "piece", "mode": "same-day"}}
    best = usual | {"pay": {"amount_fen": 90_000, "unit": "day", "mode": "same-day"}}
    await verified(market.posting)
    for _ in range(GIGS):
        await post(market.posting, headcount=SEATS, **usual)
    await market.flow()
    await people_come(market, (f"worker-{n:03}" for n in range(PLACED)), automatic=True)
    await market.flow()
    for n in range(4):
        answer = await people.register(market.workers, f"person-{n}", id_number=people.id_number(n + 1))
        assert answer.status_code == 201
        await people.check_in(market.workers, f"person-{n}")
    market.advance(hours=1, minutes=50)
    for n, shift in enumerate((await market.rights.all(Shift))[:4]):
        as_worker = market.rights.as_("worker", shift.parties.worker_id)
        for step, body in (("start", None), ("end", {"pieces": 7}))[: 2 if n < 2 else 1]:
            answer = await market.rights.http.post(f"/shifts/{shift.id}/{step}", json=body, headers=as_worker)
            assert answer.status_code == 200
    await post(market.posting, headcount=1, hiring="confirm", **best)
    await market.flow()
    await people_come(market, ["to-be-confirmed"], automatic=True)
    await people_come(market, ("choosy-1", "choosy-2", "choosy-3"), automatic=False)
    await market.flow()


class Planted:
    """What was broken: `mendable` and the rest, by what a finding of it is called; and how it was before."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.mendable: set[Key] = set()
        self.others: set[Key] = set()
        self.agreed: dict[str, str] = {}
        self.cancelled: list[str] = []
        self.due: dict[str, Any] = {}

    @property
    def all(self) -> set[Key]:
        return self.mendable | self.others

    async def plant(self) -> None:
        placed = [each for each in await self.market.matching.all(Placement) if each.status == "placed"]
        placed = [each for each in placed if (await self._planned(each))]
        assert len(placed) > 60
        taken = iter(sorted(placed, key=lambda each: each.id))
        open_ = [seat for seat in await self.market.matching.all(Seat) if seat.open]
        seats = iter(sorted(open_, key=lambda seat: seat.id))
        await self._orphan_seats(seats)
        await self._missing_agreements(taken)
        await self._surplus_agreements(taken)
        await self._stale_holds(taken)
        await self._wrong_counts(taken, seats)
        await self._lost_timers()

    async def _planned(self, placement: Placement) -> bool:
        shift = await self.market.rights.get(Shift, placement.id)
        return shift is not None and shift.status == "planned"

    async def _orphan_seats(self, seats: Iterator[Seat]) -> None:
        db = self.market.db("matching")["seats"]
        for n in range(8):
            seat = next(seats)
            await db.update_one({"_id": seat.id}, {"$set": {"open": False, "placement_id": f"ghost-{n}"}})
            self.mendable.add(("orphan-seat", "matching", seat.id))
        stray = (next(seats)).model_copy(update={"id": "no-such-gig:1", "gig_id": "no-such-gig"})
        await db.insert_one(stray.to_mongo() | {"version": 1})
        self.others.add(("orphan-seat", "matching", stray.id))

    async def _missing_agreements(self, taken: Iterator[Placement]) -> None:
        for n in range(9):
            id = next(taken).id
            parts = (Cover,) if n == 8 else (Agreement, Cover, Shift)
            agreement = await self.market.rights.get(Agreement, id)
            assert agreement is not None
            for kind in parts:
                await self.market.db("rights")[kind.collection].delete_one({"_id": id})
            key = ("placement-without-agreement", "rights", id)
            if n == 8:
                self.others.add(key)
            else:
                self.mendable.add(key)
                self.agreed[id] = agreement.sha256

    async def _surplus_agreements(self, taken: Iterator[Placement]) -> None:
        matching = self.market.matching
        for _ in range(5):
            placement = next(taken)
            as_worker = matching.as_("worker", placement.worker_id)
            answer = await matching.http.post(f"/placements/{placement.id}/cancel", headers=as_worker)
            assert answer.status_code == 200
            self.mendable.add(("agreement-without-placement", "rights", placement.id))
            self.cancelled.append(placement.id)
        # posting hears of it, rights never does; and it is long ago.
        for row in await self.market.db("matching")["_outbox"].find({}).to_list():
            letter = self.market.posting.letter(row["topic"], row["body"], **row["headers"])
            await self.market.posting.receives_letters(letter, topic=row["topic"])
        await self.market.db("matching")["_outbox"].delete_many({})
        longer_ago = {"$set": {"cancelled_at": matching.clock.now - timedelta(hours=1)}}
        await self.market.db("matching")["placements"].update_many({"_id": {"$in": self.cancelled}}, longer_ago)
        source = next(taken).id
        for n in range(2):
            for kind in (Agreement, Cover, Shift):
                collection = self.market.db("rights")[kind.collection]
                row = await collection.find_one({"_id": source})
                await collection.insert_one(row | {"_id": f"unknown-{n}"})
            timers = self.market.db("rights")["_timers"]
            timer = await timers.find_one({"_id": f"no-show:{source}"})
            assert timer is not None
            await timers.insert_one(timer | {"_id": f"no-show:unknown-{n}", "subject": f"unknown-{n}"})
            self.others.add(("agreement-without-placement", "rights", f"unknown-{n}"))

    async def _stale_holds(self, taken: Iterator[Placement]) -> None:
        now = self.market.matching.clock.now
        period = {"start": now + timedelta(hours=20), "end": now + timedelta(hours=24), "placement_id": "ghost"}
        for n in range(8):
            worker = next(taken).worker_id
            change: dict[str, Any] = {"$set": {"offer_id": f"gone-{n}"}}
            if n < 4:
                change = {"$push": {"periods": period}, "$set": {"until": period["end"]}}
            await self.market.db("matching")["commitments"].update_one({"_id": worker}, change)
            self.mendable.add(("stale-hold", "matching", worker))

    async def _wrong_counts(self, taken: Iterator[Placement], seats: Iterator[Seat]) -> None:
        posting, gigs = self.market.db("posting"), set[str]()
        while len(gigs) < 6:
            placement = next(taken)
            if placement.gig_id in gigs:
                continue
            n, id = len(gigs), placement.gig_id
            gigs.add(id)
            if n < 3:
                await posting["gigs"].update_one({"_id": id}, {"$inc": {"placed": 1 - 2 * (n % 2)}})
            elif n < 5:
                await posting["placements"].delete_one({"_id": placement.id})
            else:
                surplus = {"_id": "never-made", "gig_id": id, "stands": True, "version": 1}
                await posting["placements"].insert_one(surplus)
            (self.others if n == 5 else self.mendable).add(("count-mismatch", "posting", id))
        last = {seat.gig_id: seat for seat in seats}
        for seat in list(last.values())[-2:]:
            await self.market.db("matching")["seats"].delete_one({"_id": seat.id})
            self.mendable.add(("count-mismatch", "matching", seat.gig_id))

    async def _lost_timers(self) -> None:
        gigs = iter(sorted(await self.market.posting.all(PostedGig), key=lambda gig: gig.id))
        (payment, *_), shifts = await self.market.rights.all(Payment), await self.market.rights.all(Shift)
        started = next(shift.id for shift in shifts if shift.status == "started")
        waiting = next(
            each.id for each in await self.market.matching.all(Placement) if each.status == "awaiting-confirmation"
        )
        for service, id in (
            ("posting", f"gig-expiry:{next(gigs).id}"),
            ("posting", f"gig-expiry:{next(gigs).id}"),
            ("posting", "verification-end:e1"),
            ("workers", "check-in-ends:person-0"),
            ("workers", "profile-changes:person-1"),
            ("matching", f"confirmation:{waiting}"),
            ("rights", f"shift-end:{started}"),
            ("rights", f"pay-overdue:{payment.id}"),
        ):
            row = await self.market.db(service)["_timers"].find_one_and_delete({"_id": id})
            assert row, id
            self.due[id] = row["due_at"]
            self.mendable.add(("lost-timer", service, id))
        offer = next(offer for offer in await self.market.matching.all(Offer) if offer.open)
        gone = await self.market.db("matching")["_timers"].update_one(
            {"data.offers": offer.id}, {"$pull": {"data.offers": offer.id}}
        )
        assert gone.modified_count
        self.due[f"offer-expiry:{offer.id}"] = offer.expires_at
        self.mendable.add(("lost-timer", "matching", f"offer-expiry:{offer.id}"))


async def on_its_way(market: Market) -> None:
    """Three placements whose agreement is only late: made just now; still in the outbox; a dead letter of rights."""
    await people_come(market, ["last-minute"], automatic=True)
    late = [each for each in await market.matching.all(Placement) if each.worker_id.startswith("worker-")][:2]
    for placement in late:
        for kind in (Agreement, Cover, Shift):
            await market.db("rights")[kind.collection].delete_one({"_id": placement.id})
    streams = [f"matching.placement:{placement.id}" for placement in late]
    await market.db("matching")["_outbox"].insert_one({"_id": "waits", "stream": streams[0], "sequence": 1})
    await market.db("rights")["_dead"].insert_one({"_id": "dead", "stream": streams[1], "blocks": True})


async def test_fifty_records_that_drifted_are_found_and_mended(market: Market) -> None:
    await at_ten_to_eight(market)
    assert (await look(market)).found == []
    planted = Planted(market)
    await planted.plant()
    assert len(planted.all) == 50
    assert Counter(kind for kind, _, _ in planted.all) == {
        "orphan-seat": 9,
        "placement-without-agreement": 9,
        "agreement-without-placement": 7,
        "stale-hold": 8,
        "count-mismatch": 8,
        "lost-timer": 9,
    }
    found = await look(market)
    assert keys(found.found) == planted.all
    assert found.mended == []
    assert all((finding.mend is None) == (finding.todo is not None) for finding in found.found)

    report = await look(market, mend=True, by="ben")
    assert keys(report.mended) == planted.mendable
    assert keys(report.left) == planted.others
    assert keys((await look(market)).found) == planted.others
    await shows_what_was_mended(market, planted)

    await market.flow()
    assert keys((await look(market, mend=True)).found) == planted.others
    await market.matching.later(hours=2)
    assert not [offer for offer in await market.matching.all(Offer) if offer.open], "an offer outlived its time"


async def shows_what_was_mended(market: Market, planted: Planted) -> None:
    said = {event.placement_id for event in await market.rights.published(AgreementMade)}
    assert said == planted.agreed.keys()
    for id, sha256 in planted.agreed.items():
        agreement = await market.rights.get(Agreement, id)
        assert agreement is not None
        assert (agreement.sha256, agreement.void_at) == (sha256, None), "not what had been agreed"
    for id in planted.cancelled:
        agreement, cover = await market.rights.get(Agreement, id), await market.rights.get(Cover, id)
        assert agreement is not None
        assert cover is not None
        assert (agreement.void_by, cover.status) == ("worker", "withdrawn")
    for kind, service, id in planted.mendable:
        if kind == "orphan-seat":
            seat = await market.matching.get(Seat, id)
            assert seat is not None
            assert (seat.open, seat.placement_id) == (True, None)
        if kind == "lost-timer":
            row = await market.db(service)["_timers"].find_one({"_id": id})
            assert row is not None
            assert row["due_at"] == planted.due[id]
    counted = {gig.id: gig.placed for gig in await market.posting.all(PostedGig)}
    made = Counter(each.gig_id for each in await market.matching.all(Placement) if each.status == "placed")
    wrong = {id for kind, service, id in planted.others if (kind, service) == ("count-mismatch", "posting")}
    assert {id: n for id, n in counted.items() if id not in wrong} == {
        id: made[id] for id in counted if id not in wrong
    }
    notes = [row for name in market.all async for row in market.db(name)["_audit"].find({})]
    assert {(row["by"], row["what"]) for row in notes} == {("ben", "reconcile")}
    assert {(row["kind"], row["id"]) for row in notes} == {(kind, id) for kind, _, id in planted.mendable}
    assert len(notes) == len(planted.mendable)


async def test_a_count_that_is_set_right_says_what_follows(market: Market) -> None:
    await verified(market.posting)
    gig = await post(market.posting, skills=[], headcount=1)
    await market.flow()
    await people_come(market, ["worker-1"], automatic=True)
    await market.db("matching")["_outbox"].delete_many({})  # posting and rights never hear of it
    market.advance(minutes=6)
    report = await look(market, mend=True)
    assert Counter(finding.kind for finding in report.mended) == {
        "placement-without-agreement": 1,
        "count-mismatch": 1,
    }
    assert [said.gig_id for said in await market.posting.published(GigFilled)] == [gig["gig_id"]]
    assert (await look(market)).found == []


async def test_what_is_on_its_way_is_no_drift(market: Market) -> None:
    await at_ten_to_eight(market)
    await on_its_way(market)
    report = await look(market, mend=True)
    assert (report.found, report.in_flight) == ([], 3)
    market.advance(minutes=6)
    await market.db("matching")["_outbox"].delete_many({"_id": {"$ne": "waits"}})
    old = await look(market)
    assert Counter(finding.kind for finding in old.found if finding.kind != "lost-timer") == {
        "placement-without-agreement": 1,
        "count-mismatch": 1,
    }, "what was made just now is old by now, and its event is lost"
    behind = {("rights", "matching.placement"): 1, ("posting", "matching.placement"): 1}
    assert (await look(market, behind=behind)).found == []


async def test_what_changes_between_two_looks_is_no_drift(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    await at_ten_to_eight(market)
    planted = Planted(market)
    await planted._stale_holds(iter([each for each in await market.matching.all(Placement) if each.status == "placed"]))
    whole_look, looks = module._Look.all, 0

    async def cured_after_it(self: Any) -> AsyncIterator[module.Finding]:
        nonlocal looks
        async for finding in whole_look(self):
            yield finding
        looks += 1
        cured: dict[str, Any] = {"$set": {"offer_id": None, "periods": []}}
        await market.db("matching")["commitments"].update_many({}, cured)

    monkeypatch.setattr(module._Look, "all", cured_after_it)
    report = await look(market, mend=True)
    assert looks == 2
    assert (report.found, report.in_flight) == ([], 8)


async def test_two_who_mend_at_once_mend_once(market: Market) -> None:
    await at_ten_to_eight(market)
    planted = Planted(market)
    await planted.plant()
    reports = await asyncio.gather(look(market, mend=True, by="ann"), look(market, mend=True, by="ben"))
    mended = [key for report in reports for key in keys(report.mended)]
    assert sorted(mended) == sorted(planted.mendable)
    assert len(await market.rights.published(AgreementMade)) == len(planted.agreed)


async def test_the_command_shows_and_mends(
    market: Market, kuaizhao: Kuaizhao, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {name: harness.runtime.settings.database for name, harness in market.all.items()}
    monkeypatch.setattr(opened_module, "database_of", lambda settings, name, alone: names[name])
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0)
    monkeypatch.setattr("ops.lag.lags", _nothing_behind)
    await verified(market.posting)
    gig = await post(market.posting, skills=[], headcount=2)
    await market.flow()
    seat = f"{gig['gig_id']}:1"
    stray = {"_id": "stray:1", "gig_id": "stray", "number": 1, "district": "430121", "open": True, "version": 1}
    await market.db("matching")["seats"].update_one({"_id": seat}, {"$set": {"open": False, "placement_id": "ghost"}})
    await market.db("matching")["seats"].insert_one(stray)
    shown = await kuaizhao("reconcile")
    assert shown.code == 1
    assert shown.out.splitlines()[-1] == "2 found, 0 mended, 2 left; 0 on their way"
    (line,) = [line for line in shown.out.splitlines() if seat in line]
    assert line.split(maxsplit=3)[3].startswith("taken by ghost, which does not hold it")
    assert line.endswith("--mend mends it")
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    mended = await kuaizhao("reconcile", "--mend", "--by", "ann")
    assert mended.out.splitlines()[-1] == "发现 2 处，已修复 1 处，剩余 1 处；处理中 0 处"
    rest = await kuaizhao("reconcile", "--mend", "--json")
    assert '"record": "stray:1"' in rest.out
    assert seat not in rest.out
    await market.db("matching")["seats"].delete_one({"_id": "stray:1"})
    assert (await kuaizhao("reconcile")).code == 0


async def _nothing_behind(services: Iterable[Any], kafka: Any) -> list[Any]:
    return []
