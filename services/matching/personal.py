"""What the market holds of people."""

from services.matching.store import Block, Commitments, Offer, Placement, Profile, Waiting
from shared.personal import Holding

LEDGER = "an agency's record of whom it brought together (人力资源市场暂行条例, art. 33: two years); ids only"

PERSONAL = (
    Holding(Waiting, at=("worker_id",), hides=("trace",)),
    Holding(Profile, at=("_id",)),
    Holding(Commitments, at=("_id",)),
    Holding(Block, at=(), also=("worker_id", "employer_id")),
    Holding(Offer, at=("worker_id",), kept=LEDGER, hides=("trace", "seed")),
    Holding(Placement, at=("worker_id", "employer_id"), kept=LEDGER),
)
