"""Every service has the same shape, and every event one voice and a listener."""

import ast
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from deploy.local.ports import SERVICES
from docs.build import FOR_OTHERS, FROM_OTHERS, openapi
from shared import auth
from shared.contracts import catalogue
from shared.run import PORTS
from shared.service import Service
from shared.unit import Document
from tests.architecture.source import ROOT, constructed, files

FILES = ("app.py", "api.py", "domain.py", "store.py")
NAMES = sorted(folder.name for folder in (ROOT / "services").iterdir() if (folder / "__init__.py").exists())


def service(name: str) -> Service:
    found = importlib.import_module(f"services.{name}.app").service
    assert isinstance(found, Service)
    return found


each_service = pytest.mark.parametrize("name", NAMES)


def whereabouts() -> dict[str, set[str]]:
    """The services as each place that names them all names them."""
    topics = yaml.safe_load((ROOT / "deploy" / "topics.yaml").read_text("utf-8"))["topics"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    clusters = re.findall(r"(?m)^  - name: (\w+)$", (ROOT / "deploy" / "envoy.yaml").read_text("utf-8"))
    commands = {name: one.get("command") for name, one in compose.items()}
    return {
        "shared/run.py PORTS": set(PORTS),
        "deploy/local/ports.py SERVICES": set(SERVICES),
        "docker-compose.yml": {name for name, command in commands.items() if command == ["shared.run", name]},
        "deploy/envoy.yaml": set(clusters) & set(NAMES),
        "deploy/topics.yaml .dead": {
            name for topic in topics if (name := topic["name"].removesuffix(".dead")) in NAMES
        },
    }


def forgotten(names: Iterable[str], places: Mapping[str, Set[str]], deaf: Set[str]) -> list[str]:
    """Places that do not name every service. One that hears nothing (`deaf`) has no dead letters."""
    return [
        f"{place} does not name {name}"
        for place, known in places.items()
        for name in names
        if name not in known and not (name in deaf and place.endswith(".dead"))
    ]


def test_every_service_is_known_where_services_are_named() -> None:
    deaf = {name for name in NAMES if not service(name).reactions.events}
    assert forgotten(NAMES, whereabouts(), deaf) == []
    assert set(PORTS) == set(NAMES)


def test_a_place_that_forgot_a_service_is_noticed() -> None:
    places = {"compose": {"a", "b"}, "topics .dead": {"b"}}
    assert forgotten(["a", "b"], places, {"a"}) == []
    assert forgotten(["a", "b"], places, set()) == ["topics .dead does not name a"]
    assert forgotten(["a", "b", "c"], places, {"a", "c"}) == ["compose does not name c"]


# --- files ---------------------------------------------------------------------------------------------------------


def missing_files(folder: Path, *, reacts: bool) -> list[str]:
    """Which of the five files a service lacks. One that reacts to nothing needs no handlers."""
    wanted = (*FILES, "handlers.py") if reacts else FILES
    return [name for name in wanted if not (folder / name).exists()]


@each_service
def test_a_service_has_its_files_and_is_called_like_its_folder(name: str) -> None:
    reactions = service(name).reactions
    reacts = bool(reactions.events or reactions.timers)
    assert missing_files(ROOT / "services" / name, reacts=reacts) == []
    assert service(name).name == name
    assert (ast.get_docstring(ast.parse((ROOT / "services" / name / "app.py").read_text("utf-8"))) or "").strip()


def test_a_missing_file_is_noticed(tmp_path: Path) -> None:
    for file in FILES:
        (tmp_path / file).touch()
    assert missing_files(tmp_path, reacts=False) == []
    assert missing_files(tmp_path, reacts=True) == ["handlers.py"]
    (tmp_path / "domain.py").unlink()
    assert missing_files(tmp_path, reacts=False) == ["domain.py"]


# --- events --------------------------------------------------------------------------------------------------------


def voices() -> dict[str, set[str]]:
    """Which services construct each event, by class name."""
    classes = frozenset(kind.__name__ for kind in catalogue().values())
    found: dict[str, set[str]] = {name: set() for name in classes}
    for file in files("services"):
        for name in constructed(ast.parse(file.read_text("utf-8")), classes):
            found[name].add(file.relative_to(ROOT).parts[1])
    return found


def voice_faults(owners: Mapping[str, str], voices: Mapping[str, Set[str]]) -> list[str]:
    """Events that nobody says, or that another service than their own says."""
    return [
        f"{name}: only {owner} may say it, {', '.join(sorted(voices[name])) or 'nobody'} does"
        for name, owner in owners.items()
        if voices[name] != {owner}
    ]


def hearing_faults(types: Iterable[str], heard: Set[str], for_others: Set[str]) -> list[str]:
    """Events that no service reacts to and that are not named as being for others; and names that are not needed."""
    types = set(types)
    return [
        *(
            f"{each}: nobody reacts; name it in docs/build.py FOR_OTHERS, or drop it"
            for each in types - heard - for_others
        ),
        *(f"{each}: a service reacts to it, so FOR_OTHERS need not name it" for each in for_others & heard),
        *(f"{each}: FOR_OTHERS names an event that is not there" for each in for_others - types),
    ]


def test_every_event_is_said_by_its_own_service_alone() -> None:
    owners = {kind.__name__: type_.split(".")[0] for type_, kind in catalogue().items()}
    ours = {name: owner for name, owner in owners.items() if owner not in FROM_OTHERS}
    assert voice_faults(ours, voices()) == []
    assert {name: voices()[name] for name in owners.keys() - ours.keys()} == {"GigOffered": set()}
    assert not FROM_OTHERS.keys() & set(NAMES)


def test_every_event_is_heard_or_named_as_being_for_others() -> None:
    heard = {type_ for name in NAMES for type_ in service(name).reactions.events}
    assert hearing_faults(catalogue(), heard, FOR_OTHERS.keys()) == []


def test_an_event_without_a_voice_or_with_two_is_noticed() -> None:
    owners = {"GigPosted": "posting"}
    assert voice_faults(owners, {"GigPosted": {"posting"}}) == []
    assert voice_faults(owners, {"GigPosted": set()}) == ["GigPosted: only posting may say it, nobody does"]
    assert voice_faults(owners, {"GigPosted": {"posting", "rights"}})
    assert voice_faults(owners, {"GigPosted": {"rights"}})
    code = ast.parse("unit.publish(posting.GigPosted(gig_id='1'))")
    assert constructed(code, frozenset({"GigPosted", "GigClosed"})) == {"GigPosted"}


def test_an_event_nobody_hears_is_noticed() -> None:
    assert hearing_faults(["a"], {"a"}, set()) == []
    assert hearing_faults(["a"], set(), {"a"}) == []
    assert hearing_faults(["a"], set(), set())
    assert hearing_faults(["a"], {"a"}, {"a"})
    assert hearing_faults([], set(), {"a"})


# --- routes --------------------------------------------------------------------------------------------------------

OPEN = {
    "identity": {
        "POST /codes": "this is how one signs in",
        "POST /token": "this is how one signs in",
        "POST /revoke": "whoever has the refresh token may end its session (RFC 7009)",
        "GET /.well-known/jwks.json": "public keys (RFC 7517)",
        "GET /.well-known/openid-configuration": "discovery (OpenID Connect Discovery 1.0)",
        "GET /rules": "how long what is kept is no secret",
    },
    "posting": {
        "GET /gigs": "a public market's gigs are for everyone to see",
        "GET /gigs/{gig_id}": "a public market's gigs are for everyone to see",
        "GET /gigs/bulk/template": "headings of a file",
        "GET /rules": "what holds for posts is public",
        "GET /guide-prices": "what work pays is public",
    },
    "workers": {
        "GET /stations": "where one can check in",
        "GET /registration-form": "what one would agree to, read before signing in",
        "GET /rules": "what a market goes by is no secret",
    },
    "matching": {
        "GET /board": "the public screen: counts only",
        "GET /rules": "what a market goes by is no secret",
    },
    "rights": {
        "GET /rules": "what a market goes by is no secret",
        "GET /reliability/rules": "what gives and what costs points is no secret",
        "GET /.well-known/jwks.json": "public keys (RFC 7517), by which anybody checks a record of work",
        "GET /records/{record_id}/status": "whoever was shown a record may ask whether it still holds",
        "GET /articles": "what a worker should know is for everyone to read",
        "GET /articles/{article_id}": "what a worker should know is for everyone to read",
    },
    "notify": {
        "GET /alerts": "warnings are for everyone to read",
        "GET /rules": "what a market goes by is no secret",
        "GET /push-key": "the public key that browsers subscribe with (RFC 8292)",
        "POST /receipts": "a provider's, with the token that it shares with us",
    },
}
for _open in OPEN.values():
    _open["GET /erasures/{account_id}"] = "whoever was erased has no token to ask with; it says when, of an id"
"""The routes that need no token, and why."""


Described = Mapping[str, Any]


def open_routes(described: Described, service: str) -> set[str]:
    """The routes that need no token, by method and path below /api/<service>."""
    return {
        f"{method.upper()} {path.removeprefix(f'/api/{service}')}"
        for path, item in described["paths"].items()
        for method, operation in item.items()
        if not operation.get("security")
    }


def parts_of(described: Described, schema: Any) -> Iterator[tuple[str, Any]]:
    """A schema and every object inside it, each with its name, or its parent's."""
    seen: set[str] = set()
    waiting = [("body", schema)]
    while waiting:
        name, part = waiting.pop()
        if isinstance(part, list):
            waiting += [(name, each) for each in part]
        elif isinstance(part, dict):
            if "$ref" in part:
                target = part["$ref"].rsplit("/", 1)[-1]
                if target not in seen:
                    seen.add(target)
                    waiting.append((target, described["components"]["schemas"][target]))
                continue
            yield name, part
            waiting += [(name, each) for each in part.values()]


def loose_bodies(described: Described) -> list[str]:
    """Objects in request bodies that let unknown fields pass: a client that misspells a field would not hear of it.

    Not the token route's: OAuth asks a server to ignore what it does not know (RFC 6749, 3.2).
    """
    return [
        f"{method.upper()} {path}: {name}"
        for path, item in described["paths"].items()
        for method, operation in item.items()
        if path != "/api/identity/token"
        for content in operation.get("requestBody", {}).get("content", {}).values()
        for name, part in parts_of(described, content["schema"])
        if "properties" in part and part.get("type") == "object" and part.get("additionalProperties") is not False
    ]


def shown_documents(described: Described, documents: Iterable[type[Document]]) -> set[str]:
    """Documents that are part of the interface. What is remembered may hold what is nobody's to read."""
    return {document.__name__ for document in documents} & set(described["components"]["schemas"])


@each_service
def test_every_route_but_the_open_ones_asks_who_is_calling(name: str) -> None:
    described = openapi(service(name))
    assert described["paths"]
    assert open_routes(described, name) == OPEN.get(name, {}).keys()


@each_service
def test_no_route_takes_or_gives_a_document(name: str) -> None:
    assert shown_documents(openapi(service(name)), service(name).documents) == set()


@each_service
def test_every_body_refuses_fields_it_does_not_know(name: str) -> None:
    assert loose_bodies(openapi(service(name))) == []


class Kept(Document):
    collection = "kept"


class Loose(BaseModel):
    part: Kept


class Tight(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str


def test_what_is_wrong_with_a_route_is_noticed() -> None:
    app = FastAPI()

    @app.post("/api/x/loose")
    async def loose(body: Loose) -> None: ...

    @app.post("/api/x/tight")
    async def tight(body: Tight, caller: auth.Clerk) -> None: ...

    described = app.openapi()
    assert open_routes(described, "x") == {"POST /loose"}
    assert sorted(loose_bodies(described)) == ["POST /api/x/loose: Kept", "POST /api/x/loose: Loose"]
    assert shown_documents(described, [Kept]) == {"Kept"}


# --- the gateway ---------------------------------------------------------------------------------------------------

Rule = Mapping[str, Any]


def gateway_rules() -> list[Rule]:
    """The gateway's rules of which requests need a token, in order."""
    config = (ROOT / "deploy" / "envoy.yaml").read_text("utf-8")
    found = [rules for each in yaml.safe_load_all(config) for rules in _rules_in(each)]
    assert len(found) == 1
    return found[0]


def _rules_in(part: Any) -> Iterator[list[Rule]]:
    if isinstance(part, dict):
        if str(part.get("@type", "")).endswith("JwtAuthentication"):
            yield part["rules"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _rules_in(each)


def needs_token(rules: Iterable[Rule], method: str, path: str) -> bool:
    """Whether the gateway turns this request away when it has no token, by the first rule that matches."""
    for rule in rules:
        match = rule["match"]
        fits = (
            re.fullmatch(match["safe_regex"]["regex"], path)
            if "safe_regex" in match
            else path.startswith(match["prefix"])
            if "prefix" in match
            else f"{path}/".startswith(match["path_separated_prefix"] + "/")
        )
        methods = [header["string_match"]["safe_regex"]["regex"] for header in match.get("headers", ())]
        if fits and all(re.fullmatch(allowed, method) for allowed in methods):
            required = rule.get("requires", {})
            either = required.get("requires_any", {}).get("requirements", ())
            return bool(required) and {"allow_missing": {}} not in either
    return False


@each_service
def test_the_gateway_asks_for_a_token_where_the_service_does(name: str) -> None:
    rules = gateway_rules()
    wrong = {
        f"{method.upper()} {path}"
        for path, item in openapi(service(name))["paths"].items()
        for method, operation in item.items()
        if needs_token(rules, method.upper(), path) != bool(operation.get("security"))
    }
    assert wrong == set()


def test_the_gateways_rules_are_read_in_order() -> None:
    rules: list[Rule] = [
        {"match": {"safe_regex": {"regex": "/api/x/(a|b)"}}},
        {
            "match": {
                "path_separated_prefix": "/api/x/c",
                "headers": [{"name": ":method", "string_match": {"safe_regex": {"regex": "GET"}}}],
            },
            "requires": {"requires_any": {"requirements": [{"provider_name": "p"}, {"allow_missing": {}}]}},
        },
        {"match": {"prefix": "/api/"}, "requires": {"provider_name": "p"}},
    ]
    asked = [("GET", "/api/x/a"), ("GET", "/api/x/c/1"), ("GET", "/page")]
    assert [needs_token(rules, *each) for each in asked] == [False, False, False]
    asked = [("GET", "/api/x/d"), ("POST", "/api/x/c/1"), ("GET", "/api/x/cc")]
    assert [needs_token(rules, *each) for each in asked] == [True, True, True]


# --- nothing of a request runs in a thread ---------------------------------------------------------------------------


def in_threads(router: APIRouter) -> set[str]:
    """What FastAPI would run in a thread for each request, as it does whatever is not `async`: that costs more than
    the little that our dependencies do."""
    found: set[str] = set()
    waiting = [(route.path, route.dependant) for route in router.routes if isinstance(route, APIRoute)]
    while waiting:
        path, dependant = waiting.pop()
        call = dependant.call
        if not (iscoroutinefunction(call) or iscoroutinefunction(getattr(call, "__call__", None))):  # noqa: B004
            found.add(f"{path}: {getattr(call, '__qualname__', call)}")
        waiting += [(path, each) for each in dependant.dependencies]
    return found


@each_service
def test_no_part_of_a_request_runs_in_a_thread(name: str) -> None:
    assert in_threads(service(name).routes) == set()


def test_a_plain_dependency_would_be_seen() -> None:
    router = APIRouter()

    class Parts:
        pass

    @router.get("/things")
    async def things(parts: Annotated[Parts, Depends(Parts)]) -> None: ...

    (seen,) = in_threads(router)
    assert seen.startswith("/things: ")
    assert seen.endswith("Parts")
