"""What is generated from the code is the code's present state, whole, and valid by the standards' own schemas."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from docs import build, pages
from shared.contracts import catalogue

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return build.files()


@pytest.fixture(scope="module")
def asyncapi(files: dict[str, str]) -> dict[str, Any]:
    document = json.loads(files["site/asyncapi.json"])
    assert isinstance(document, dict)
    return document


@pytest.fixture(scope="module")
def openapi(files: dict[str, str]) -> dict[str, Any]:
    document = json.loads(files["site/openapi.json"])
    assert isinstance(document, dict)
    return document


def test_the_docs_in_the_tree_are_what_the_code_says(files: dict[str, str]) -> None:
    stale = [path for path, text in files.items() if not current(build.HERE / path, text)]
    assert stale == [], "run `make contracts`"
    assert build.left_over(files) == [], "run `make contracts`"


def current(file: Path, text: str) -> bool:
    return file.exists() and file.read_text("utf-8") == text


def test_an_edited_page_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("old", "utf-8")
    assert current(tmp_path / "page.html", "old")
    assert not current(tmp_path / "page.html", "new")
    assert not current(tmp_path / "gone.html", "old")


def test_generating_twice_gives_the_same_bytes(files: dict[str, str]) -> None:
    assert build.files() == files


def test_a_folder_that_is_no_service_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "stations").mkdir()
    (tmp_path / "stations" / "__init__.py").touch()
    with pytest.raises(LookupError, match=r"services/stations has no app\.py"):
        build.services(tmp_path)


# --- AsyncAPI ------------------------------------------------------------------------------------------------------


def test_asyncapi_is_valid(asyncapi: dict[str, Any]) -> None:
    """By the official schema (schemas/3.0.0-without-$id.json of the package @asyncapi/specs 6.11.1, Apache-2.0)."""
    official = jsonschema.Draft7Validator(json.loads((HERE / "asyncapi-3.0.0.json").read_text("utf-8")))
    assert [error.message for error in official.iter_errors(asyncapi)] == []
    assert list(official.iter_errors(asyncapi | {"channels": {"a": {"address": 7}}})) != []


def test_asyncapi_holds_every_event_with_who_sends_and_receives_it(asyncapi: dict[str, Any]) -> None:
    messages = {message["name"]: message for message in asyncapi["components"]["messages"].values()}
    assert messages.keys() == catalogue().keys()
    senders = {
        (operation["tags"][0]["name"], operation["messages"][0]["$ref"].rsplit("/", 1)[-1])
        for operation in asyncapi["operations"].values()
        if operation["action"] == "send"
    }
    assert senders == {(type_.split(".")[0], kind.__name__) for type_, kind in catalogue().items()}
    received = {name for name, operation in asyncapi["operations"].items() if operation["action"] == "receive"}
    assert received == {
        f"{name}.receive.{kind.__name__}"
        for name, service in build.services().items()
        for kind in service.reactions.kinds.values()
    }


def test_asyncapi_references_resolve_and_examples_fit_their_schemas(asyncapi: dict[str, Any]) -> None:
    assert broken_references(asyncapi) == []
    registry = Registry().with_resource("urn:doc", DRAFT202012.create_resource(asyncapi))
    for name, message in asyncapi["components"]["messages"].items():
        for part, where in (("payload", name), ("headers", "Headers")):
            schema = {"$ref": f"urn:doc#/components/schemas/{where}"}
            sent = message["examples"][0][part]
            jsonschema.Draft202012Validator(schema, registry=registry).validate(sent)
        assert message["examples"][0]["headers"].keys() == build.HEADERS.keys(), "HEADERS are those that are sent"


# --- OpenAPI -------------------------------------------------------------------------------------------------------


def test_the_merged_openapi_holds_every_route_and_its_references_resolve(
    files: dict[str, str], openapi: dict[str, Any]
) -> None:
    each = [json.loads(text) for path, text in files.items() if path.startswith("site/openapi/")]
    assert len(each) == len(build.services())
    assert openapi["paths"].keys() == {path for one in each for path in one["paths"]}
    assert broken_references(openapi) == []
    ids = [operation["operationId"] for item in openapi["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
    assert all(path.startswith("/api/") for path in openapi["paths"])


def test_components_that_differ_under_one_name_are_told_apart() -> None:
    def described(place: dict[str, Any]) -> dict[str, Any]:
        gig = {"properties": {"place": {"$ref": "#/components/schemas/Place"}}}
        return {
            "openapi": "3.1.0",
            "paths": {"/x": {"get": {"schema": {"$ref": "#/components/schemas/Gig"}}}},
            "components": {"schemas": {"Place": place, "Gig": gig, "Same": {"type": "string"}}},
        }

    one, other = described({"type": "string"}), described({"type": "object"})
    other["paths"] = {"/y": other["paths"]["/x"]}
    whole = build.merged({"a": one, "b": other}, {"a": "", "b": ""})
    assert whole["components"]["schemas"].keys() == {"APlace", "AGig", "BPlace", "BGig", "Same"}
    assert whole["paths"]["/y"]["get"]["schema"] == {"$ref": "#/components/schemas/BGig"}
    assert whole["components"]["schemas"]["BGig"]["properties"]["place"] == {"$ref": "#/components/schemas/BPlace"}
    assert broken_references(whole) == []


def broken_references(document: dict[str, Any]) -> list[str]:
    """References within a document that lead nowhere."""
    broken = []
    for reference in sorted(set(re.findall(r'"\$ref": "(#[^"]*)"', json.dumps(document)))):
        place: Any = document
        for step in reference[2:].split("/"):
            place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, dict) else None
        if place is None:
            broken.append(reference)
    return broken


def test_a_broken_reference_is_noticed() -> None:
    assert broken_references({"a": {"$ref": "#/b"}, "b": {}}) == []
    assert broken_references({"a": {"$ref": "#/c"}}) == ["#/c"]


# --- pages ---------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """A page's ids, links and text; unbalanced tags are an error."""

    VOID = ("meta", "link", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given[name] or "" for name in ("href", "src") if name in given]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


