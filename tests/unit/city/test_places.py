"""The reference data of the simulated city holds together and stays inside the world it describes."""

import re

import pytest
from pydantic import ValidationError

from clients.city.places import City, Fact, city, metres

# Rough boxes around what each prefecture or district covers (south, west, north, east), to catch a swapped or mistyped
# coordinate without leaning on the file's own centres.
BOXES = {
    "4301": (27.85, 111.88, 28.67, 114.26),
    "5001": (29.28, 106.03, 29.89, 106.37),
    "3301": (30.15, 119.66, 30.58, 120.15),
}
CHANGSHA = {"430102", "430103", "430104", "430105", "430111", "430112", "430121", "430181", "430182"}


def changed(**parts: object) -> dict[str, object]:
    return city().model_dump() | parts


def dumped(*facts: Fact) -> list[dict[str, object]]:
    return [fact.model_dump() for fact in facts]


def test_the_districts_are_changshas_nine_bishan_and_yuhang() -> None:
    assert {district.code for district in city().districts} == CHANGSHA | {"500120", "330110"}
    assert {city().area(code).name_en for code in CHANGSHA} == {"Changsha"}


def test_codes_have_the_shape_of_their_standards() -> None:
    assert all(re.fullmatch(r"[1-9]\d{5}", district.code) for district in city().districts)
    assert all(re.fullmatch(r"\d-\d{2}-\d{2}-\d{2}", occupation.code) for occupation in city().occupations)
    assert len(city().occupations) >= 15


def test_every_position_lies_in_its_districts_rough_box() -> None:
    for district in city().districts:
        south, west, north, east = BOXES[district.code[:4]]
        for lat, lon in (district.centre, *(point.at for point in district.points)):
            assert south <= lat <= north, district.name
            assert west <= lon <= east, district.name


def test_every_place_has_a_name_in_both_languages() -> None:
    for district in city().districts:
        names = [(district.name, district.name_en), *((point.name, point.name_en) for point in district.points)]
        for name, name_en in names:
            assert re.search(r"[\u4e00-\u9fff]", name)
            assert re.fullmatch(r"[A-Za-z ]+", name_en)


def test_no_trade_is_paid_less_than_the_local_minimum_anywhere() -> None:
    for district in city().districts:
        minimum = city().minimum(district.code).fen_per_hour
        for occupation in city().occupations:
            band = city().band(district.code, occupation.code)
            assert minimum <= band.low < band.high, (district.name, occupation.name)


def test_a_band_is_the_job_class_share_of_the_minimum_in_half_yuan_steps() -> None:
    band = city().band("430102", "4-02-07-09")  # 22.00 yuan x 105 % = 23.10, up to 23.50; x 135 % = 31.73, up to 32.00
    assert (band.low, band.high) == (2350, 3200)


def test_what_was_not_read_in_a_source_is_marked_so() -> None:
    assert {minimum.wages: minimum.verified for minimum in city().minimums} == {
        "hunan": True, "chongqing": True, "zhejiang": False,
    }  # fmt: skip


def test_distance_over_ground_is_right_to_a_metre_per_kilometre() -> None:
    assert metres((28.0, 113.0), (29.0, 113.0)) == pytest.approx(111_195, rel=1e-3)
    assert metres((60.0, 0.0), (60.0, 1.0)) == pytest.approx(55_597, rel=1e-3)


def test_a_point_outside_its_district_is_refused() -> None:
    first, *rest = dumped(*city().districts)
    points = first["points"]
    assert isinstance(points, tuple)
    far = first | {"points": (points[0] | {"at": (29.0, 113.0)}, *points[1:])}
    with pytest.raises(ValidationError, match="430102-mawangdui lies outside 芙蓉区"):
        City.model_validate(changed(districts=[far, *rest]))


def test_an_area_without_a_minimum_wage_is_refused() -> None:
    with pytest.raises(ValidationError, match="wages not listed: zhejiang"):
        City.model_validate(changed(minimums=[m for m in dumped(*city().minimums) if m["wages"] != "zhejiang"]))


def test_a_minimum_that_is_not_the_highest_tier_is_refused() -> None:
    first, *rest = dumped(*city().minimums)
    with pytest.raises(ValidationError, match="hunan: the highest tier is 2200"):
        City.model_validate(changed(minimums=[first | {"fen_per_hour": 2000}, *rest]))


def test_a_code_listed_twice_is_refused() -> None:
    occupations = dumped(*city().occupations)
    with pytest.raises(ValidationError, match="occupation listed twice: 4-02-07-09"):
        City.model_validate(changed(occupations=[*occupations, occupations[0] | {"skill": "another"}]))
