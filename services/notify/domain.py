"""The rules of notify: what identifies a message, and how an address is shown."""

from shared.contracts import Event


def kind_of(event: Event) -> str:
    """An event's name without its service and version: `offer-made` of `matching.offer-made.v1`."""
    return event.type.split(".")[1]


def about(event: Event) -> str:
    """What a message is about: `<kind>:<subject>`, the same each time that the event comes."""
    return f"{kind_of(event)}:{event.subject}"


def masked(address: str) -> str:
    """A phone number as it may be shown: +86199****0001."""
    return f"{address[:-8]}****{address[-4:]}"
