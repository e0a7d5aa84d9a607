"""The small logic of bench/placements: what it counts by, and what it reads of a live stream."""

from collections.abc import AsyncIterator

import pytest

from bench.placements import percentile
from bench.placements.city import HOT, SEATS, City, districts
from bench.placements.live import Heard, offers
from bench.placements.load import Load
from bench.placements.usage import Spent


@pytest.mark.parametrize(
    ("of", "value"),
    [(50, 50.5), (95, 95), (99, 99)],
)
def test_percentiles_are_values_that_were_measured_but_for_the_middle(of: int, value: float) -> None:
    assert percentile(range(100, 0, -1), of) == value


def test_the_last_of_few_is_their_99th_of_a_hundred() -> None:
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0


def test_a_city_has_as_many_people_as_seats_and_each_is_near_the_gig() -> None:
    city = City(districts(11))
    brought = [city.next() for _ in range(50)]
    assert {len(each.people) for each in brought} == {SEATS}
    assert all(person.district == each.gig.district for each in brought for person in each.people)
    ids = [person.worker_id for each in brought for person in each.people]
    assert len(set(ids)) == len(ids)


def test_districts_are_as_many_as_asked_for_and_a_hot_spot_is_one_of_them() -> None:
    codes = [district.code for district in districts(100)]
    assert len(set(codes)) == 100
    city = City(districts(100), hot=True)
    drawn = [city.draw().code for _ in range(1_000)]
    assert HOT - 0.1 < drawn.count(codes[0]) / 1_000 < HOT + 0.1


def test_a_seat_is_in_hand_until_its_agreement_is_made_however_often_that_is_said() -> None:
    load = Load(stack=None, door=None, in_hand=10, brought=3)  # type: ignore[arg-type]
    load.placed.update(p1=1_000, p2=2_500)
    load.agreed |= {"p1"}
    assert load.waiting == 2
    load.agreed |= {"p1"}
    assert load.waiting == 2
    assert (load.placed_between(1.0, 2.5), load.placed_between(1.0, 2.6)) == (1, 2)


def test_what_others_took_is_a_part_of_the_whole_machine() -> None:
    assert Spent({}, others=30.0, seconds=60.0, cores=2).foreign == 0.25


def test_the_parts_of_a_wait_are_the_whole() -> None:
    assert Heard(0.1, 0.5, 0.2).whole == pytest.approx(0.8)


async def test_of_a_live_stream_the_offers_are_read() -> None:
    async def content() -> AsyncIterator[bytes]:
        for line in (
            b": open\n",
            b"\n",
            b'data: {"kind": "placement-made", "refs": {"gig_id": "g"}}\n',
            b'data: {"kind": "offer-made", "refs": {"offer_id": "o-1"}}\n',
        ):
            yield line

    assert [offer async for offer in offers(content())] == ["o-1"]
