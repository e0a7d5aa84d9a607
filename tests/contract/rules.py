"""The rules that contract tests hold events to, as functions, so that each can be shown to fail."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.contracts.record import class_name

TYPE = re.compile(r"(?P<service>[a-z]+)\.[a-z]+(-[a-z]+)+\.v[1-9][0-9]*")
TOPIC = re.compile(r"(?P<service>[a-z]+)\.[a-z]+(-[a-z]+)*")


def type_faults(type: str, topic: str, *, class_: str, service: str) -> list[str]:
    """What is wrong with an event's names: `<service>.<noun>-<verb>.v<n>` on `<service>.<aggregate>`, in kebab-case."""
    faults = []
    type_, topic_ = TYPE.fullmatch(type), TOPIC.fullmatch(topic)
    if not type_ or type_["service"] != service:
        faults.append(f"type {type} is not {service}.<what>-<happened>.v<n>")
    elif class_name(type) != class_:
        faults.append(f"{type} is said by class {class_name(type)}, not {class_}")
    if not topic_ or topic_["service"] != service:
        faults.append(f"topic {topic} is not {service}.<aggregate>")
    return faults


def key_order(value: Any) -> Any:
    """The names of a JSON value in their order."""
    if isinstance(value, Mapping):
        return [(name, key_order(part)) for name, part in value.items()]
    if isinstance(value, list):
        return [key_order(part) for part in value]
    return None


# --- personal data -------------------------------------------------------------------------------------------------

PERSONAL_WORDS = frozenset(
    {
        *("name", "surname", "forename", "nickname", "alias", "contact", "owner"),
        *("idcard", "passport", "bank", "card", "alipay", "password"),
        *("phone", "mobile", "tel", "telephone", "email", "mail", "wechat", "qq"),
        *("address", "street", "house", "home", "lat", "latitude", "lon", "lng", "longitude"),
        *("coordinates", "position", "point", "geo", "location"),
        *("birth", "birthday", "birthdate", "age", "sex", "gender", "ethnicity", "nation", "religion"),
        *("household", "marital", "health", "disability", "hardship", "category"),
        *("photo", "face", "voice", "fingerprint", "signature"),
    }
)
"""Words of a field's name that speak of a person. (PIPL, articles 4 and 28.)"""

PERSONAL_PAIRS = frozenset({"id_number", "id_no", "id_card", "identity_number"})

NOT_OF_A_PERSON = {
    "employer_name": "an organisation, as it stands in the public register",
    "terms.place.lat": "a workplace",
    "terms.place.lon": "a workplace",
    "terms.place.address": "a workplace",
}
"""Field names, or paths, that hold such a word and speak of no person; and why."""

NUMBERS_ALLOWED = frozenset(
    {"terms.place.lat", "terms.place.lon", "post.place.lat", "post.place.lon", "reasons[].value"}
)
"""Paths that may hold fractions: any other could be half of a position."""

FREE_TEXT_ALLOWED = frozenset(
    {
        "terms.employer_name",
        "terms.title",
        "terms.content",
        "terms.place.address",
        "origin",
        "reason",
        "channel",
        "weights",
        "faults[].zh",
        "faults[].en",
        "title_zh",
        "title_en",
    }
)
"""Paths of text without a form that are no ids. A post's text is public; reasons and channels are short codes; what is
wrong with a post is said in our own words; articles of the knowledge base are ours too."""

OPEN_ALLOWED = frozenset({"post"})
"""Paths of anything at all: a post as another agency wrote it, which only posting reads."""

ID = re.compile(r"(^|.*_)id$|^about$|^sha256$")


def fields_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The leaves of an event's schema, each with its path, such as `terms.place.lat`."""
    yield from _fields("", schema, schema.get("$defs", {}))


def _fields(path: str, schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "$ref" in schema:
        schema = defs[schema["$ref"].rsplit("/", 1)[-1]]
    if "properties" in schema:
        for name, field in schema["properties"].items():
            yield from _fields(f"{path}.{name}" if path else name, field, defs)
    elif "anyOf" in schema:
        for option in schema["anyOf"]:
            yield from _fields(path, option, defs)
    elif "items" in schema:
        yield from _fields(f"{path}[]", schema["items"], defs)
    elif schema.get("type") != "null":
        yield path, schema


def personal_fields(schema: Mapping[str, Any]) -> list[str]:
    """Where an event's schema could carry a person's name, numbers, position or traits; a sentence each."""
    found = []
    for path, field in fields_of(schema):
        last = re.sub(r"\[\]", "", path.rsplit(".", 1)[-1])
        words = last.split("_")
        personal = PERSONAL_WORDS & set(words) or last in PERSONAL_PAIRS
        if personal and not {path, last} & NOT_OF_A_PERSON.keys():
            found.append(f"{path}: its name speaks of a person")
        if field.get("type") == "number" and path not in NUMBERS_ALLOWED:
            found.append(f"{path}: a fraction may be half of a position")
        shaped = {"enum", "const", "pattern", "format"} & field.keys()
        if field.get("type") == "string" and not shaped and path not in FREE_TEXT_ALLOWED and not ID.fullmatch(last):
            found.append(f"{path}: free text may hold anything; give it a pattern or an enum")
        if field.get("type") not in ("string", "number", "integer", "boolean") and path not in OPEN_ALLOWED:
            found.append(f"{path}: its type is open")
    return found


ID_NUMBER = re.compile(
    r"(?<![0-9a-zA-Z-])[1-9][0-9]{5}(18|19|20)[0-9]{2}(0[1-9]|1[0-2])[0-3][0-9]{4}[0-9Xx](?![0-9a-zA-Z])"
)
PHONE = re.compile(r"(?<![0-9a-f-])(\+?86[- ]?)?1[3-9][0-9]{9}(?![0-9a-f])")
MAIL = re.compile(r"[\w.+-]+@[\w-]+\.\w+")
FINE_CELL = re.compile(r"8[a-f][0-9a-f]{13}")
"""An H3 cell finer than resolution 9."""


def personal_values(value: Any, path: str = "") -> list[str]:
    """Where a message holds what looks like an identity number, a phone number, a mail address or a fine position."""
    if isinstance(value, Mapping):
        return [f for name, part in value.items() for f in personal_values(part, f"{path}.{name}" if path else name)]
    if isinstance(value, list):
        return [f for part in value for f in personal_values(part, f"{path}[]")]
    looks = {"an identity number": ID_NUMBER, "a phone number": PHONE, "a mail address": MAIL}
    found = [f"{path}: looks like {what}" for what, form in looks.items() if form.search(str(value))]
    if FINE_CELL.fullmatch(str(value)):
        found.append(f"{path}: a cell finer than resolution 9")
    if isinstance(value, float) and path not in NUMBERS_ALLOWED:
        found.append(f"{path}: a fraction may be half of a position")
    return found
