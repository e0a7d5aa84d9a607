"""What a service process says when it cannot start as it is set up: one line, no traceback."""

import base64
import os
import subprocess
import sys

import pytest

GOOD = base64.b64encode(bytes(32)).decode()


def said(service: str, variables: dict[str, str]) -> tuple[int, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("KUAIZHAO_")}
    ran = subprocess.run(
        [sys.executable, "-m", "shared.run", service],
        env=others | variables,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ran.returncode, ran.stderr


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"KUAIZHAO_SECRET": "c2hvcnQ="}, "KUAIZHAO_SECRET must be the base64 text of at least 32 random bytes"),
        ({"KUAIZHAO_SECRET": "no base64"}, "KUAIZHAO_SECRET must be the base64 text of at least 32 random bytes"),
        (
            {"KUAIZHAO_SECRET": GOOD, "KUAIZHAO_PORT_POSTING": "80 80"},
            "KUAIZHAO_PORT_POSTING: must be a port, 1 to 65535",
        ),
        (
            {
                "KUAIZHAO_SECRET": GOOD,
                "KUAIZHAO_PORT": "http",
                "KUAIZHAO_MONGO_URL": "mongo.example:27017",
                "KUAIZHAO_KAFKA": "kafka",
                "KUAIZHAO_ZONE": "Mars/Olympus",
            },
            "KUAIZHAO_PORT: Input should be a valid integer, unable to parse string as an integer\n"
            "KUAIZHAO_MONGO_URL: must be an address such as mongodb://name:password@host:27017/?replicaSet=rs0\n"
            "KUAIZHAO_KAFKA: must be host:port, or several of them with commas between\n"
            "KUAIZHAO_ZONE: must be a time zone such as Asia/Shanghai",
        ),
    ],
)
def test_each_wrong_setting_is_one_line(variables: dict[str, str], line: str) -> None:
    assert said("posting", variables) == (1, line + "\n")


def test_a_service_that_does_not_exist_is_one_line() -> None:
    line = "no service postings: there are identity, posting, workers, matching, rights, notify\n"
    assert said("postings", {"KUAIZHAO_SECRET": GOOD}) == (1, line)
