"""The page for whoever is on duty: a section for every alert, and only commands that exist."""

import re
import shlex

import pytest
import yaml

from ops.__main__ import parser
from tests.architecture.source import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
ALERTS = (ROOT / "deploy" / "otel" / "alerts.yml").read_text("utf-8")
FILLED = {"SERVICE": "matching", "ID": "some-id", "N": "1", "NAME": "chen", "K": "failed"}


def headings(page: str) -> set[str]:
    return set(re.findall(r"(?m)^## (\w+)$", page))


def alerts(rules: str) -> set[str]:
    return {rule["alert"] for group in yaml.safe_load(rules)["groups"] for rule in group["rules"]}


def commands(page: str) -> list[list[str]]:
    """The command lines shown, placeholders filled, what is optional given, the first of alternatives taken."""
    found = re.findall(r"(?m)^(?:\$ )?\./kuaizhao ([^\n]*)|`\./kuaizhao ([^`]*)`", page)
    texts = [re.split(r"\s{2,}", block or inline)[0] for block, inline in found]
    texts = [re.sub(r"\|\S+", "", re.sub(r"[\[\]]", "", text)) for text in texts]
    return [[FILLED.get(word, word) for word in shlex.split(text)] for text in texts]


def test_every_alert_has_its_section() -> None:
    assert alerts(ALERTS) <= headings(PAGE)
    assert not alerts(ALERTS) <= headings(PAGE.replace("## FuseBlown", "## Fuse"))


@pytest.mark.parametrize("command", commands(PAGE), ids=" ".join)
def test_a_command_that_is_shown_can_be_given(command: list[str]) -> None:
    parser().parse_args(command)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert len(commands(PAGE)) >= 12
    (made_up,) = commands("`./kuaizhao dead revive matching`")
    with pytest.raises(SystemExit):
        parser().parse_args(made_up)
