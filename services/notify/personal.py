"""What notify holds of people."""

from services.notify.store import Contact, Delivery, Mailbox, Member, Message, Preferences, Presence, Standing
from shared.personal import Holding

PERSONAL = (
    Holding(Contact, at=("_id",)),
    Holding(Preferences, at=("_id",)),
    Holding(Mailbox, at=("_id",)),
    Holding(Message, at=("person_id",)),
    Holding(Delivery, at=("person_id",), hides=("trace",)),
    Holding(Presence, at=("worker_id",)),
    Holding(Member, at=("person_id",)),
    Holding(Standing, at=("_id",)),
)
