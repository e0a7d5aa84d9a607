"""What is wrong with alerts and dashboards, found without a running market: each check returns a line for each fault.

promtool and the collector, of the releases that docker-compose.yml runs, read their configuration; promtool fires each
alert in alerts_test.yml, and parses every query of the dashboards. What a market's figures are, only a running market
can say: `without_data` asks a Prometheus that scrapes one.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.local.go_tools import tool
from deploy.local.servers import ROOT
from deploy.otel import dashboards
from deploy.otel.dashboards import Query

HERE = Path(__file__).parent
INTERVAL = "5m"
"""What stands for Grafana's $__rate_interval: long enough for a figure of what has just happened."""


def faults(folder: Path = HERE) -> list[str]:
    """All that is wrong with the alerts in a folder laid out like this one, and with the dashboards."""
    return [
        *promtool("check", "config", folder / "prometheus.yml"),
        *promtool("test", "rules", folder / "alerts_test.yml"),
        *collector(folder / "collector.yaml"),
        *unfired(folder),
        *lost(alerts(folder)),
        *unreadable(query for _, query in dashboards.queries()),
        *(f"{path.name} is not what deploy/otel/dashboards.py makes: make contracts" for path in dashboards.stale()),
    ]


def promtool(*command: str | Path) -> list[str]:
    """What promtool finds to be wrong."""
    done = subprocess.run([tool("promtool"), *command], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return [f"promtool {command[0]} {command[1]}: {' | '.join(said)[:1000]}"]


def collector(config: Path) -> list[str]:
    """What the OpenTelemetry Collector does not understand of its configuration."""
    done = subprocess.run(
        [tool("collector"), "validate", f"--config={config}"], capture_output=True, text=True, check=False
    )
    said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return [f"{config.name}: {' | '.join(said)[:1000]}"] if done.returncode else []


# --- alerts ----------------------------------------------------------------------------------------------------------


def alerts(folder: Path = HERE) -> list[dict[str, Any]]:
    groups = yaml.safe_load((folder / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def unfired(folder: Path) -> Iterator[str]:
    """Alerts that no test fires."""
    tests = yaml.safe_load((folder / "alerts_test.yml").read_text("utf-8"))["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    for rule in alerts(folder):
        if rule["alert"] not in fired:
            yield f"{rule['alert']}: no test in alerts_test.yml fires it"


def lost(rules: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Alerts whose runbook is no section of a page of ours."""
    for rule in rules:
        page, _, anchor = rule.get("annotations", {}).get("runbook", "").partition("#")
        file = ROOT / page
        sections = re.findall(r"(?m)^##+ (.+)$", file.read_text("utf-8")) if page and file.is_file() else []
        if anchor not in {re.sub(r"[^\w -]", "", section).lower().replace(" ", "-") for section in sections}:
            yield f"{rule['alert']}: its runbook {page}#{anchor} is not there"


# --- dashboards ------------------------------------------------------------------------------------------------------


def unreadable(queries: Iterable[Query]) -> list[str]:
    """Queries that are no PromQL, told by their place in a file of rules."""
    rules = [{"record": f"query:{number}", "expr": asked(query)} for number, query in enumerate(queries)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}, file)
        file.flush()
        return promtool("check", "rules", file.name)


def asked(query: Query) -> str:
    """A query as Grafana would send it."""
    return query.expr.replace("$__rate_interval", INTERVAL)


async def without_data(http: httpx.AsyncClient, queries: Iterable[tuple[str, Query]]) -> list[str]:
    """The panels, with the query, for which the Prometheus behind `http` has no figure now, or only NaN."""
    empty = []
    for panel, query in queries:
        answer = (await http.get("/api/v1/query", params={"query": asked(query)})).raise_for_status().json()
        if all(sample["value"][1] == "NaN" for sample in answer["data"]["result"]):
            empty.append(f"{panel}: {query.expr}")
    return empty
