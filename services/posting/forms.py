"""What people and programs send to post and change a gig."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationInfo,
    field_validator,
    with_config,
)
from typing_extensions import TypedDict

from services.posting.domain import KnownHazard, credit_code
from shared.contracts.terms import Code, Crew, Hiring, Instant, Occupation, Pay, Period, Place
from shared.districts import GivenDistrict
from shared.wording import Said


def text_of(least: int, most: int) -> Any:
    return StringConstraints(strip_whitespace=True, min_length=least, max_length=most)


def _to_the_second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


Second = Annotated[Instant, AfterValidator(_to_the_second)]
"""A moment to the second: what is said, stored and compared is the same."""


class PlaceForm(Place):
    model_config = ConfigDict(extra="forbid")


class PayForm(Pay):
    model_config = ConfigDict(extra="forbid")


class CrewForm(Crew):
    model_config = ConfigDict(extra="forbid")


class PeriodForm(Period):
    model_config = ConfigDict(extra="forbid")

    start: Second
    end: Second

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: datetime, info: ValidationInfo) -> datetime:
        if "start" in info.data and end <= info.data["start"]:
            raise Said("must be after the start", "应晚于开始时间")
        return end


Title = Annotated[str, text_of(2, 60)]
Content = Annotated[str, text_of(4, 2000)]
Appeal = Annotated[str, text_of(4, 500)]
Headcount = Annotated[int, Field(strict=True, ge=1)]
Codes = Annotated[tuple[Code, ...], Field(max_length=20)]
Hazards = Annotated[tuple[KnownHazard, ...], Field(max_length=20)]


class GigForm(BaseModel):
    """A gig as it is posted, by the caller.

    Mandatory is what the notice of January 2026 asks of a post: headcount, conditions (`skills` and `certificates`,
    which may be empty), content, place, basic pay, validity. `valid_until` is at the latest the end of the shift. No
    field takes money from a worker. `crew`: people who work together or not at all; it cannot be changed later.
    `appeal` says why a post that is refused for its words breaks no rule: a clerk looks then.
    """

    model_config = ConfigDict(extra="forbid")

    district: GivenDistrict
    title: Title
    occupation: Occupation
    content: Content
    place: PlaceForm
    period: PeriodForm
    headcount: Headcount
    pay: PayForm
    skills: Codes
    certificates: Codes
    meals: bool = False
    lodging: bool = False
    night_work: bool = False
    hiring: Hiring = "instant"
    hazards: Hazards = ()
    crew: CrewForm | None = None
    valid_until: Second
    appeal: Appeal | None = None


@with_config(ConfigDict(extra="forbid"))
class GigChanges(TypedDict, total=False):
    """What changes; the rest stays. With `revision` it holds only for the terms that the employer saw."""

    revision: int
    appeal: Appeal
    title: Title
    occupation: Occupation
    content: Content
    place: PlaceForm
    period: PeriodForm
    headcount: Headcount
    pay: PayForm
    skills: Codes
    certificates: Codes
    meals: bool
    lodging: bool
    night_work: bool
    hiring: Hiring
    hazards: Hazards
    valid_until: Second


GIG_CHANGES = TypeAdapter(GigChanges)


# --- gigs that come under an origin id ------------------------------------------------------------------------------

OriginId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
CreditCode = Annotated[str, AfterValidator(credit_code), Field(examples=["91350100M000100Y43"])]


class OfferForm(GigForm):
    """A gig as a file or a feed has it. `origin_id`: what its sender calls it, and calls no other.

    `credit_code` names the employer that an agency posts for.
    """

    origin_id: OriginId
    credit_code: CreditCode | None = None
    withdrawn: bool = False


class Withdrawal(BaseModel):
    """Of a gig that is withdrawn nothing counts but its origin id."""

    origin_id: OriginId
    withdrawn: bool = False
