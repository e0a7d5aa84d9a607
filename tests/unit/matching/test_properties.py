"""The engine by properties that hold between two windows, and at the edges of what a window may be."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.matching import engine
from services.matching.engine import Busy
from services.matching.rules import Rules
from tests.unit.matching.test_engine import G, P, Pair, World, arrays, fits, match, rules, some_rules, unhurried, worlds

DAY = 24
EXACT = rules()
GREEDY = rules(exact_pairs=0)

few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def filled(world: World, seed: int = 1) -> int:
    """First offers that a window makes: the seats that are filled if all accept."""
    return sum(pair.layer == 1 for pair in match(world, EXACT, seed))


# --- one person or one seat more --------------------------------------------------------------------------------------


@few
@given(worlds(), st.integers(0, 2**63 - 1))
def test_one_person_more_never_fills_fewer_seats(world: World, seed: int) -> None:
    for person in world.people:
        refused = frozenset(pair for pair in world.refused if pair[1] != person.id)
        without = World(world.gigs, [other for other in world.people if other != person], refused)
        assert filled(without, seed) <= filled(world, seed)


@few
@given(worlds(), st.integers(0, 2**63 - 1))
def test_one_seat_more_never_fills_fewer_seats(world: World, seed: int) -> None:
    for place, gig in enumerate(world.gigs):
        larger = [*world.gigs]
        larger[place] = dataclasses.replace(gig, seats=gig.seats + 1)
        assert filled(world, seed) <= filled(World(larger, world.people, world.refused), seed)


# --- what is no input -------------------------------------------------------------------------------------------------


@pytest.mark.feature("F27")
@few
@given(worlds(), some_rules, st.integers(0, 2**63 - 1))
def test_being_a_minor_bars_night_work_and_changes_nothing_else(world: World, by: Rules, seed: int) -> None:
    """The one thing of age that is known, and it is statutory: with no night work in the window it has no effect."""
    by_day = [dataclasses.replace(gig, night=False) for gig in world.gigs]
    flipped = [dataclasses.replace(person, minor=not person.minor) for person in world.people]
    as_they_are, otherwise = (World(by_day, people, world.refused) for people in (world.people, flipped))
    assert match(as_they_are, by, seed) == match(otherwise, by, seed)


@pytest.mark.feature("F36")
@few
@given(worlds(), some_rules, st.integers(0, 2**63 - 1))
def test_a_recorded_seed_draws_the_same_again(world: World, by: Rules, seed: int) -> None:
    first, again = (engine.match(*arrays(world), by, seed) for _ in range(2))
    for field in dataclasses.fields(first):
        assert np.array_equal(getattr(first, field.name), getattr(again, field.name))


@pytest.mark.feature("F36")
def test_another_seed_draws_another_winner() -> None:
    crowd = World([G("gig")], [P(f"p{number:03}") for number in range(100)])
    assert len({match(crowd, rules(exposure=1), seed)[0].person for seed in range(20)}) > 10


# --- overload ---------------------------------------------------------------------------------------------------------


@pytest.mark.feature("F16")
@few
@given(worlds(), st.integers(0, 2**63 - 1))
def test_the_greedy_way_leaves_no_seat_that_can_be_filled(world: World, seed: int) -> None:
    """The same pairs are eligible, and no seat without a first offer is left beside somebody free who fits."""
    found = match(world, GREEDY, seed)
    gigs, people = {gig.id: gig for gig in world.gigs}, {person.id: person for person in world.people}
    assert all(fits(world, gigs[pair.gig], people[pair.person], GREEDY) for pair in found)
    left = [person for person in world.people if person.id not in {pair.person for pair in found}]
    for gig in world.gigs:
        if gig.offers + sum(pair.gig == gig.id for pair in found) < gig.seats:
            assert not any(fits(world, gig, person, GREEDY) for person in left)


@pytest.mark.feature("F16")
def test_a_window_above_the_bound_is_greedy_at_once_and_loses_no_offer() -> None:
    """A crowd of the same place: as many offers as the exact way makes, in the same window."""
    world = World(
        [G(f"g{number:03}", seats=1 + number % 3, north_m=10 * number) for number in range(150)],
        [P(f"p{number:03}", north_m=5 * number, has=frozenset({number % 3})) for number in range(500)],
    )
    pairs = 300 * len(world.people)
    exact, greedy = (match(world, rules(exact_pairs=bound)) for bound in (pairs, pairs // 100))
    seats = sum(gig.seats for gig in world.gigs)
    assert sum(pair.layer == 1 for pair in greedy) == sum(pair.layer == 1 for pair in exact) == seats
    assert len(greedy) == len(exact) == len(world.people)
    first = [sum(pair.score for pair in found if pair.layer == 1) for found in (greedy, exact)]
    assert first[0] <= first[1]  # a later layer is the best of what the one before has left


# --- edges ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [EXACT, GREEDY], ids=["exact", "greedy"])
@pytest.mark.parametrize("seats", [0, 10_000])
def test_a_gig_of_no_seats_and_one_of_ten_thousand(seats: int, by: Rules) -> None:
    world = World([G("gig", seats=seats)], [P(f"p{number}") for number in range(20)])
    assert len(match(world, by)) == min(seats, 20)


def test_ten_thousand_seats_and_as_many_people() -> None:
    """A window makes its most offers, each person one."""
    world = World([G(f"g{number}", seats=100) for number in range(100)], [P(f"p{number}") for number in range(10_000)])
    found = match(world, EXACT)
    assert len({pair.person for pair in found}) == len(found) == EXACT.offers_per_window


def test_a_worker_with_five_hundred_skills() -> None:
    """Eight words of bits: every skill counts, also the first and the last of a word, and none is seen in another's."""
    for asked, known, expected in [({499}, range(500), 1), ({0, 63, 64, 499}, range(500), 1), ({499}, range(499), 0)]:
        gigs, people, busy, caps, refused = arrays(World([G("gig")], [P("person")]))
        gigs = dataclasses.replace(gigs, needs=_bits(asked), asked=np.array([len(asked)]))
        people = dataclasses.replace(people, has=_bits(known), known=np.array([len(known)]))
        assert len(engine.match(gigs, people, busy, caps, refused, EXACT, 1).gig) == expected


