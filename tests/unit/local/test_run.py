"""What a service process says when it cannot start as it is set up: one line, no traceback."""

import base64
import os
import subprocess
import sys

import pytest

GOOD = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({}, "KUAIZHAO_SECRET must be the base64 text of at least 32 random bytes"),
        ({"KUAIZHAO_SECRET": "c2hvcnQ="}, "KUAIZHAO_SECRET must be the base64 text of at least 32 random bytes"),
        ({"KUAIZHAO_SECRET": "no base64"}, "KUAIZHAO_SECRET must be the base64 text of at least 32 random bytes"),
        (
            {"KUAIZHAO_SECRET": GOOD, "KUAIZHAO_PORT": "http"},
            "KUAIZHAO_PORT: Input should be a valid integer, unable to parse string as an integer",
        ),
    ],
)
def test_a_wrong_setting_is_one_line(variables: dict[str, str], line: str) -> None:
    others = {name: value for name, value in os.environ.items() if not name.startswith("KUAIZHAO_")}
    ran = subprocess.run(
        [sys.executable, "-m", "shared.run", "posting"],
        env=others | variables,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (1, line + "\n")
