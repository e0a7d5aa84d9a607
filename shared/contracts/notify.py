"""What notify says of the messages it sent: that, never what or to which address. And what it tells many at once."""

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts import Event
from shared.contracts.terms import Cell, District, Instant

AlertKind = Literal["safety", "fraud"]


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


class AlertRaised(Event, topic="notify.alert", type="notify.alert-raised.v1", subject="alert_id", key="district"):
    """A clerk warns those near a place, by its cell, until a time. Its words are public, at /api/notify/alerts."""

    alert_id: str
    kind: AlertKind
    district: District
    cell: Cell
    radius_m: Annotated[int, Field(gt=0)]
    at: Instant
    until: Instant


class AlertWithdrawn(Event, topic="notify.alert", type="notify.alert-withdrawn.v1", subject="alert_id", key="district"):
    """A clerk took an alert back: it does not hold, or no longer. Who had been told is told so."""

    alert_id: str
    kind: AlertKind
    district: District
    at: Instant


class NoticePosted(Event, topic="notify.notice", type="notify.notice-posted.v1", subject="notice_id", key="district"):
    """A clerk tells a station's group something urgent, about a gig or not. Its words are the group's."""

    notice_id: str
    station_id: str
    district: District
    gig_id: str | None = None
    at: Instant
    until: Instant
