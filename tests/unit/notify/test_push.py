"""Web push against the example of RFC 8291, and what it must not take."""

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from services.notify.push import LONGEST, RECORD, Sender, encrypted, is_point, is_secret, unpack
from tests.service.notify.browser import Browser
from tests.service.notify.sink import Sink

pytestmark = pytest.mark.feature("F8")

# RFC 8291, 5 and appendix A.
PLAINTEXT = b"When I grow up, I want to be a watermelon"
POINT = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
SECRET = "BTBZMqHH6r4Tts7J_aSIgg"
SALT = unpack("DGv6ra1nlYgDCS1FRnbzlw")
OURS = derive_private_key(int.from_bytes(unpack("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")), SECP256R1())
BODY = unpack(
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl"
    "7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def test_the_example_of_the_rfc() -> None:
    assert encrypted(PLAINTEXT, POINT, SECRET, salt=SALT, key=OURS) == BODY


def test_no_two_messages_look_alike_and_each_fits_one_record() -> None:
    one, two = (encrypted(PLAINTEXT, POINT, SECRET) for _ in range(2))
    assert one[:16] != two[:16]
    assert one[21:86] != two[21:86]
    assert len(encrypted(b"x" * LONGEST, POINT, SECRET)) == RECORD
    with pytest.raises(ValueError, match=str(LONGEST)):
        encrypted(b"x" * (LONGEST + 1), POINT, SECRET)


def test_only_its_browser_can_read_a_message() -> None:
    browser, other = Browser(Sink()), Browser(Sink())
    keys = browser.subscription["keys"]
    body = encrypted(PLAINTEXT, keys["p256dh"], keys["auth"])
    assert browser.opened(body) == PLAINTEXT
    with pytest.raises(InvalidTag):
        other.opened(body)


@pytest.mark.parametrize(
    "text",
    ["", "?", POINT[:-4], "A" * 87, POINT[:-2] + "AA", "Ag" + POINT[2:]],
    ids=["empty", "no base64url", "short", "zeroes", "off the curve", "compressed"],
)
def test_what_is_no_point(text: str) -> None:
    assert is_point(POINT)
    assert not is_point(text)


def test_what_is_no_secret() -> None:
    assert is_secret(SECRET)
    assert is_secret(SECRET + "==")
    for text in ("", "x", SECRET[:-2], SECRET + "AAAA", "ü" * 22):
        assert not is_secret(text)


def test_a_sender_is_the_same_wherever_its_secret_is() -> None:
    one, same, other = (Sender(octets, "mailto:a@example.org") for octets in (b"1" * 48, b"1" * 48, b"2" * 48))
    assert one.public_key == same.public_key != other.public_key
    assert is_point(one.public_key)
