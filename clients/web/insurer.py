"""An insurer's HTTP API, played in memory, so that a market where there is no insurer can enrol its shifts.

It covers everything that it is asked to, and what it played is lost with its process.
"""

from collections import OrderedDict
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, StringConstraints

from shared import clock
from shared.contracts.terms import Period
from shared.problems import Conflict, Text

REUSED = Text("This idempotency key was used for another enrolment.", "此幂等键已用于另一份投保。")

Reference = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Enrolment(BaseModel):
    """A shift to cover for the half-open span `covers`, under the market's own `reference`."""

    reference: Reference
    worker_id: str
    employer_id: str
    district: str
    occupation: str
    covers: Period


class Withdrawal(BaseModel):
    reference: Reference
    policy_id: str
    at: datetime


class Policy(BaseModel):
    """An entry in the books; `withdrawn_at` once it ended.

    `keys`: under which it was asked for. An insurer that goes by keys alone would have an entry for each.
    """

    policy_id: str
    reference: str
    covers: Period | None
    enrolled_at: datetime | None
    withdrawn_at: datetime | None = None
    keys: list[str] = []


class Books:
    """The last `most` policies, by reference."""

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._policies: OrderedDict[str, Policy] = OrderedDict()
        self._keys: dict[str, str] = {}

    def enrol(self, asked: Enrolment, key: str) -> Policy:
        """Enter a shift, once per reference. Raises `Conflict` for a key that was used for another one."""
        if self._keys.setdefault(key, asked.reference) != asked.reference:
            raise Conflict("idempotency-key-reused", REUSED)
        found = self._policies.get(asked.reference)
        if found is None:
            found = self._enter(
                Policy(
                    policy_id=f"local-{clock.new_id()}",
                    reference=asked.reference,
                    covers=asked.covers,
                    enrolled_at=clock.now(),
                )
            )
        if key not in found.keys:
            found.keys.append(key)
        return found

    def withdraw(self, asked: Withdrawal) -> Policy:
        """End a policy, once; one that an earlier process had in its books is entered as ended."""
        found = self._policies.get(asked.reference) or self._enter(
            Policy(policy_id=asked.policy_id, reference=asked.reference, covers=None, enrolled_at=None)
        )
        found.withdrawn_at = found.withdrawn_at or asked.at
        return found

    def policies(self, reference: str | None = None) -> list[Policy]:
        """What is in the books, the newest last; of one reference if it is given."""
        return [found for found in self._policies.values() if reference in (None, found.reference)]

    def _enter(self, policy: Policy) -> Policy:
        self._policies[policy.reference] = policy
        while len(self._policies) > self._most:
            gone, _ = self._policies.popitem(last=False)
            self._keys = {key: reference for key, reference in self._keys.items() if reference != gone}
        return policy
