"""The engine, by properties: whatever gigs and people there are."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.matching import engine
from services.matching.engine import Busy, Caps, Gigs, Offers, People
from services.matching.rules import Rules, default_rules
from shared.contracts.workers import WorkerProfile

HOUR = 3600
METRE = 1 / 111_195
"""In degrees of latitude: people and places stand on one meridian, so that a distance is a subtraction."""


@dataclass(frozen=True)
class G:
    id: str
    seats: int = 1
    offers: int = 0
    north_m: int = 0
    start: int = 4
    hours: int = 4
    pay: int = 2500
    night: bool = False
    needs: frozenset[int] = frozenset()


@dataclass(frozen=True)
class P:
    id: str
    north_m: int = 0
    reach_m: int = 5000
    floor: int = 2000
    waited_s: int = 0
    days: int = 0
    tier: int = 0
    minor: bool = False
    automatic: bool = False
    has: frozenset[int] = frozenset()
    busy: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class World:
    gigs: list[G]
    people: list[P]
    refused: frozenset[tuple[str, str]] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Pair:
    gig: str
    person: str
    layer: int
    score: int


def word(codes: frozenset[int]) -> list[int]:
    """Codes 0 to 99 as two words of bits."""
    return [sum(1 << code % 64 for code in codes if code // 64 == part) for part in range(2)]


def ints(figures: list[int]) -> engine.Ints:
    return np.array(figures, np.int64)


NO_CAPS = Caps(*(np.empty(0, np.int64) for _ in Caps._fields))


def arrays(world: World) -> tuple[Gigs, People, Busy, Caps, engine.Ints]:
    gigs, people = world.gigs, world.people
    gig_at = {gig.id: place for place, gig in enumerate(gigs)}
    person_at = {person.id: place for place, person in enumerate(people)}
    hours = [(place, start, end) for place, person in enumerate(people) for start, end in person.busy]
    return (
        Gigs(
            ids=np.array([gig.id for gig in gigs], np.str_),
            seats=ints([gig.seats for gig in gigs]),
            offers=ints([gig.offers for gig in gigs]),
            lat=np.array([gig.north_m * METRE for gig in gigs], np.float64),
            lon=np.full(len(gigs), 113.0),
            start=ints([gig.start * HOUR * 1000 for gig in gigs]),
            end=ints([(gig.start + gig.hours) * HOUR * 1000 for gig in gigs]),
            day=ints([0 for _ in gigs]),
            lead_s=ints([gig.start * HOUR for gig in gigs]),
            pay=ints([gig.pay for gig in gigs]),
            tags=np.array([[gig.night] for gig in gigs], np.uint64).reshape(-1, 1),
            needs=np.array([word(gig.needs) for gig in gigs], np.uint64).reshape(-1, 2),
            asked=ints([len(gig.needs) for gig in gigs]),
        ),
        People(
            ids=np.array([person.id for person in people], np.str_),
            lat=np.array([person.north_m * METRE for person in people], np.float64),
            lon=np.full(len(people), 113.0),
            reach_m=ints([person.reach_m for person in people]),
            floor=ints([person.floor for person in people]),
            waited_s=ints([person.waited_s for person in people]),
            days=ints([person.days for person in people]),
            tier=ints([person.tier for person in people]),
            refuses=np.array([[person.minor] for person in people], np.uint64).reshape(-1, 1),
            automatic=np.array([person.automatic for person in people], np.bool_),
            has=np.array([word(person.has) for person in people], np.uint64).reshape(-1, 2),
            known=ints([len(person.has) for person in people]),
        ),
        Busy(
            ints([place for place, _, _ in hours]),
            ints([start * HOUR * 1000 for _, start, _ in hours]),
            ints([end * HOUR * 1000 for _, _, end in hours]),
            ints([0 for _ in hours]),
            ints([0 for _ in hours]),
        ),
        NO_CAPS,
        ints([place for gig, person in sorted(world.refused) for place in (gig_at[gig], person_at[person])]).reshape(
            -1, 2
        ),
    )


EVERYWHERE_M = 1_000_000


def rules(**changes: object) -> Rules:
    """Whatever is planned is near enough to be offered: the circle has tests of its own."""
    return default_rules().model_copy(update={"near_m": EVERYWHERE_M} | changes)


def match(world: World, by: Rules, seed: int = 1) -> list[Pair]:
    found: Offers = engine.match(*arrays(world), by, seed)
    return [
        Pair(world.gigs[gig].id, world.people[person].id, layer, score)
        for gig, person, layer, score in zip(
            found.gig.tolist(), found.person.tolist(), found.layer.tolist(), found.score.tolist(), strict=True
        )
    ]


def fits(world: World, gig: G, person: P, by: Rules) -> bool:
    """The hard rules once more, one pair at a time."""
    distance = abs(gig.north_m - person.north_m)
    return (
        distance <= person.reach_m
        and distance <= gig.start * 60 * by.travel_m_per_minute
        and gig.pay >= person.floor
        and not (gig.night and person.minor)
        and gig.needs <= person.has
        and all(end <= gig.start or gig.start + gig.hours <= start for start, end in person.busy)
        and (gig.id, person.id) not in world.refused
    )


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no fault of what is tested."""

