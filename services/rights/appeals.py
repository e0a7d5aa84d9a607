"""An appeal against what was decided about somebody: said anew until a clerk decides, which happens once."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, StringConstraints

from services.rights.store import Appeal
from shared.contracts.terms import Instant
from shared.problems import Conflict, Forbidden, Text
from shared.sealed import PersonalSealer

DECIDED = Text("The appeal has been decided.", "申诉已有结论。")
NONE_MADE = Text("Nobody has appealed against it.", "尚无人对其提出申诉。")
SAME_CLERK = Text(
    "You decided this yourself; the appeal is for somebody else to decide.",
    "该决定由您作出，申诉须由其他工作人员处理。",
)

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=500)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AppealForm(_Form):
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=4, max_length=1_000)]


class AppealDecision(_Form):
    """`upheld`: the appeal was right, and what it is against is taken back. The reason is for who appealed."""

    upheld: bool
    reason: Reason


class AppealView(BaseModel):
    text: str | None
    at: Instant
    state: Literal["waiting", "upheld", "refused"]
    reason: str | None
    decided_at: Instant | None

    @classmethod
    async def of(cls, made: Appeal | None, person_id: str, sealer: PersonalSealer) -> Self | None:
        """What `person_id` said, opened; without text once they are erased."""
        if made is None:
            return None
        text = await sealer.opened(made.text, of=person_id, field="appeal")
        return cls(text=text, **made.model_dump(exclude={"text", "decided_by"}))


def may_appeal(made: Appeal | None) -> None:
    """Raises `Conflict` appeal-decided when one was."""
    if made and made.state != "waiting":
        raise Conflict("appeal-decided", DECIDED)


async def make(form: AppealForm, person_id: str, sealer: PersonalSealer, now: datetime) -> Appeal:
    """The appeal, its words sealed for who says them."""
    return Appeal(text=await sealer.seal(form.text, of=person_id, field="appeal"), at=now)


def decide(
    made: Appeal | None, decision: AppealDecision, *, by: str, now: datetime, decided_by: str = "market"
) -> None:
    """A clerk decides who is not `decided_by`, the one that what it is against is from.

    Raises `Conflict` no-appeal or appeal-decided, and `Forbidden` same-clerk.
    """
    if made is None:
        raise Conflict("no-appeal", NONE_MADE)
    may_appeal(made)
    if decided_by == by:
        raise Forbidden(SAME_CLERK, code="same-clerk")
    made.state = "upheld" if decision.upheld else "refused"
    made.reason, made.decided_by, made.decided_at = decision.reason, by, now
