"""What people did to a service from outside its rules, kept in its own database: who, when, what, and how it ended."""

from typing import Any

from shared import clock
from shared.unit import Unit


async def audit(unit: Unit, by: str, what: str, **facts: Any) -> None:
    """Note an operator's act in the unit that carries it out, so that neither is there without the other.

    Facts are ids, codes and figures. These notes outlast an erasure: what was written of a person is sealed for them,
    or left to the record that it is in.
    """
    row = {"_id": clock.new_id(), "at": unit.now, "by": by, "what": what, **facts}
    await unit.db["_audit"].insert_one(row, session=unit.session)
