"""docker-compose.yml and what it mounts, checked without starting it; `make compose-test` starts it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import prometheus_client
import pytest
import uvicorn
import yaml

import shared.telemetry
from deploy.local.ports import SERVICES, USUAL
from deploy.local.servers import kafka_properties
from shared.settings import Settings
from tests.integration.gateway_edge import Gateway

ROOT = Path(__file__).parents[2]
COMPOSE = Path(sys.executable).with_name("docker-compose")
FILE = ROOT / "docker-compose.yml"
OTEL = ROOT / "deploy" / "otel"
GIVEN = {"KUAIZHAO_SECRET": "c2VjcmV0", "KUAIZHAO_OPERATOR_PASSWORD": "password"}


def compose(*arguments: str, given: dict[str, str] = GIVEN) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KUAIZHAO_", "COMPOSE_"))}
    command = [str(COMPOSE), "--file", str(FILE), "--env-file", "/dev/null", *arguments]
    return subprocess.run(command, env=kept | given, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Every service of every profile, as Compose understands it."""
    config = compose("--profile", "obs", "--profile", "city", "config", "--format", "json")
    assert config.returncode == 0, config.stderr
    found: dict[str, Any] = json.loads(config.stdout)["services"]
    return found


@pytest.mark.parametrize("profiles", [[], ["obs"], ["city"], ["obs", "city"]])
def test_compose_accepts_the_file(profiles: list[str]) -> None:
    checked = compose(*(f"--profile={name}" for name in profiles), "config", "--quiet")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_image_holds_whatever_its_commands_import(tmp_path: Path, services: dict[str, Any]) -> None:
    """Of the files that .dockerignore lets in, in a folder of their own."""
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        if line.startswith("!"):
            path, copied = ROOT / line[1:], tmp_path / line[1:]
            copied.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copy)(path, copied)
    commands = {each["command"][0] for each in services.values() if each["image"].startswith("kuaizhao:")}
    assert commands == {"shared.run", "clients.web", "clients.city", "deploy.agencies", "deploy.provision"}
    for module in (*commands, *(f"services.{name}.app" for name in SERVICES), "ops.__main__", "deploy.agencies.access"):
        name = module if (tmp_path / f"{module.replace('.', '/')}.py").exists() else f"{module}.__main__"
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", GIVEN)
def test_a_missing_secret_is_named(name: str) -> None:
    checked = compose("config", "--quiet", given={other: value for other, value in GIVEN.items() if other != name})
    assert checked.returncode != 0
    assert name in checked.stderr


def test_the_market_needs_no_profile(services: dict[str, Any]) -> None:
    default = set(json.loads(compose("config", "--format", "json").stdout)["services"])
    assert default == {*SERVICES, "web", "gateway", "agencies", "provision", "kafka", "mongo", "valkey"}
    assert set(services) - default == {"city", "otel-collector", "jaeger", "prometheus", "grafana"}


