"""A signed record is checked without a network: every character of it counts, and so does its key's time (F47)."""

import string
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from shared.credential import (
    ALTERED,
    EXPIRED,
    NOT_SIGNED,
    NOT_THEN,
    OTHER_FORM,
    TOO_EARLY,
    UNKNOWN_KEY,
    check,
    holders_key,
    signed,
)
from shared.problems import Text
from shared.wording import Said

pytestmark = pytest.mark.feature("F47")

MADE = datetime(2026, 11, 23, tzinfo=UTC)
LATER = MADE + timedelta(days=1)
KEY = ECKey.generate_key("P-256", {"kid": "key-1", "use": "sig", "alg": "ES256"})
OTHER = ECKey.generate_key("P-256", {"kid": "key-1", "use": "sig", "alg": "ES256"})
SAID = {
    "validFrom": "2026-11-23T00:00:00Z",
    "validUntil": "2027-11-23T00:00:00Z",
    "credentialSubject": {"minutes": 480},
}


def jwks(**more: Any) -> dict[str, Any]:
    return {"keys": [KEY.as_dict(private=False) | more]}


def wrong(text: str, keys: Any = None, now: datetime = LATER) -> list[Text]:
    return [found.text for found in check(text, jwks() if keys is None else keys, now).faults]


def test_what_was_signed_is_read_back() -> None:
    assert check(signed(SAID, KEY), jwks(), LATER) == ([], SAID)


def test_no_character_of_it_can_be_another() -> None:
    """The last one of each part too, of which base64url has several that other readers take for the same."""
    text = signed(SAID, KEY)
    letters = string.ascii_letters + string.digits + "-_.=+/ \n"
    last = {len(text) - 1, text.rindex(".") - 1, text.index(".") - 1}
    for at in range(len(text)):
        for letter in letters if at in last else (letters[(letters.index(text[at]) + 1) % 64],):
            if letter != text[at]:
                checked = check(text[:at] + letter + text[at + 1 :], jwks(), LATER)
                assert checked.faults, (at, letter)
                assert checked.credential is None
    for more in ("=", "A", ".", " "):
        assert wrong(text + more)
    assert wrong(text[:-1])


def test_another_ones_signature_is_none() -> None:
    assert wrong(signed(SAID, OTHER)) == [ALTERED]


def test_a_key_that_is_not_known_or_no_key_is_refused() -> None:
    text = signed(SAID, KEY)
    strange: tuple[Any, ...] = ({"keys": []}, {}, [], {"keys": 1}, {"keys": [1]}, jwks(kid="key-2"), jwks(nbf="soon"))
    for keys in strange:
        assert wrong(text, keys) == [UNKNOWN_KEY]
    assert wrong(text, {"keys": [{"kid": "key-1", "kty": "EC", "crv": "P-256"}]}) == [ALTERED]


@pytest.mark.parametrize(
    ("moved", "fault"),
    [
        ({"nbf": int(MADE.timestamp())}, []),
        ({"nbf": int(MADE.timestamp()) + 1}, [NOT_THEN]),
        ({"exp": int(MADE.timestamp()) + 1}, []),
        ({"exp": int(MADE.timestamp())}, [NOT_THEN]),
    ],
)
def test_a_key_signed_nothing_outside_of_its_time(moved: dict[str, int], fault: list[Text]) -> None:
    assert wrong(signed(SAID, KEY), jwks(**moved)) == fault


@pytest.mark.parametrize(
    ("now", "fault"),
    [
        (MADE - timedelta(seconds=1), [TOO_EARLY]),
        (MADE, []),
        (MADE + timedelta(days=365, seconds=-1), []),
        (MADE + timedelta(days=365), [EXPIRED]),
    ],
)
def test_it_holds_from_its_beginning_until_its_end(now: datetime, fault: list[Text]) -> None:
    checked = check(signed(SAID, KEY), jwks(), now)
    assert [found.text for found in checked.faults] == fault
    assert checked.credential == SAID  # what it says can be shown, with why it does not hold


@pytest.mark.parametrize(
    "header", [{"alg": "HS256"}, {"typ": "JWT"}, {"crit": ["b64"], "b64": True}, {"alg": "none"}, {"alg": "EdDSA"}]
)
def test_another_form_of_signature_is_refused(header: dict[str, Any]) -> None:
    text = signed(SAID, KEY)
    changed = {"alg": "ES256", "kid": "key-1", "typ": "vc+jwt"} | header
    part = jws.serialize_compact({"alg": "ES256"}, str(changed).replace("'", '"').replace("True", "true"), KEY)
    assert wrong(f"{part.split('.')[1]}.{text.partition('.')[2]}") == [OTHER_FORM]


@pytest.mark.parametrize("said", [{}, SAID | {"validUntil": "soon"}, SAID | {"validFrom": "2026-11-23T00:00:00"}])
def test_a_text_without_its_times_is_refused(said: dict[str, Any]) -> None:
    assert wrong(signed(said, KEY)) == [OTHER_FORM]


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "null.null.null", "证.明.书", "W10.W10.W10"])
def test_what_is_no_record_is_said_to_be_none(text: str) -> None:
    assert wrong(text) == [NOT_SIGNED]


@pytest.mark.parametrize(
    "did",
    [
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",  # Ed25519, an example of the did:key method
        "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169",  # P-256, likewise
    ],
)
def test_a_holders_key_is_taken(did: str) -> None:
    assert holders_key(did) == did


@pytest.mark.parametrize(
    "did", ["", "did:key:z", "did:web:example.org", "did:key:z6Mk", "did:key:z0OIl", "did:key:z111111", "6MkhaXgB"]
)
def test_what_is_no_key_is_refused(did: str) -> None:
    with pytest.raises(Said):
        holders_key(did)