PAGES = ("index", "events", "api")


def test_pages_are_whole_and_need_nothing_from_elsewhere(files: dict[str, str]) -> None:
    read = {f"{name}.html": Page(files[f"site/{name}.html"]) for name in PAGES}
    for name, page in read.items():
        assert len(page.ids) == len(set(page.ids)), name
        for link in page.links:
            file, _, anchor = link.partition("#")
            target = read.get(file or name)
            known = file in ("", "docs.css", "/") or f"site/{file}" in files
            assert known, f"{name}: {link} leads nowhere"
            assert not anchor or (target and anchor in target.ids), f"{name}: {link} leads nowhere"
        assert "<script" not in files[f"site/{name}"]


def test_the_events_page_shows_every_event_whole(files: dict[str, str]) -> None:
    page = Page(files["site/events.html"])
    for each in build.told(build.services()):
        assert each.name in page.ids
        assert each.kind.type in page.text
        assert json.dumps(each.example, ensure_ascii=False, indent=2) in page.text
        for heard in each.heard:
            assert f"services.{heard.service}.handlers.{heard.handler}" in page.text


def test_the_api_page_shows_every_route(files: dict[str, str], openapi: dict[str, Any]) -> None:
    page = Page(files["site/api.html"])
    for path, item in openapi["paths"].items():
        assert path in page.text
        assert {operation["operationId"] for operation in item.values()} <= set(page.ids)


def test_text_is_never_markup() -> None:
    assert pages.inline("a <b> & `c<d` e") == "a &lt;b&gt; &amp; <code>c&lt;d</code> e"
    assert pages.inline("one ` alone") == "one ` alone"


def test_a_schema_that_holds_itself_ends() -> None:
    tree = {"properties": {"kids": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}}}
    assert "kids" in pages.fields_table({"$ref": "#/components/schemas/Tree"}, {"Tree": tree})
