"""What identity says of accounts."""

from typing import Literal

from shared.contracts import Event
from shared.contracts.terms import Instant


class AccountErased(
    Event, topic="identity.account", type="identity.account-erased.v1", subject="account_id", key="account_id"
):
    """A person had their account erased (PIPL, art. 47): whoever remembers something of it forgets it.

    What the law has kept stays under the id, which leads to nobody any more.
    """

    account_id: str
    role: Literal["worker", "employer"]
    at: Instant
