"""Writes down the events and the HTTP interface as the code has them: `python -m docs.build`, or `make contracts`.

    docs/events.md                  the catalogue of events
    docs/events-changelog.md        what each release of them changed
    docs/site/asyncapi.json         AsyncAPI 3.0: channels, messages, who sends and who receives
    docs/site/openapi/<service>.json, docs/site/openapi.json (all of them, as the gateway serves them)
    docs/site/{index,events,api}.html

Nothing is started. A test fails when the files are not what this would write.
"""

import inspect
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.topics import Topic
from deploy.topics import read as read_topics
from docs import pages
from shared.contracts import Event, catalogue
from shared.contracts.record import EXAMPLES, Schema, changes, releases, schema_of, text_of
from shared.run import PORTS, load
from shared.service import Service
from shared.settings import Settings
from shared.unit import outbox_row

HERE = Path(__file__).parent
SERVICES = HERE.parent / "services"

FOR_OTHERS = {
    "posting.feed-answered.v1": "for the agency that sent the post",
    "matching.offer-declined.v1": "for statistics; matching itself has freed the seat",
    "notify.delivery-made.v1": "for operators: that a person was told",
    "notify.delivery-failed.v1": "for operators: that a person could not be told",
    "notify.alert-raised.v1": "for whoever shows alerts; notify itself tells those near",
    "notify.alert-withdrawn.v1": "for whoever shows alerts; notify itself tells those who had been told",
    "notify.notice-posted.v1": "for whoever shows what stations say; notify itself tells the group",
    "rights.cover-confirmed.v1": "for statistics of cover; whoever may start asks rights",
    "rights.rating-published.v1": "for statistics; averages are asked of rights",
    "rights.shift-ended.v1": "for statistics of hours worked",
    "rights.timesheet-approved.v1": "for statistics of hours worked",
}
"""Events that no service of ours reacts to, and whom they are for."""

FROM_OTHERS = {"agencies": "each other agency, for itself"}
"""Who says events and is no service of ours, as the events' types name them."""

