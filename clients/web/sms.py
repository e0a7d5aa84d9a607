"""Providers' HTTP APIs, played in memory, so that codes and notices can be read where there is no provider.

SMS and voice ask alike; a webhook's receiver is played too. E-mail has no HTTP of its own and is not here.
"""

from collections import OrderedDict
from datetime import datetime
from itertools import islice
from typing import Annotated, Literal

from pydantic import BaseModel, StringConstraints

from shared import clock

Phone = Annotated[str, StringConstraints(pattern=r"^\+\d{8,15}$")]
"""A number in E.164 form, such as +8619900000001."""


class Sms(BaseModel):
    """A message to send. The same `idempotency_key` again is the same message."""

    to: Phone
    text: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Posted(BaseModel):
    """What notify posts to a webhook. The same `id` again is the same message."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    text: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Sent(BaseModel):
    message_id: str
    channel: Literal["sms", "voice", "webhook"]
    to: str
    text: str
    at: datetime


class SmsSink:
    """The last `most` messages, by idempotency key."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._sent: OrderedDict[str, Sent] = OrderedDict()

    def take(self, sms: Sms, channel: Literal["sms", "voice"] = "sms") -> Sent:
        """Keep the message, once per idempotency key; the oldest go when there are too many."""
        return self._take(sms.idempotency_key, channel, sms.to, sms.text)

    def take_posted(self, posted: Posted) -> Sent:
        """The same for what was posted to a webhook; to whom, its receiver does not know."""
        return self._take(posted.id, "webhook", "", posted.text)

    def _take(self, key: str, channel: Literal["sms", "voice", "webhook"], to: str, text: str) -> Sent:
        sent = self._sent.get(key)
        if sent is None:
            sent = Sent(message_id=clock.new_id(), channel=channel, to=to, text=text, at=clock.now())
            self._sent[key] = sent
            while len(self._sent) > self._most:
                self._sent.popitem(last=False)
        return sent

    def sent_to(self, phone: str) -> list[Sent]:
        """The messages for a number, the newest last."""
        return [sent for sent in self._sent.values() if sent.to == phone]

    def latest(self, most: int) -> list[Sent]:
        """The latest messages of all channels, the newest first."""
        return list(islice(reversed(self._sent.values()), most))