codes = st.frozensets(st.sampled_from([0, 1, 63, 64, 99]), max_size=2)
metres = st.integers(0, 80).map(lambda hundreds: hundreds * 100)
some_rules = st.builds(
    rules,
    exposure=st.integers(1, 3),
    candidates=st.sampled_from([1, 2, 64]),
    exact_pairs=st.sampled_from([0, 12, 10_000_000]),
    offers_per_window=st.sampled_from([3, 1000]),
)


@st.composite
def worlds(draw: st.DrawFn, gigs: int = 6, people: int = 10) -> World:
    ids = itertools.count()
    gig = st.builds(
        G,
        id=st.builds(lambda: f"g{next(ids)}"),
        seats=st.integers(1, 4),
        offers=st.integers(0, 3),
        north_m=metres,
        start=st.integers(1, 8),
        hours=st.integers(1, 8),
        pay=st.sampled_from([0, 1900, 2000, 3000, 9000]),
        night=st.booleans(),
        needs=codes,
    )
    person = st.builds(
        P,
        id=st.builds(lambda: f"p{next(ids)}"),
        north_m=metres,
        reach_m=metres,
        floor=st.sampled_from([0, 1900, 2000, 3000]),
        waited_s=st.integers(0, 9000),
        days=st.integers(0, 12),
        tier=st.integers(0, 3),
        minor=st.booleans(),
        automatic=st.booleans(),
        has=codes,
        busy=st.lists(
            st.tuples(st.integers(0, 8), st.integers(1, 8)).map(lambda span: (span[0], span[0] + span[1])), max_size=2
        ).map(tuple),
    )
    found_gigs, found_people = draw(st.lists(gig, max_size=gigs)), draw(st.lists(person, max_size=people))
    pairs = [(gig.id, person.id) for gig in found_gigs for person in found_people]
    refused = draw(st.frozensets(st.sampled_from(pairs), max_size=5)) if pairs else frozenset()
    return World(found_gigs, found_people, refused)


@pytest.mark.feature("F27")
@unhurried
@given(worlds(), some_rules, st.integers(0, 2**63 - 1))
def test_nobody_is_offered_what_a_hard_rule_forbids(world: World, by: Rules, seed: int) -> None:
    gigs = {gig.id: gig for gig in world.gigs}
    people = {person.id: person for person in world.people}
    for pair in match(world, by, seed):
        assert fits(world, gigs[pair.gig], people[pair.person], by)


@unhurried
@given(worlds(), some_rules)
def test_nobody_is_offered_two_gigs_in_one_window(world: World, by: Rules) -> None:
    people = [pair.person for pair in match(world, by)]
    assert len(people) == len(set(people))