def test_every_container_is_bounded_and_pinned(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert int(service["mem_limit"]) > 0, name
        assert service["stop_grace_period"], name
        assert service["logging"]["options"] == {"max-size": "20m", "max-file": "3"}, name
        assert re.search(r":(v?\d+\.\d+\.\d+|dev)$", service["image"]), name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_only_the_gateway_is_open_to_other_machines(services: dict[str, Any]) -> None:
    open_ports = {
        name: {port["host_ip"] for port in service["ports"]} for name, service in services.items() if "ports" in service
    }
    assert open_ports.pop("gateway") == {"0.0.0.0"}
    assert set(open_ports) == {"kafka", "jaeger", "prometheus", "grafana"}
    assert set.union(*open_ports.values()) == {"127.0.0.1"}


def test_starts_wait_for_health(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert not services[needed]["healthcheck"].get("disable"), f"{name} waits for {needed} in vain"
    for name in SERVICES:
        assert services[name]["depends_on"]["provision"]["condition"] == "service_completed_successfully"
        assert services["gateway"]["depends_on"][name]["condition"] == "service_healthy"


def test_only_who_needs_them_gets_secrets(services: dict[str, Any]) -> None:
    def holders(secret: str) -> set[str]:
        return {name for name, service in services.items() if secret in service.get("environment", {})}

    assert holders("KUAIZHAO_SECRET") == set(SERVICES)
    assert holders("KUAIZHAO_OPERATOR_PASSWORD") == {"identity", "city"}


@pytest.mark.parametrize("name", [*SERVICES, "web"])
async def test_a_process_takes_the_clients_address_from_the_gateway(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """All clients would be one to identity's sign-in limits if they came from the gateway's address."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", services[name]["environment"]["FORWARDED_ALLOW_IPS"])
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    config = uvicorn.Config(app, log_config=None)  # as shared.run and clients.web: nothing about proxies
    config.load()
    headers = [(b"x-forwarded-for", b"203.0.113.9")]
    for gateway in ("172.18.0.9", "10.89.0.9"):
        await config.loaded_app({"type": "http", "client": (gateway, 4711), "headers": headers}, Any, Any)
    assert seen == ["203.0.113.9"] * 2


def test_whoever_comes_to_kafka_from_outside_signs_in_and_may_do_what_was_granted(services: dict[str, Any]) -> None:
    """The settings of the local broker, under which `make agencies-test` shows it; their own names for the listener."""
    (port,) = services["kafka"]["ports"]
    assert port["target"] == 9094
    named = {
        name.removeprefix("KAFKA_").lower().replace("_", ".").replace("...", "-"): str(value)
        for name, value in services["kafka"]["environment"].items()
    }
    tested = kafka_properties(9092, 9093, agencies=9094)
    assert dict(each.split("://") for each in named["listeners"].split(",")) == {
        "PLAINTEXT": "0.0.0.0:9092",
        "AGENCIES": "0.0.0.0:9094",
        "CONTROLLER": "localhost:9093",
    }
    protocols = "listener.security.protocol.map"
    assert set(named[protocols].split(",")) == set(tested[protocols].split(","))
    for name in tested.keys() - kafka_properties(9092, 9093).keys():
        assert named[name] == tested[name]


def test_nobody_has_an_account_that_came_with_an_image(services: dict[str, Any]) -> None:
    """Grafana takes an empty password for none, and then its own default."""
    grafana = services["grafana"]["environment"]
    assert grafana["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert not [name for name in grafana if "PASSWORD" in name]


def test_every_variable_is_a_setting(services: dict[str, Any]) -> None:
    """A typing error in a variable would be ignored silently, and the process run with its default."""
    known = {f"KUAIZHAO_{name.upper()}" for name in Settings.model_fields}
    for name in (*SERVICES, "web", "agencies", "provision"):
        passed = {variable for variable in services[name]["environment"] if variable.startswith("KUAIZHAO_")}
        assert passed <= known, name


def test_the_example_lists_every_setting() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", FILE.read_text()))
    shown = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    assert set(shown) - {"COMPOSE_PROFILES"} == asked
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", FILE.read_text()))
    assert {name: shown[name] for name in defaults} == defaults


def test_the_gateway_knows_each_container_by_name_and_port(services: dict[str, Any]) -> None:
    envoy = yaml.safe_load((ROOT / "deploy" / "envoy.yaml").read_text())
    for cluster in envoy["static_resources"]["clusters"]:
        for priority in cluster["load_assignment"]["endpoints"]:
            address = priority["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
            if address["address"] not in ("127.0.0.1", "otel-collector"):
                environment = services[address["address"]]["environment"]
                assert int(environment["KUAIZHAO_PORT"]) == address["port_value"] == USUAL[address["address"]]


def test_what_is_mounted_is_there(services: dict[str, Any]) -> None:
    binds = [
        volume for service in services.values() for volume in service.get("volumes", []) if volume["type"] == "bind"
    ]
    assert binds
    for bind in binds:
        assert Path(bind["source"]).exists(), bind["source"]
        assert bind["read_only"]


def test_dashboards_and_alerts_show_figures_that_exist(tmp_path: Path) -> None:
    assert shared.telemetry.METRICS
    ours = set(prometheus_client.REGISTRY._names_to_collectors)
    with Gateway(tmp_path).running() as gateway:
        envoys = set(re.findall(r"^\w+", httpx.get(gateway.metrics_url).text, re.M))
    for expression in expressions():
        unlabelled = re.sub(r"by \([^)]*\)|\{[^}]*\}", "", expression)
        named = set(re.findall(r"\b(?:kuaizhao|process|envoy)_\w+", unlabelled))
        assert named or expression == "up == 0", expression
        assert named <= ours | envoys, expression


def expressions() -> list[str]:
    dashboards = [json.loads(path.read_text()) for path in (OTEL / "grafana" / "dashboards").glob("*.json")]
    shown = [target["expr"] for board in dashboards for panel in board["panels"] for target in panel["targets"]]
    alerts = yaml.safe_load((OTEL / "alerts.yml").read_text())["groups"]
    return shown + [rule["expr"] for group in alerts for rule in group["rules"]]
