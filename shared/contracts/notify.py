"""What notify says of the messages it sent: that, never what or to which address."""

from shared.contracts import Event
from shared.contracts.terms import Instant


class DeliveryMade(
    Event, topic="notify.delivery", type="notify.delivery-made.v1", subject="delivery_id", key="person_id"
):
    """A message about one event reached one person's channel."""

    delivery_id: str
    person_id: str
    about: str
    channel: str
    at: Instant


class DeliveryFailed(
    Event, topic="notify.delivery", type="notify.delivery-failed.v1", subject="delivery_id", key="person_id"
):
    """A message could not be delivered and will not be tried again on this channel."""

    delivery_id: str
    person_id: str
    about: str
    channel: str
    reason: str
    at: Instant
