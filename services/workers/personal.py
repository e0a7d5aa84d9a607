"""What the registry holds of people."""

from services.workers.store import Block, Presence, Worker
from shared.personal import Holding

PERSONAL = (
    Holding(Worker, at=("_id",), hides=("id_index",)),
    Holding(Presence, at=("_id",)),
    Holding(Block, at=("by_id",), also=("worker_id", "employer_id")),
)