HEADERS: dict[str, tuple[str, str]] = {
    "ce_specversion": ("CloudEvents version.", "1.0"),
    "ce_id": ("The event's id. It may come twice and acts once.", "01a2054f-1ea8-7c11-8a53-2f6b9d04e7c1"),
    "ce_type": ("What happened, with its version.", ""),
    "ce_source": ("The service that says it.", ""),
    "ce_subject": ("The aggregate it happened to; its events are in order.", ""),
    "ce_time": ("When it was said (RFC 3339).", "2026-11-22T22:10:31Z"),
    "ce_sequence": ("The event's number among its subject's, from 1.", "1"),
    "content-type": ("How the body is written.", "application/json"),
    "traceparent": (
        "The trace it belongs to (W3C Trace Context).",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
}
"""The headers of every message, CloudEvents attributes in Kafka's binary mode: what each means, and an example."""


@dataclass(frozen=True)
class Hearing:
    """One service's reaction to an event."""

    service: str
    handler: str
    meaning: str


@dataclass(frozen=True)
class Told:
    """One event with all that is known of it."""

    kind: type[Event]
    example: Mapping[str, Any]
    heard: tuple[Hearing, ...]

    @property
    def name(self) -> str:
        return self.kind.__name__

    @property
    def service(self) -> str:
        return self.kind.type.split(".")[0]

    @property
    def meaning(self) -> str:
        return inspect.cleandoc(self.kind.__doc__ or "")

    @property
    def for_others(self) -> str:
        return FOR_OTHERS.get(self.kind.type, "")

    @property
    def schema(self) -> dict[str, Any]:
        return self.kind.model_json_schema()

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the example is sent with."""
        event = self.kind.model_validate(self.example)
        said_at = datetime.fromisoformat(HEADERS["ce_time"][1]).astimezone(UTC)
        carrier = {"traceparent": HEADERS["traceparent"][1]}
        return outbox_row(event, HEADERS["ce_id"][1], 1, self.service, said_at, carrier).headers


def services(folder: Path = SERVICES) -> dict[str, Service]:
    """Every service by name, in the order of their ports: a folder below services/ with an app.py.

    Raises LookupError for a folder that is a package but no service.
    """
    names = [init.parent.name for init in folder.glob("*/__init__.py")]
    for name in names:
        if not (folder / name / "app.py").exists():
            raise LookupError(f"services/{name} has no app.py")
    ordered = sorted(names, key=lambda name: (PORTS.get(name, 1 << 16), name))
    return {name: load(name) for name in ordered}


def told(services: Mapping[str, Service]) -> list[Told]:
    """Every event, in the order of its service, file and class."""
    events = []
    for type_, kind in catalogue().items():
        heard = tuple(
            Hearing(name, reaction.handler.__qualname__, inspect.getdoc(reaction.handler) or "")
            for name, service in services.items()
            if (reaction := service.reactions.events.get(type_))
        )
        example = json.loads((EXAMPLES / f"{type_}.json").read_text("utf-8"))
        events.append(Told(kind, example, heard))
    order = [*services, *FROM_OTHERS]
    return sorted(events, key=lambda each: order.index(each.service))


# --- the catalogue -------------------------------------------------------------------------------------------------


def events_md(events: list[Told]) -> str:
    lines = [
        "# Events",
        "",
        "Generated by `make contracts` from shared/contracts and the services' reactions; do not edit.",
        "Each event's schema is in shared/contracts/schemas, an example in shared/contracts/examples.",
        "As a page: docs/site/events.html, served at /docs/events.html.",
    ]
    for service in dict.fromkeys(each.service for each in events):
        lines += ["", f"## What {service} says", ""]
        lines += ["| Event | Type | Topic | Key | Who reacts | Meaning |", "|---|---|---|---|---|---|"]
        for each in events:
            if each.service == service:
                who = ", ".join(f"{h.service} (`{h.handler}`)" for h in each.heard) or f"– ({each.for_others})"
                meaning = " ".join(each.meaning.split())
                schema = f"../shared/contracts/schemas/{each.kind.type}.json"
                lines.append(
                    f"| [{each.name}]({schema}) | `{each.kind.type}` | `{each.kind.topic}` | `{each.kind.key_field}` "
                    f"| {who} | {meaning} |"
                )
    return "\n".join(lines) + "\n"


def changelog_md(kept: Mapping[str, Mapping[str, Schema]], now: Mapping[str, Schema]) -> str:
    """What each release of the events changed, the newest first, and what is to come."""
    lines = [
        "# What changed in the events",
        "",
        "Generated by `make contracts` from shared/contracts and its releases; do not edit. *Safe*: who reads or says",
        "the events as they were gets on with whoever has them as they are. From release 1.0 on there is nothing else:",
        "what would break is a new version of the event, said beside the old one until a release retires that.",
    ]
    names = [*kept, "next"]
    whole = {**kept, "next": now}
    for before, name in reversed(list(zip([None, *names], names, strict=False))):
        if before is None:
            lines += ["", f"## {name}", "", f"The first release: {len(whole[name])} events."]
            continue
        found = changes(whole[before], whole[name])
        if name == "next" and not found:
            continue
        lines += ["", "## To come" if name == "next" else f"## {name}", ""]
        for type_ in dict.fromkeys(change.type for change in found):
            lines += [f"- `{type_}`"]
            lines += [f"  - {'safe' if c.safe else '**breaking**'}: {c.what}" for c in found if c.type == type_]
        lines += [] if found else ["Nothing on the wire."]
    return "\n".join(lines) + "\n"


# --- AsyncAPI ------------------------------------------------------------------------------------------------------


def asyncapi(events: list[Told], topics: Mapping[str, Topic]) -> dict[str, Any]:
    """The suite as an AsyncAPI 3.0.0 document."""
    parts: dict[str, Any] = {}
    for each in events:
        schema = each.kind.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, part in {**schema.pop("$defs", {}), each.name: schema}.items():
            if parts.setdefault(name, part) != part:
                raise ValueError(f"two parts of events are called {name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Kuaizhao events 快招事件",
            "version": "1",
            "description": "What the services of a public gig market tell one another and any agency that may listen: "
            "CloudEvents in Kafka's binary mode, JSON bodies, no personal data. Within a version, fields are only "
            "added: ignore those you do not know. An event may come twice under one ce_id.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {"host": "127.0.0.1:19092", "protocol": "kafka", "description": "As `make up` starts it."},
            "compose": {"host": "kafka:9092", "protocol": "kafka", "description": "Inside docker-compose.yml."},
        },
        "channels": {
            name: channel(topics[name], [each for each in events if each.kind.topic == name])
            for name in sorted({each.kind.topic for each in events})
        },
        "operations": dict(sorted({k: v for each in events for k, v in operations(each).items()}.items())),
        "components": {
            "messages": {each.name: message(each) for each in events},
            "schemas": dict(sorted(parts.items())) | {"Headers": headers_schema()},
        },
    }


def channel(topic: Topic, events: list[Told]) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": f"Keyed by {topic.key}.",
        "messages": {each.name: {"$ref": f"#/components/messages/{each.name}"} for each in events},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {"retention.ms": topic.retention_hours * 3_600_000},
                "bindingVersion": "0.5.0",
            }
        },
    }


def message(each: Told) -> dict[str, Any]:
    return {
        "name": each.kind.type,
        "title": each.name,
        "summary": each.meaning.split("\n\n")[0].replace("\n", " "),
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/Headers"},
        "payload": {"$ref": f"#/components/schemas/{each.name}"},
        "tags": [{"name": each.service}],
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"The event's {each.kind.key_field}."},
                "bindingVersion": "0.5.0",
            }
        },
        "examples": [{"name": each.kind.type, "headers": each.headers, "payload": each.example}],
    }


def operations(each: Told) -> dict[str, Any]:
    """Who sends this event and who receives it."""

    def operation(action: str, service: str, summary: str) -> dict[str, Any]:
        channel = "#/channels/" + each.kind.topic.replace("~", "~0").replace("/", "~1")
        return {
            "action": action,
            "summary": summary,
            "channel": {"$ref": channel},
            "messages": [{"$ref": f"{channel}/messages/{each.name}"}],
            "tags": [{"name": service}],
        }

    said = {f"{each.service}.send.{each.name}": operation("send", each.service, f"{each.service} says {each.name}")}
    return said | {
        f"{h.service}.receive.{each.name}": operation(
            "receive", h.service, h.meaning.split("\n")[0] or f"{h.service}: {h.handler.replace('_', ' ')}"
        )
        for h in each.heard
    }


def headers_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": meaning} for name, (meaning, _) in HEADERS.items()},
        "required": [name for name in HEADERS if name != "traceparent"],
    }


# --- OpenAPI -------------------------------------------------------------------------------------------------------

GATEWAY = [{"url": "/", "description": "The gateway that serves this page 提供本页的网关"}]


def openapi(service: Service) -> dict[str, Any]:
    """A service's interface as the gateway serves it."""
    described = service.app(Settings()).openapi()
    for path in described["paths"].values():
        for operation in path.values():
            operation["tags"] = [service.name]
    return {**described, "servers": GATEWAY}


def merged(described: Mapping[str, Mapping[str, Any]], about: Mapping[str, str]) -> dict[str, Any]:
    """All interfaces as one. Components that differ under one name get their service's name in front."""
    ours = {name: _renamed(name, one, _collisions(described)) for name, one in described.items()}
    return {
        "openapi": next(iter(ours.values()))["openapi"],
        "info": {
            "title": "Kuaizhao 快招",
            "version": "1",
            "description": "The HTTP interface of a public gig market, whole, at the gateway. "
            "Commands take an `Idempotency-Key`; problems are RFC 9457, in Chinese or English by `Accept-Language`.",
        },
        "servers": GATEWAY,
        "tags": [{"name": name, "description": about[name]} for name in ours],
        "paths": {path: item for one in ours.values() for path, item in one["paths"].items()},
        "components": {group: _united(ours.values(), group) for group in ("schemas", "securitySchemes")},
    }


def _united(described: Iterable[Mapping[str, Any]], group: str) -> dict[str, Any]:
    parts = {name: part for one in described for name, part in one["components"].get(group, {}).items()}
    return dict(sorted(parts.items()))


def _collisions(described: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Component names that mean different things in different services, themselves or in what they refer to."""
    parts = {name: one["components"]["schemas"] for name, one in described.items()}
    texts: dict[str, set[str]] = {}
    for one in parts.values():
        for name, part in one.items():
            texts.setdefault(name, set()).add(json.dumps(part, sort_keys=True))
    shared = {name for name, times in Counter(name for one in parts.values() for name in one).items() if times > 1}
    colliding = {name for name in texts if len(texts[name]) > 1}
    while more := {
        name
        for name in shared - colliding
        if any(f'"#/components/schemas/{other}"' in text for other in colliding for text in texts[name])
    }:
        colliding |= more
    return colliding


def _renamed(service: str, described: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    text = json.dumps(described)
    for name in names:
        text = text.replace(f'"#/components/schemas/{name}"', f'"#/components/schemas/{service.title()}{name}"')
    renamed: dict[str, Any] = json.loads(text)
    schemas = renamed["components"]["schemas"]
    renamed["components"]["schemas"] = {
        (f"{service.title()}{name}" if name in names else name): part for name, part in schemas.items()
    }
    return renamed


# --- all -----------------------------------------------------------------------------------------------------------


def files() -> dict[str, str]:
    """Everything that is generated: path below docs/ to text."""
    found = services()
    events = told(found)
    described = {name: openapi(service) for name, service in found.items()}
    whole = merged(described, {name: service.about for name, service in found.items()})
    channels = asyncapi(events, {topic.name: topic for topic in read_topics()})
    return {
        "events.md": events_md(events),
        "events-changelog.md": changelog_md(releases(), {each.kind.type: schema_of(each.kind) for each in events}),
        "site/index.html": pages.index(found, events),
        "site/events.html": pages.events(events, HEADERS),
        "site/api.html": pages.api(whole),
        "site/asyncapi.json": text_of(channels),
        "site/openapi.json": text_of(whole),
        **{f"site/openapi/{name}.json": text_of(one) for name, one in described.items()},
    }


def left_over(written: Mapping[str, str]) -> list[Path]:
    """Files among the generated ones that nothing generates any more."""
    kept = {HERE / path for path in written} | {HERE / "site" / "docs.css"}
    return [file for file in sorted((HERE / "site").rglob("*")) if file.is_file() and file not in kept]


def main() -> None:
    written = files()
    for path, text in written.items():
        (HERE / path).parent.mkdir(parents=True, exist_ok=True)
        (HERE / path).write_text(text, "utf-8")
    for file in left_over(written):
        file.unlink()
    print(f"docs: {len(written)} files")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