def _bits(codes: range | set[int]) -> engine.Bits:
    words = [sum(1 << code % 64 for code in codes if code // 64 == place) for place in range(8)]
    return np.array([words], np.uint64)


@pytest.mark.parametrize(
    ("promised", "offered"),
    [
        ((20, DAY), True),
        ((DAY + 6, DAY + 8), True),
        ((20, DAY + 1), False),
        ((DAY + 5, DAY + 8), False),
        ((20, DAY + 8), False),
        ((DAY + 2, DAY + 3), False),
    ],
    ids=["ends at midnight", "begins at the end", "past midnight", "begins within", "around", "inside"],
)
def test_periods_are_half_open_also_at_midnight(promised: tuple[int, int], offered: bool) -> None:
    world = World([G("gig", start=DAY, hours=6, night=False)], [P("person", busy=(promised,))])
    assert bool(match(world, EXACT)) == offered


@pytest.mark.parametrize(("before_ms", "after_ms"), [(0, 0), (1, 0), (0, 1)])
def test_a_thousandth_of_a_second_is_an_overlap(before_ms: int, after_ms: int) -> None:
    gigs, people, _, caps, refused = arrays(World([G("gig")], [P("person")]))
    start, end = gigs.start[0], gigs.end[0]
    periods = np.array([start - 1000, end - after_ms]), np.array([start + before_ms, end + 1000])
    busy = Busy(np.zeros(2, np.int64), *periods, *np.zeros((2, 2), np.int64))
    assert bool(len(engine.match(gigs, people, busy, caps, refused, EXACT, 1).gig)) == (before_ms == after_ms == 0)


# --- who is far waits a little ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waited_s", "lead_s", "offered"),
    [(1199, 3601, False), (1200, 3601, True), (0, 3601, False), (0, 3600, True)],
    ids=["a second too early", "the circle is there", "just came, starts later", "just came, starts soon"],
)
def test_a_later_gig_is_offered_in_a_circle_that_grows(waited_s: int, lead_s: int, offered: bool) -> None:
    """Twice doubled, a kilometre is four."""
    by = rules(near_m=1000, crowd=1, double_minutes=10, soon_minutes=60)
    gigs, people, busy, caps, refused = arrays(World([G("gig", north_m=4000)], [P("person", waited_s=waited_s)]))
    gigs = dataclasses.replace(gigs, lead_s=np.array([lead_s]))
    assert bool(len(engine.match(gigs, people, busy, caps, refused, by, 1).gig)) == offered


@pytest.mark.parametrize(("others", "offered"), [(0, True), (3, True), (4, False), (50, False)])
def test_in_a_quiet_market_nobody_is_made_to_wait(others: int, offered: bool) -> None:
    """Ten people and seats are a crowd here: of five, circles are twice as large."""
    by = rules(near_m=1000, crowd=10, soon_minutes=60)
    far = [P(f"p{number}", reach_m=0, north_m=-5000) for number in range(others)]
    found = match(World([G("gig", north_m=2000, start=3)], [P("person"), *far]), by)
    assert [pair.person for pair in found] == ["person"] * offered


@pytest.mark.feature("F16")
def test_a_seat_is_kept_for_somebody_far_whom_nothing_else_fits() -> None:
    """Who is between the two is kept for the other one, and has it when their circle is there."""
    gigs = [G("near", start=3), G("far", north_m=3000, start=3)]
    between, beside = P("between", north_m=1000, reach_m=2500), P("beside", north_m=-1500, reach_m=2000)
    by = rules(exposure=1, near_m=1500, crowd=1, double_minutes=10)
    assert [(pair.gig, pair.person) for pair in match(World(gigs, [between]), by)] == [("near", "between")]
    assert [(pair.gig, pair.person) for pair in match(World(gigs, [between, beside]), by)] == [("near", "beside")]
    waited = dataclasses.replace(between, waited_s=600)
    assert {(pair.gig, pair.person) for pair in match(World(gigs, [waited, beside]), by)} == {
        ("far", "between"),
        ("near", "beside"),
    }


def test_a_plan_that_is_cut_says_so_also_when_what_it_keeps_is_not_offered() -> None:
    """Two of three pairs are planned, and the far one is not offered: there is more to do all the same."""
    far = G("far", north_m=5000, start=3), P("far", north_m=-5000, reach_m=20_000)
    here = [(G(f"g{n}", start=3), P(f"p{n}", reach_m=1000)) for n in range(2)]
    world = World([far[0], *(gig for gig, _ in here)], [far[1], *(person for _, person in here)])
    by = rules(exposure=1, near_m=1000, crowd=1, offers_per_window=2)
    offers = [engine.match(*arrays(world), by, seed) for seed in range(20)]
    assert {each.gig.size for each in offers} == {1, 2}
    assert all(each.full for each in offers)
    assert not engine.match(*arrays(world), by.model_copy(update={"offers_per_window": 4}), 1).full


@pytest.mark.feature("F16")
@unhurried
@given(worlds(), some_rules, st.integers(0, 5_000), st.integers(1, 60))
def test_what_is_offered_is_what_of_the_plan_is_near_or_starts_soon(
    world: World, by: Rules, near_m: int, double_minutes: int
) -> None:
    gigs = {gig.id: gig for gig in world.gigs}
    people = {person.id: person for person in world.people}

    def due(pair: Pair) -> bool:
        gig, person = gigs[pair.gig], people[pair.person]
        circle = near_m * 2 ** (person.waited_s / 60 / double_minutes)
        return gig.start <= 2 or abs(gig.north_m - person.north_m) <= circle

    circle = {"near_m": near_m, "crowd": 1, "double_minutes": double_minutes}
    patient = by.model_copy(update=circle | {"soon_minutes": 120})
    assert match(world, patient) == [pair for pair in match(world, by) if due(pair)]
