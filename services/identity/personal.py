"""What identity holds of people, and how a person's account ends."""

from typing import Literal

from services.identity.store import Account, Reading, Session, Tie
from shared.contracts.identity import AccountErased
from shared.personal import Holding, erase
from shared.unit import Unit

UNUSED = "account-unused"

PERSONAL = (
    Holding(Account, at=("_id",), hides=("login", "secret_hash")),
    Holding(Session, at=("account_id",), hides=("token_hash",)),
    Holding(Tie, at=("people",)),
    Holding(
        Reading,
        at=("person_id",),
        kept="who read a phone is shown in an audit until its time is over (PIPL, art. 51 and 54); ids only",
    ),
)


async def end(unit: Unit, account: Account) -> None:
    """Erase a person's account, here at once and elsewhere when they hear of it."""
    role: Literal["worker", "employer"] = "worker" if account.role == "worker" else "employer"
    unit.cancel_timer(UNUSED, account.id)
    await erase(unit, PERSONAL, account.id)
    unit.publish(AccountErased(account_id=account.id, role=role, at=unit.now))