@pytest.mark.feature("F35")
@unhurried
@given(worlds(), some_rules)
def test_no_seat_has_more_open_offers_than_its_exposure(world: World, by: Rules) -> None:
    found = match(world, by)
    assert len(found) <= by.offers_per_window
    for gig in world.gigs:
        made = sum(pair.gig == gig.id for pair in found)
        assert made == 0 or made + gig.offers <= gig.seats * by.exposure


@unhurried
@given(worlds(), some_rules)
def test_who_accepts_automatically_gets_a_first_offer_or_none(world: World, by: Rules) -> None:
    automatic = {person.id for person in world.people if person.automatic}
    assert all(pair.layer == 1 for pair in match(world, by) if pair.person in automatic)


@unhurried
@given(worlds(), some_rules)
def test_nobody_who_fits_is_left_over_while_there_is_room(world: World, by: Rules) -> None:
    found = match(world, by)
    if len(found) == by.offers_per_window:
        return
    left = {person.id for person in world.people} - {pair.person for pair in found}
    for gig in world.gigs:
        offers = gig.offers + sum(pair.gig == gig.id for pair in found)
        for person in world.people:
            room = offers < gig.seats * (1 if person.automatic else by.exposure)
            assert not (room and person.id in left and fits(world, gig, person, by))


@pytest.mark.feature("F27")
@unhurried
@given(worlds(), some_rules, st.integers(0, 2**63 - 1), st.randoms(use_true_random=False))
def test_the_order_of_the_inputs_changes_nothing(world: World, by: Rules, seed: int, random: "object") -> None:
    shuffled = World(
        sorted(world.gigs, key=lambda _: random.random()),  # type: ignore[attr-defined]
        sorted(world.people, key=lambda _: random.random()),  # type: ignore[attr-defined]
        world.refused,
    )
    assert match(world, by, seed) == match(world, by, seed) == match(shuffled, by, seed)


@pytest.mark.feature("F16")
@unhurried
@given(worlds(gigs=3, people=5), st.sampled_from([64, 100]))
@example(World([G("a", north_m=0), G("b", north_m=2000)], [P("x", north_m=1000), P("y", north_m=2900)]), 64)
def test_the_assignment_is_the_best_there_is(world: World, candidates: int) -> None:
    """Against every way to seat everybody: as many as can be, and of those the greatest sum of scores."""
    by = rules(exposure=1, candidates=candidates)
    gigs, people, *_ = arrays(world)
    score = engine._scores(gigs, people, by)
    slots = [place for place, gig in enumerate(world.gigs) for _ in range(max(0, gig.seats - gig.offers))]
    best = (0, 0)
    for seated in itertools.permutations([*range(len(world.people)), *[None] * len(slots)], len(slots)):
        pairs = [(gig, person) for gig, person in zip(slots, seated, strict=True) if person is not None]
        if all(fits(world, world.gigs[gig], world.people[person], by) for gig, person in pairs):
            best = max(best, (len(pairs), sum(int(score[gig, person]) for gig, person in pairs)))
        if len(slots) > 5:
            return  # too many ways to try them all
    found = match(world, by)
    assert (len(found), sum(pair.score for pair in found)) == best


@pytest.mark.feature("F16")
@unhurried
@given(worlds(gigs=8, people=20))
def test_the_greedy_way_is_never_better_than_the_exact_one(world: World) -> None:
    exact = match(world, rules(exposure=1))
    greedy = match(world, rules(exposure=1, exact_pairs=0))
    assert (len(greedy), sum(pair.score for pair in greedy)) <= (len(exact), sum(pair.score for pair in exact))


@pytest.mark.parametrize("candidates", [1, 64])
def test_a_batch_beats_nearest_first(candidates: int) -> None:
    """The nearest person to one gig is the only one for the other; also where a gig's next best is looked at later."""
    world = World(
        [G("near"), G("far", north_m=3000)],
        [P("between", north_m=1000, reach_m=2500), P("beside", north_m=-1500, reach_m=2000)],
    )
    assert {(pair.gig, pair.person) for pair in match(world, rules(exposure=1, candidates=candidates))} == {
        ("far", "between"),
        ("near", "beside"),
    }


