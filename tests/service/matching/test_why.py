"""Why somebody was or was not offered a gig, answered from what the window went by, which can be matched again."""

import random
from datetime import datetime
from typing import Any

import pytest

from services.matching import record
from services.matching.store import Offer, Window
from shared.contracts.terms import Pay, PayMode, PayUnit
from shared.testing import Harness
from tests.service.matching.kit import accept, checked_in, checked_out, offer_of, posted, rule, run


async def why(matching: Harness, gig: str, worker: str = "worker-1", language: str = "en") -> dict[str, Any]:
    headers = matching.as_("worker", worker) | {"accept-language": language}
    answer = await matching.http.get(f"/gigs/{gig}/why", headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.feature("F27")
async def test_what_a_window_went_by_gives_the_same_offers_again(matching: Harness) -> None:
    """Random gigs and people over several windows, with refusals and placements between them."""
    chance = random.Random(27)
    await rule(matching, exposure=2)
    for round_ in range(4):
        for n in range(6):
            skills = tuple(chance.sample(["forklift", "cooking", "first-aid"], chance.randrange(2)))
            metres = chance.uniform(-900, 900)
            headcount = chance.randrange(1, 4)
            await matching.receives(
                posted(f"gig-{round_}-{n}", north_m=metres, skills=skills, headcount=headcount, start=2 + n, end=4 + n)
            )
        for n in range(15):
            await matching.receives(
                checked_in(
                    f"worker-{round_}-{n}",
                    north_m=chance.uniform(-900, 900),
                    skills=tuple(chance.sample(["forklift", "cooking", "first-aid"], chance.randrange(4))),
                    tier=chance.randrange(4),
                    floor_fen_per_hour=chance.choice([0, 2_000, 2_600]),
                )
            )
        await run(matching, seed=chance.randrange(2**63))
        for offer in await matching.all(Offer):
            if offer.open and chance.random() < 0.6:
                answer = chance.choice(["accept", "decline"])
                headers = matching.as_("worker", offer.worker_id)
                await matching.http.post(f"/offers/{offer.id}/{answer}", headers=headers)
        matching.clock.advance(seconds=20)
    windows = await matching.all(Window)
    assert len(windows) == 4
    offers = await matching.all(Offer)
    assert len(offers) > 30
    for window in windows:
        seen, again = record.again(window)
        pairs = list(zip(seen.gigs.ids[again.gig].tolist(), seen.people.ids[again.person].tolist(), strict=True))
        made = {(offer.gig_id, offer.worker_id): offer for offer in offers if offer.window == window.id}
        assert sorted(made) == sorted(pairs)
        for pair, score in zip(pairs, again.score.tolist(), strict=True):
            assert {reason.code: reason.value for reason in made[pair].reasons}["score"] == score
            assert (made[pair].weights, made[pair].seed) == (window.rules.name, window.seed)


async def test_a_window_that_offers_nothing_leaves_no_record(matching: Harness) -> None:
    await matching.receives(posted(), checked_in(floor_fen_per_hour=9_000))
    await run(matching)
    assert await matching.all(Window) == []


BARRED: list[tuple[dict[str, Any], dict[str, Any], str, dict[str, Any]]] = [
    ({"north_m": 4_000, "start": 0.7}, {"reach_m": 3_000}, "reach", {"distance_m": 3_954, "reach_m": 3_000}),
    ({"north_m": 4_000}, {}, "circle", {"distance_m": 3_954, "circle_m": 400}),
    ({"north_m": 4_000, "start": 0.2}, {}, "way", {"lead_minutes": 12, "way_minutes": 16}),
    ({"fen": 1_850}, {"floor_fen_per_hour": 1_900}, "pay", {"pay_yuan": "18.50", "floor_yuan": "19.00"}),
    ({"night_work": True}, {"minor": True}, "age", {}),
    ({"night_work": True}, {"no_night": True, "only_with_meals": True}, "wishes", {"tags": "night, no-meals"}),
    (
        {},
        {"calendar": {"weekly": [{"weekday": 1, "start": 600, "end": 1440}]}},
        "calendar",
        {"start": "2026-11-23 08:00", "end": "2026-11-23 10:00"},
    ),
    (
        {"skills": ("forklift", "cooking"), "certificates": ("health",)},
        {"skills": ("cooking",)},
        "skills",
        {"missing": "certificate health, skill forklift"},
    ),
]


@pytest.mark.feature("F27")
@pytest.mark.parametrize(("gig", "profile", "code", "facts"), BARRED, ids=[each[2] for each in BARRED])
async def test_a_rule_that_bars_somebody_is_named_with_its_figures(
    matching: Harness, gig: dict[str, Any], profile: dict[str, Any], code: str, facts: dict[str, Any]
) -> None:
    """From the window's record, where somebody else was offered it; and from now, where nobody fits at all."""
    await rule(matching, crowd=1)
    await matching.receives(posted(**gig), checked_in(**profile))
    await run(matching)
    now = await why(matching, "gig-1")
    fits: dict[str, Any] = {
        "skills": ("forklift", "cooking"),
        "certificates": ("health",),
        "floor_fen_per_hour": 0,
        "reach_m": 9_000,
    }
    await matching.receives(checked_in("worker-2", north_m=gig.get("north_m", 0), **fits))
    assert (await run(matching)).offers == 1
    (window,) = await matching.all(Window)
    await matching.receives(checked_out())
    then = await why(matching, "gig-1")
    assert (now["window"], then["window"]) == (None, window.id)
    for answer in (now, then):
        assert answer["outcome"] == "not-eligible"
        (because,) = answer["because"]
        assert (because["code"], because["facts"]) == (code, facts)
        assert all(str(figure) in because["text"] for figure in facts.values())
    (chinese,) = (await why(matching, "gig-1", language="zh"))["because"]
    assert chinese["text"] != then["because"][0]["text"]
    assert all(str(figure) in chinese["text"] for figure in facts.values())


@pytest.mark.feature("F27")
async def test_who_promised_other_work_or_declined_is_told_so(matching: Harness) -> None:
    await matching.receives(posted(start=2, end=6), checked_in())
    await run(matching)
    await accept(matching, await offer_of(matching))
    matching.clock.advance(seconds=1)
    await matching.receives(checked_in(checkin="checkin-2"), posted("gig-2", start=5, end=8))
    (because,) = (await why(matching, "gig-2"))["because"]
    assert because["code"] == "overlap"
    assert because["text"] == "You had promised to work from 2026-11-23 08:00 to 2026-11-23 12:00, which overlaps it."
    await matching.receives(posted("gig-3", start=7, end=8), checked_in("worker-2"))
    await run(matching)
    offer = next(offer for offer in await matching.all(Offer) if offer.gig_id == "gig-3" and offer.open)
    assert (await why(matching, "gig-3", offer.worker_id))["outcome"] == "offered"


@pytest.mark.feature("F27")
async def test_who_came_after_others_is_told_both_scores(matching: Harness) -> None:
    await rule(matching, exposure=1)
    await matching.receives(posted(), checked_in("worker-1", north_m=400), checked_in("worker-2", tier=3))
    await run(matching)
    answer = await why(matching, "gig-1")
    (because,) = answer["because"]
    (offer,) = await matching.all(Offer)
    theirs = {reason.code: int(reason.value) for reason in offer.reasons}["score"]
    assert answer["outcome"] == because["code"] == "others-first"
    assert because["facts"] == {"offers": 1, "least": theirs, "score": answer["score"], "most": 10_000, "seed": 1}
    assert answer["score"] < theirs
    assert datetime.fromisoformat(answer["at"]) == offer.made_at
    assert answer["rules"] == offer.weights
    mine = await why(matching, "gig-1", "worker-2")
    assert (mine["outcome"], mine["score"], mine["window"]) == ("offered", theirs, offer.window)


async def test_who_did_not_wait_is_told_so_and_what_is_no_gig_is_not_found(matching: Harness) -> None:
    await matching.receives(posted())
    assert (await why(matching, "gig-1"))["outcome"] == "not-there"
    answer = await matching.http.get("/gigs/gig-9/why", headers=matching.as_("worker"))
    assert answer.status_code == 404


@pytest.mark.parametrize("role", ["employer", "agency"])
async def test_only_who_could_be_offered_it_may_ask(matching: Harness, role: Any) -> None:
    """An employer would learn of tiers."""
    await matching.receives(posted())
    answer = await matching.http.get("/gigs/gig-1/why", headers=matching.as_(role, "employer-1"))
    assert answer.status_code == 403


async def test_a_record_goes_after_its_days(matching: Harness) -> None:
    await rule(matching, windows_kept_days=3)
    await matching.receives(posted(), checked_in())
    await run(matching)
    (window,) = await matching.all(Window)
    assert (window.gone_at - window.at).days == 3
    indexes = await matching.runtime.store.db["windows"].index_information()
    assert indexes["gone_at_1"]["expireAfterSeconds"] == 0


async def test_piece_work_has_no_hour_to_compare(matching: Harness) -> None:
    piece = Pay(amount_fen=30, unit=PayUnit.piece, mode=PayMode.same_day)
    await matching.receives(posted(pay=piece), checked_in(floor_fen_per_hour=1))
    (because,) = (await why(matching, "gig-1"))["because"]
    assert because["facts"] == {"pay_yuan": "0.00", "floor_yuan": "0.01"}
