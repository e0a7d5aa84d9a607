"""The registry's rules: identity numbers, ages, hardship tiers, how long a check-in lasts. No I/O, no clock."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import h3
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.contracts.terms import Cell, Code
from shared.contracts.workers import Tier
from shared.problems import Invalid, Text
from shared.rules import Figures
from shared.wording import Said

WORKING_AGE = 16
"""Labour Law of the People's Republic of China, art. 15: nobody under 16 may be hired."""

ADULT_AGE = 18
"""From 16 to 18 a person is a minor worker (Labour Law, art. 58), for whom art. 64 forbids some work."""

LONGEST_CHECK_IN = timedelta(hours=16)
MOST_DISTRICTS = 5
CELL_RESOLUTION = 9

PROVINCE = re.compile(r"1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]")
"""GB/T 2260; 81 to 83 also begin the residence permits for people from Hong Kong, Macao and Taiwan."""

PERMANENT_RESIDENT = "9"
"""Foreign permanent residents' numbers have the same form, with a 9 before the province."""

TOO_YOUNG = Text(
    "Nobody under 16 may be hired (Labour Law, art. 15), so nobody under 16 can register.",
    "根据《劳动法》第十五条，禁止招用未满十六周岁的未成年人，因此未满十六周岁不能登记。",
)
UNKNOWN_CATEGORY = Text(
    "must be categories of this province: {known}",
    "应为本省的就业困难类别：{known}",
)
NOT_OF_THAT_AGE = Text(
    "{category} begins at {men} for men and {women} for women; the identity number says otherwise",
    "{category}：男满 {men} 周岁、女满 {women} 周岁，与身份证号不符",
)
NOT_A_TIME_TO_WAIT = Text(
    "must be later than now and at most {hours} hours from now",
    "应晚于当前时间，且不超过 {hours} 小时",
)


# --- identity numbers ------------------------------------------------------------------------------------------------


def check_character(body: str) -> str:
    """The last character of an identity number by its first 17 digits (GB 11643-1999: ISO 7064 MOD 11-2)."""
    return "10X98765432"[sum(int(digit) * pow(2, 17 - i, 11) for i, digit in enumerate(body)) % 11]


def _id_number(value: str) -> str:
    value = value.upper()
    if not re.fullmatch(r"[1-9][0-9]{16}[0-9X]", value):
        raise Said("must have 18 characters: 17 digits and a digit or X", "应为 18 位：17 位数字加一位数字或 X")
    province = value[1:3] if value.startswith(PERMANENT_RESIDENT) else value[:2]
    if not PROVINCE.fullmatch(province):
        raise Said("must begin with the code of a province", "前两位应为省级行政区划代码")
    try:
        born_on(value)
    except ValueError:
        raise Said("must hold a real date of birth in its digits 7 to 14", "第 7 至 14 位应为真实的出生日期") from None
    if check_character(value[:17]) != value[17]:
        raise Said("must be without a mistake: its check digit does not fit", "校验码不符，请检查是否输错")
    return value


IdNumber = Annotated[str, AfterValidator(_id_number)]
"""A resident identity number (GB 11643-1999), its X in upper case. Its faults are named without repeating it."""


def born_on(id_number: str) -> date:
    return date(int(id_number[6:10]), int(id_number[10:12]), int(id_number[12:14]))


def is_man(id_number: str) -> bool:
    """By the sequence number: odd for men. Asked only where the law itself has an age for each sex."""
    return int(id_number[16]) % 2 == 1


def masked(id_number: str) -> str:
    """As it may be shown to its owner: 43****…**1X, without the date of birth."""
    return f"{id_number[:2]}{'*' * 14}{id_number[-2:]}"


def birthday(born: date, age: int) -> date:
    """The day on which that age is reached; 1 March where there is no 29 February."""
    try:
        return born.replace(year=born.year + age)
    except ValueError:
        return date(born.year + age, 3, 1)


def old_enough(born: date, age: int, today: date) -> bool:
    return today >= birthday(born, age)


# --- days ------------------------------------------------------------------------------------------------------------


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def begins(day: date, zone: ZoneInfo) -> datetime:
    """The moment a local day begins, in UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def waits_until(asked: datetime | None, now: datetime, zone: ZoneInfo) -> datetime:
    """When a check-in ends: as asked, else with the local day; after 16 hours at the latest."""
    latest = now + LONGEST_CHECK_IN
    if asked is None:
        return min(begins(local_day(now, zone) + timedelta(days=1), zone), latest)
    if not now < asked <= latest:
        raise Invalid("until", NOT_A_TIME_TO_WAIT, hours=int(LONGEST_CHECK_IN.total_seconds() // 3600))
    return asked


# --- places ----------------------------------------------------------------------------------------------------------


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The great-circle distance of two (lat, lon)."""
    return float(h3.great_circle_distance(a, b, unit="m"))


def cell_of(lat: float, lon: float) -> Cell:
    """The H3 cell of a position in WGS 84 degrees: all that is kept and said of where a person is."""
    return str(h3.latlng_to_cell(lat, lon, CELL_RESOLUTION))


# --- what a worker can do --------------------------------------------------------------------------------------------


class Certificate(BaseModel):
    """A certificate, good until the moment `until`, or for good. The worker declares it, a clerk checks the paper.

    It counts for work once it is checked.
    """

    model_config = ConfigDict(frozen=True)

    code: Code
    until: datetime | None = None
    checked_by: str | None = None

    def good(self, now: datetime) -> bool:
        return self.until is None or now < self.until

    def counts(self, now: datetime) -> bool:
        return self.checked_by is not None and self.good(now)


# --- hardship --------------------------------------------------------------------------------------------------------


class FromAge(BaseModel):
    """The ages in years from which a category is open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    men: int
    women: int


class Category(BaseModel):
    """A kind of employment difficulty and its tier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tier: Annotated[Tier, Field(ge=1)]
    zh: str
    en: str
    from_age: FromAge | None = None


class TierTable(Figures):
    """A province's categories of employment difficulty, with their tiers."""

    source: str
    categories: Mapping[Code, Category]


def tier_of(table: TierTable, declared: Iterable[str], id_number: str, today: date) -> Tier:
    """The highest tier among the categories a person declares; 0 without any.

    Refuses categories the province does not have, and those whose age the identity number contradicts.
    """
    tier = 0
    for code in declared:
        category = table.categories.get(code)
        if category is None:
            raise Invalid("hardship", UNKNOWN_CATEGORY, known=", ".join(table.categories))
        if not _of_age(category, id_number, today):
            ages = category.from_age or FromAge(men=0, women=0)
            raise Invalid("hardship", NOT_OF_THAT_AGE, category=code, men=ages.men, women=ages.women)
        tier = max(tier, category.tier)
    return tier


def tier_by_other_rules(table: TierTable, declared: Iterable[str], id_number: str, today: date) -> Tier:
    """The tier of what was declared under another table: what this one does not have, or not at that age, counts 0."""
    categories = (table.categories[code] for code in declared if code in table.categories)
    return max((each.tier for each in categories if _of_age(each, id_number, today)), default=0)


def _of_age(category: Category, id_number: str, today: date) -> bool:
    if category.from_age is None:
        return True
    age = category.from_age.men if is_man(id_number) else category.from_age.women
    return old_enough(born_on(id_number), age, today)
