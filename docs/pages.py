"""The generated pages: plain HTML that needs no script and no other host."""

import json
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docs.build import Told
    from shared.service import Service

METHODS = ("get", "post", "put", "patch", "delete")


def page(title: str, body: Iterable[str], nav: Iterable[tuple[str, str, str]] = ()) -> str:
    side = "".join(f'<a href="#{escape(to)}" class="{kind}">{escape(text)}</a>' for to, text, kind in nav)
    return f"""<!doctype html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)} · 快招 Kuaizhao</title>
<link rel="stylesheet" href="docs.css">
</head>
<body>
<header class="top"><a class="home" href="index.html">快招 Kuaizhao</a>
<nav><a href="events.html">事件 Events</a><a href="api.html">接口 HTTP API</a><a href="/">实况 Live</a></nav></header>
<div class="{"columns" if side else "single"}">
{f'<nav class="side" aria-label="目录 Contents">{side}</nav>' if side else ""}
<main>
{"".join(body)}
</main>
</div>
</body>
</html>
"""


# --- pieces --------------------------------------------------------------------------------------------------------


def prose(text: str) -> str:
    """Paragraphs, with `code` between backticks."""
    return "".join(f"<p>{inline(part)}</p>" for part in text.split("\n\n") if part.strip())


def inline(text: str) -> str:
    pieces = escape(" ".join(text.split()), quote=False).split("`")
    if len(pieces) % 2 == 0:  # an odd backtick is only a character
        return "`".join(pieces)
    return "".join(f"<code>{piece}</code>" if n % 2 else piece for n, piece in enumerate(pieces))


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already; nothing when there are no rows."""
    lines = ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    head = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join(lines)
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>' if lines else ""
    )


def code(text: str) -> str:
    return f"<code>{escape(text, quote=False)}</code>"


def example(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, ensure_ascii=False, indent=2), quote=False)}</pre>"


def badge(service: str) -> str:
    return f'<span class="service {escape(service)}">{escape(service)}</span>'


# --- schemas -------------------------------------------------------------------------------------------------------

Schema = Mapping[str, Any]

FIELD_HEADS = ("字段 Field", "类型 Type", "", "含义 Meaning")


def fields_table(schema: Schema, parts: Mapping[str, Schema]) -> str:
    """A schema's fields as a table, those of its parts under their path."""
    return table(FIELD_HEADS, fields("", schema, parts, ()))


def fields(path: str, schema: Schema, parts: Mapping[str, Schema], above: tuple[str, ...]) -> Iterator[list[str]]:
    name, schema = resolved(schema, parts)
    if name and name in above:
        return
    needed = schema.get("required", ())
    for field, part in schema.get("properties", {}).items():
        here = f"{path}.{field}" if path else field
        note = "必填 required" if field in needed else default_of(part)
        _, whole = resolved(part, parts)
        yield [code(here), type_of(part, parts), note, inline(part.get("description") or whole.get("description", ""))]
        yield from fields(here, part, parts, (*above, name) if name else above)
    for option in schema.get("anyOf", ()):
        yield from fields(path, option, parts, above)
    if "items" in schema:
        yield from fields(f"{path}[]", schema["items"], parts, above)


def resolved(schema: Schema, parts: Mapping[str, Schema]) -> tuple[str, Schema]:
    """A schema with its reference followed, and the name it had."""
    if "$ref" not in schema:
        return "", schema
    name = str(schema["$ref"]).rsplit("/", 1)[-1]
    return name, parts[name]


def default_of(schema: Schema) -> str:
    value = schema.get("default")
    return "" if value is None or value in ([], {}) else f"默认 default {code(json.dumps(value, ensure_ascii=False))}"