def test_a_draw_among_equals_is_fair_over_seeds() -> None:
    world = World([G("gig")], [P(f"p{number}") for number in range(4)])
    wins = [match(world, rules(exposure=1), seed)[0].person for seed in range(400)]
    assert all(70 <= wins.count(person.id) <= 130 for person in world.people)


@pytest.mark.parametrize("exact_pairs", [0, 10_000_000])
def test_a_large_gig_is_filled_by_the_best(exact_pairs: int) -> None:
    """Also when its seats are many more than the candidates looked at first."""
    world = World([G("large", seats=300)], [P(f"p{number:03}", waited_s=10 * number) for number in range(500)])
    found = match(world, rules(exposure=1, exact_pairs=exact_pairs))
    assert {pair.person for pair in found} == {f"p{number:03}" for number in range(200, 500)}


def test_many_equal_gigs_are_filled_though_they_look_at_the_same_candidates_first() -> None:
    world = World([G(f"g{number:03}") for number in range(300)], [P(f"p{number:03}") for number in range(400)])
    found = match(world, rules(exposure=1))
    assert len({pair.gig for pair in found}) == len(found) == 300


def test_every_seat_gets_a_first_offer_before_any_gets_a_second() -> None:
    world = World([G("a"), G("b", seats=2)], [P(f"p{number}") for number in range(5)])
    found = match(world, rules())
    assert [pair.layer for pair in found] == [1, 1, 1, 2, 2]
    assert sorted(pair.gig for pair in found[:3]) == ["a", "b", "b"]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (P("x", north_m=100), P("y", north_m=3000)),
        (P("x", waited_s=3600), P("y", waited_s=60)),
        (P("x", floor=2000), P("y", floor=2400)),
        (P("x", has=frozenset({1})), P("y", has=frozenset({1, 2, 3}))),
        (P("x", tier=1), P("y", tier=0)),
        (P("x", days=1), P("y", days=0)),
    ],
    ids=["nearer", "waited longer", "pays more above the floor", "fits more closely", "hardship", "days for nothing"],
)
def test_of_two_who_differ_in_one_thing_the_better_is_chosen(better: P, worse: P) -> None:
    for seed in range(10):
        (pair,) = match(World([G("gig", pay=2600)], [worse, better]), rules(exposure=1), seed)
        assert pair.person == "x"


@pytest.mark.feature("F9")
def test_hardship_is_a_bonus_with_a_bound() -> None:
    """The greatest difficulty does not outweigh eight kilometres."""
    near, far = P("near", reach_m=9000), P("far", north_m=8000, tier=3, reach_m=9000)
    (pair,) = match(World([G("gig", needs=frozenset())], [near, far]), rules(exposure=1))
    assert pair.person == "near"


def test_the_longest_wait_counts_no_more_than_the_others_together() -> None:
    """A wait is bounded too: after two hours it does not grow."""
    waited = [P("two", waited_s=7200), P("nine", waited_s=32_400)]
    wins = {match(World([G("gig")], waited), rules(exposure=1), seed)[0].person for seed in range(20)}
    assert wins == {"two", "nine"}


@pytest.mark.feature("F27")
def test_neither_the_engine_nor_the_profile_knows_sex_or_age() -> None:
    known = {*People.__dataclass_fields__, *WorkerProfile.model_fields}
    assert known == {
        *("ids", "lat", "lon", "reach_m", "floor", "waited_s", "days", "tier", "minor", "automatic", "has", "known"),
        *("skills", "certificates", "floor_fen_per_hour", "accepts_automatically", "revision", "refuses"),
        *("trades_wanted", "trades_unwanted", "only_with_meals", "only_with_lodging", "no_night", "calendar"),
    }


def test_nobody_and_nothing() -> None:
    assert match(World([], []), rules()) == []
    assert match(World([G("gig")], []), rules()) == []
    assert match(World([], [P("person")]), rules()) == []
