"""What the registry holds of people."""

from services.workers.store import Block, Presence, Worker
from shared.personal import Holding
from shared.sanctions import HeardSanction

PERSONAL = (
    Holding(Worker, at=("_id",), hides=("id_index",)),
    Holding(Presence, at=("_id",)),
    Holding(HeardSanction, at=("party_id",)),
    Holding(Block, at=("by_id",), also=("worker_id", "employer_id")),
)