def type_of(schema: Schema, parts: Mapping[str, Schema]) -> str:
    """A schema's type in a few words, its bounds and form included; as HTML."""
    name, schema = resolved(schema, parts)
    if "anyOf" in schema:
        return " 或 or ".join(dict.fromkeys(type_of(option, parts) for option in schema["anyOf"]))
    if "const" in schema:
        return code(json.dumps(schema["const"], ensure_ascii=False))
    if "enum" in schema:
        return " · ".join(code(str(value)) for value in schema["enum"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"{type_of(schema.get('items', {}), parts)} []{bounds(schema, 'minItems', 'maxItems')}"
    if kind == "object":
        return escape(name or "object")
    kind = {"date-time": "time", "date": "date", "uri": "URI"}.get(schema.get("format", ""), kind)
    form = f"<br>{code(schema['pattern'])}" if "pattern" in schema else ""
    return escape(kind) + bounds(schema, "minimum", "maximum") + bounds(schema, "minLength", "maxLength") + form


def bounds(schema: Schema, least: str, most: str) -> str:
    """What a value or its length may be at least and at most, such as ` 1…200`; as HTML."""
    low, high = schema.get(least), schema.get(most)
    above = schema.get("exclusiveMinimum") if least == "minimum" else None
    if above is not None:
        return f" &gt; {above}" + (f", ≤ {high}" if high is not None else "")
    if low is not None and high is not None:
        return f" {low}…{high}"
    if low is not None:
        return f" ≥ {low}"
    return f" ≤ {high}" if high is not None else ""


# --- events --------------------------------------------------------------------------------------------------------


def events(events: "list[Told]", headers: Mapping[str, tuple[str, str]]) -> str:
    body = [
        "<h1>事件 Events</h1>",
        prose(
            "What the services tell one another, over Kafka. Every topic may be opened to another agency: no event "
            "holds a person's name, number or position. Within a version, fields are only added: ignore those you do "
            "not know."
        ),
        prose(
            "各服务之间、以及向其他机构开放的消息。事件中没有姓名、证件号、电话或个人位置。同一版本只增加字段，请忽略不认识的字段。"
        ),
        '<p>机器可读 Machine-readable: <a href="asyncapi.json">AsyncAPI 3.0</a></p>',
        '<section><h2 id="headers">每条消息的头 Headers of every message</h2>',
        table(
            ("头 Header", "含义 Meaning", "示例 Example"),
            ([code(name), inline(meaning), code(sample)] for name, (meaning, sample) in headers.items()),
        ),
        "</section>",
    ]
    nav = [("headers", "消息头 Headers", "group")]
    for service, group in groupby(events, key=lambda each: each.service):
        body.append(f'<h2 id="{service}" class="group">{badge(service)} 发布 says</h2>')
        nav.append((service, f"{service} 发布 says", "group"))
        for each in group:
            nav.append((each.name, each.name, ""))
            body.append(event(each))
    return page("事件 Events", body, nav)


def event(each: "Told") -> str:
    heard = table(
        ("服务 Service", "处理 Reaction"),
        ([badge(h.service), code(f"services.{h.service}.handlers.{h.handler}") + prose(h.meaning)] for h in each.heard),
    )
    facts = table(
        ("类型 Type", "主题 Topic", "分区键 Key", "次序 In order per", "发布 Said by"),
        [
            [
                code(each.kind.type),
                code(each.kind.topic),
                code(each.kind.key_field),
                code(each.kind.subject_field),
                badge(each.service),
            ]
        ],
    )
    return (
        f'<section class="event"><h3 id="{each.name}">{each.name}</h3>{prose(each.meaning)}{facts}'
        f"<h4>字段 Fields</h4>{fields_table(each.schema, each.schema.get('$defs', {}))}"
        f"<h4>谁来处理 Who reacts</h4>{heard or f'<p>开放给其他机构 Open to others: {inline(each.for_others)}.</p>'}"
        f"<details><summary>示例 Example</summary>{headers_text(each.headers)}{example(each.example)}</details>"
        "</section>"
    )


def headers_text(headers: Mapping[str, str]) -> str:
    return "<pre>" + escape("\n".join(f"{name}: {value}" for name, value in headers.items()), quote=False) + "</pre>"


# --- HTTP ----------------------------------------------------------------------------------------------------------


def api(whole: Mapping[str, Any]) -> str:
    parts = whole["components"]["schemas"]
    body = [
        "<h1>接口 HTTP API</h1>",
        prose(whole["info"]["description"]),
        prose(
            "所有接口经网关访问。写操作可带 `Idempotency-Key`；出错时按 RFC 9457 返回，语言由 `Accept-Language` 决定。"
        ),
        '<p>机器可读 Machine-readable: <a href="openapi.json">OpenAPI 3.1</a></p>',
    ]
    nav = []
    for tag in whole["tags"]:
        service = tag["name"]
        body.append(f'<h2 id="{service}" class="group">{badge(service)}</h2>{prose(tag["description"])}')
        body.append(f'<p><a href="openapi/{service}.json">openapi/{service}.json</a></p>')
        nav.append((service, service, "group"))
        for path, item in whole["paths"].items():
            for method in METHODS:
                if method in item and item[method]["tags"] == [service]:
                    body.append(operation(method, path, item[method], parts))
                    nav.append((item[method]["operationId"], item[method]["summary"], ""))
    problem = fields_table(parts["Problem"], parts)
    body.append(f'<h2 id="problem">出错 Problems</h2>{prose(parts["Problem"]["description"])}{problem}')
    nav.append(("problem", "出错 Problems", "group"))
    return page("接口 HTTP API", body, nav)


def operation(method: str, path: str, operation: Mapping[str, Any], parts: Mapping[str, Schema]) -> str:
    parameters = table(
        ("参数 Parameter", "位置 In", "类型 Type", "", "含义 Meaning"),
        (
            [
                code(p["name"]),
                p["in"],
                type_of(p["schema"], parts),
                "必填 required" if p.get("required") else default_of(p["schema"]),
                inline(p.get("description") or p["schema"].get("description", "")),
            ]
            for p in operation.get("parameters", ())
        ),
    )
    pieces = [prose(operation.get("description", "")), f"<p>{who(operation)}</p>"]
    if parameters:
        pieces.append(f"<h4>参数 Parameters</h4>{parameters}")
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        pieces.append(f"<h4>正文 Body <small>{escape(media)}</small></h4>{body_of(content, parts)}")
    for status, answer in operation["responses"].items():
        if status != "default":
            for media, content in answer.get("content", {"": {}}).items():
                head = f"<h4>{escape(status)} 应答 Answer <small>{escape(media)}</small></h4>"
                pieces.append(head + body_of(content, parts))
    return (
        f'<details class="operation" id="{escape(operation["operationId"])}"><summary>'
        f'<b class="method {method}">{method.upper()}</b> {code(path)} <span>{inline(operation["summary"])}</span>'
        f"</summary>{''.join(pieces)}</details>"
    )


def who(operation: Mapping[str, Any]) -> str:
    if not operation.get("security"):
        return "无需登录 Open to all"
    roles = sorted({role for one in operation["security"] for role in one.get("bearer", ())})
    return "需登录 Signed in: " + (", ".join(roles) or "任何角色 any role")


def body_of(content: Mapping[str, Any], parts: Mapping[str, Schema]) -> str:
    schema = content.get("schema", {})
    shape = fields_table(schema, parts)
    return shape or (f"<p>{type_of(schema, parts)}</p>" if schema else "")


# --- start ---------------------------------------------------------------------------------------------------------


def index(services: "Mapping[str, Service]", events: "list[Told]") -> str:
    cards = (
        ("events.html", "事件 Events", f"{len(events)} events: schema, example, who says it, who reacts."),
        ("api.html", "接口 HTTP API", "Every route at the gateway: who may call it, what it takes and answers."),
        ("asyncapi.json", "AsyncAPI 3.0", "The events, for machines."),
        ("openapi.json", "OpenAPI 3.1", "The HTTP interface, for machines."),
    )
    body = [
        "<h1>快招 Kuaizhao</h1>",
        prose("Instant hiring for public gig markets: services that exchange events."),
        prose("公共零工市场的即时快招：以事件相互协作的一组服务。"),
        '<div class="cards">',
        *(f'<a class="card" href="{to}"><b>{name}</b><span>{text}</span></a>' for to, name, text in cards),
        "</div><h2>服务 Services</h2>",
        table(
            ("服务 Service", "做什么 What it does", "事件 Says", "处理 Reacts to"),
            (
                [
                    badge(name),
                    inline(service.about),
                    names(each for each in events if each.service == name),
                    names(each for each in events if any(h.service == name for h in each.heard)),
                ]
                for name, service in services.items()
            ),
        ),
    ]
    return page("文档 Documentation", body)


def names(events: "Iterable[Told]") -> str:
    return ", ".join(f'<a href="events.html#{each.name}">{each.name}</a>' for each in events) or "–"
