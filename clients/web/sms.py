"""An SMS provider's HTTP API, played in memory, so that codes and notices can be read where there is no provider."""

from collections import OrderedDict
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, StringConstraints

from shared import clock

Phone = Annotated[str, StringConstraints(pattern=r"^\+\d{8,15}$")]
"""A number in E.164 form, such as +8619900000001."""


class Sms(BaseModel):
    """A message to send. The same `idempotency_key` again is the same message."""

    to: Phone
    text: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Sent(BaseModel):
    message_id: str
    to: str
    text: str
    at: datetime


class SmsSink:
    """The last `most` messages, by idempotency key."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._sent: OrderedDict[str, Sent] = OrderedDict()

    def take(self, sms: Sms) -> Sent:
        """Keep the message, once per idempotency key; the oldest go when there are too many."""
        sent = self._sent.get(sms.idempotency_key)
        if sent is None:
            sent = Sent(message_id=clock.new_id(), to=sms.to, text=sms.text, at=clock.now())
            self._sent[sms.idempotency_key] = sent
            while len(self._sent) > self._most:
                self._sent.popitem(last=False)
        return sent

    def sent_to(self, phone: str) -> list[Sent]:
        """The messages for a number, the newest last."""
        return [sent for sent in self._sent.values() if sent.to == phone]
