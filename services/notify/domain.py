"""The rules of notify: what identifies a message, how an address is shown, and when it goes out."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import h3

from shared.contracts import Event

Via = Literal["push", "wechat", "sms", "voice", "email", "webhook", "wecom"]
"""The channels outside, in the order in which they are tried for who has said nothing else."""
ORDER: tuple[Via, ...] = get_args(Via)

SEVERAL: frozenset[Via] = frozenset({"push"})
"""Channels by which a person is reached at several places at once: each browser of theirs is one."""

EARTH_M = 6_371_008.8
"""The mean radius (IUGG), by which angles become metres."""


def kind_of(event: Event) -> str:
    """An event's name without its service and version: `offer-made` of `matching.offer-made.v1`."""
    return event.type.split(".")[1]


def about(event: Event) -> str:
    """What a message is about: `<kind>:<subject>`, the same each time that the event comes."""
    return f"{kind_of(event)}:{event.subject}"


def masked(address: str) -> str:
    """An address as it may be shown: +86199****0001, w****@example.org, https://example.org/****."""
    if "://" in address:
        return f"{address.partition('://')[0]}://{urlsplit(address).hostname}/****"
    if "@" in address:
        return f"{address[0]}****@{address.rpartition('@')[2]}"
    return f"{address[:-8]}****{address[-4:]}"


def ways(
    has: Collection[Via], order: Sequence[Via], by_kind: Mapping[str, Sequence[Via]], kind: str
) -> tuple[Via, ...]:
    """The channels that a kind of message takes to a person, the first one first; the others stand in for it.

    What the person said of the kind goes before their order, and that before ours. None: it stays in their list.
    """
    wanted = by_kind[kind] if kind in by_kind else (*order, *(way for way in ORDER if way not in order))
    return tuple(way for way in wanted if way in has)


def after_quiet(now: datetime, begins: time, ends: time, zone: ZoneInfo) -> datetime:
    """`now`, or the end of the quiet hours in which it lies: half-open, of the zone's day, across midnight or not."""
    local = now.astimezone(zone)
    hour = local.time()
    quiet = begins <= hour < ends if begins <= ends else hour >= begins or hour < ends
    return next_time(now, ends, zone) if quiet else now


def next_time(now: datetime, hour: time, zone: ZoneInfo) -> datetime:
    """When this hour of the zone's day comes next, after `now`."""
    local = now.astimezone(zone)
    at = datetime.combine(local.date(), hour, zone)
    if at <= local:
        at = datetime.combine(local.date() + timedelta(days=1), hour, zone)
    return at.astimezone(UTC)


def metres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """How far apart two positions are over ground, each as latitude and longitude in degrees."""
    return float(h3.great_circle_distance(one, other, unit="rads")) * EARTH_M
