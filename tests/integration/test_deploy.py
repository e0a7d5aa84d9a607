"""deploy/k8s, alerts and dashboards: what `make deploy-check` finds to be right, and that it finds what is wrong."""

import shutil
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

import deploy.check
from deploy.agencies.access import BYTES_IN, BYTES_OUT, NotGranted
from deploy.k8s import check as k8s
from deploy.k8s import generate
from deploy.local.ports import SERVICES
from deploy.local.process import CannotRun
from deploy.otel import check as otel
from deploy.otel import dashboards
from deploy.otel.dashboards import Query
from deploy.topics import read as read_topics
from deploy.topics import with_snapshots
from shared.settings import Settings

Manifest = dict[str, Any]
ROOT = Path(__file__).parents[2]

# On a new machine the checkers are built first.
pytestmark = pytest.mark.timeout(1_800)


@pytest.fixture(scope="module", params=k8s.OVERLAYS, ids=lambda path: path.name)
def overlay(request: pytest.FixtureRequest) -> list[Manifest]:
    return k8s.render(request.param)


@pytest.fixture(scope="module")
def county() -> list[Manifest]:
    return k8s.render(ROOT / "deploy" / "k8s" / "overlays" / "county")


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    [found] = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def container(manifests: list[Manifest], name: str) -> Manifest:
    found: Manifest = one(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
    return found


# --- all of it -------------------------------------------------------------------------------------------------------


def test_the_check_counts_what_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.check.main() == 0, capsys.readouterr().out
    said = capsys.readouterr().out.splitlines()
    queries = len(list(dashboards.queries()))
    assert said[-1] == f"deploy: 206 manifests, {len(otel.alerts())} alerts, {queries} dashboard queries, all valid"


def test_a_machine_without_go_is_told_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KUAIZHAO_CACHE", str(tmp_path / "cache"))
    assert deploy.check.main() == 69
    said = capsys.readouterr().out
    assert said == "deploy: not checked: no Go in PATH: kustomize, a checker of what is deployed, is built with it\n"


# --- manifests -------------------------------------------------------------------------------------------------------


def test_an_overlay_that_cannot_be_rendered_says_why(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [nothing.yaml]\n")
    with pytest.raises(ValueError, match=r"nothing\.yaml"):
        k8s.render(tmp_path)


def misspell_in_a_deployment(manifests: list[Manifest]) -> None:
    container(manifests, "matching")["readynessProbe"] = {}


def misspell_in_a_topic(manifests: list[Manifest]) -> None:
    one(manifests, "KafkaTopic", "posting.gig")["spec"]["partition"] = 12


def misspell_in_a_user(manifests: list[Manifest]) -> None:
    one(manifests, "KafkaUser", "matching")["spec"]["authorization"]["acls"][0]["operation"] = "Read"


def misspell_in_a_scaler(manifests: list[Manifest]) -> None:
    one(manifests, "ScaledObject", "matching")["spec"]["maxReplicas"] = 12


def take_a_kind_that_nobody_knows(manifests: list[Manifest]) -> None:
    one(manifests, "ScaledObject", "matching")["apiVersion"] = "keda.sh/v9"


def write_a_number_as_text(manifests: list[Manifest]) -> None:
    one(manifests, "KafkaTopic", "posting.gig")["spec"]["partitions"] = "twelve"


def be_privileged(manifests: list[Manifest]) -> None:
    container(manifests, "matching")["securityContext"]["privileged"] = True


def run_as_root(manifests: list[Manifest]) -> None:
    container(manifests, "matching")["securityContext"]["runAsUser"] = 0


def let_the_file_system_be_written(manifests: list[Manifest]) -> None:
    container(manifests, "matching")["securityContext"]["readOnlyRootFilesystem"] = False


def forget_the_memory_limit(manifests: list[Manifest]) -> None:
    del container(manifests, "matching")["resources"]["limits"]["memory"]


def take_the_latest_image(manifests: list[Manifest]) -> None:
    container(manifests, "gateway")["image"] = "envoyproxy/envoy:latest"


def forget_the_budget(manifests: list[Manifest]) -> None:
    manifests.remove(one(manifests, "PodDisruptionBudget", "matching"))


def be_open_to_the_network(manifests: list[Manifest]) -> None:
    manifests[:] = [each for each in manifests if each["kind"] != "NetworkPolicy"]


def name_no_config(manifests: list[Manifest]) -> None:
    container(manifests, "matching")["envFrom"][0]["configMapRef"]["name"] = "setings"


def scale_what_is_not_there(manifests: list[Manifest]) -> None:
    one(manifests, "ScaledObject", "matching")["spec"]["scaleTargetRef"]["name"] = "machting"


def be_killed_too_early(manifests: list[Manifest]) -> None:
    one(manifests, "Deployment", "matching")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 30


@pytest.mark.parametrize(
    ("check", "spoil", "fault"),
    [
        (k8s.schema, misspell_in_a_deployment, "readynessProbe"),
        (
            k8s.schema,
            misspell_in_a_topic,
            "KafkaTopic posting.gig: spec: Additional properties are not allowed ('partition'",
        ),
        (k8s.schema, misspell_in_a_user, "'operation' was unexpected"),
        (k8s.schema, misspell_in_a_scaler, "'maxReplicas' was unexpected"),
        (k8s.schema, take_a_kind_that_nobody_knows, "has no keda.sh/v9 ScaledObject"),
        (k8s.schema, write_a_number_as_text, "'twelve' is not of type 'integer'"),
        (k8s.pod_security, be_privileged, "must not set securityContext.privileged=true"),
        (k8s.pod_security, run_as_root, "runAsUser=0"),
        (
            k8s.policies,
            let_the_file_system_be_written,
            "Deployment matching: Container Security Context ReadOnlyRootFilesystem",
        ),
        (k8s.policies, forget_the_memory_limit, "Deployment matching: Container Resources"),
        (k8s.policies, take_the_latest_image, "Deployment gateway: Container Image Tag"),
        (k8s.policies, forget_the_budget, "Deployment matching: Deployment has PodDisruptionBudget"),
        (k8s.policies, be_open_to_the_network, "Deployment matching: Pod NetworkPolicy"),
        (k8s.references, name_no_config, "Deployment matching: there is no ConfigMap setings"),
        (k8s.references, scale_what_is_not_there, "ScaledObject matching: there is no Deployment machting"),
        (k8s.references, be_killed_too_early, "terminationGracePeriodSeconds must be 45 at least"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_wrong_manifest_is_noticed(
    county: list[Manifest],
    check: Callable[[list[Manifest]], Iterable[str]],
    spoil: Callable[[list[Manifest]], None],
    fault: str,
) -> None:
    spoiled = deepcopy(county)
    spoil(spoiled)
    # The schema of each object is its own affair; policies and references go by all of them.
    looked_at = [each for each in spoiled if each not in county] if check is k8s.schema else spoiled
    found = list(check(looked_at))
    assert any(fault in each for each in found), found


def test_every_service_is_there_in_the_one_shape(overlay: list[Manifest]) -> None:
    for name in SERVICES:
        for kind in ("Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy", "ScaledObject"):
            one(overlay, kind, name)
        process = container(overlay, name)
        assert process["args"] == ["shared.run", name]
        assert process["startupProbe"]["httpGet"]["path"] == "/ready"
        assert process["livenessProbe"]["httpGet"]["path"] == "/live"


def test_every_variable_is_a_setting(overlay: list[Manifest]) -> None:
    known = {f"KUAIZHAO_{name.upper()}" for name in Settings.model_fields}
    passed = set(one(overlay, "ConfigMap", "settings")["data"])
    passed |= {each["name"] for name in (*SERVICES, "web", "agencies") for each in container(overlay, name)["env"]}
    assert {name for name in passed if name.startswith("KUAIZHAO_")} <= known


def test_the_gateway_is_the_one_that_runs_locally(overlay: list[Manifest]) -> None:
    [config] = [
        each for each in overlay if each["kind"] == "ConfigMap" and each["metadata"]["name"].startswith("gateway-")
    ]
    assert config["data"]["kuaizhao.yaml"] == (ROOT / "deploy" / "envoy.yaml").read_text("utf-8")
    assert config["data"]["drain.sh"] == (ROOT / "deploy" / "drain.sh").read_text("utf-8")
    ports = {
        (each["metadata"]["name"], each["spec"]["ports"][0]["port"]) for each in overlay if each["kind"] == "Service"
    }
    for cluster in yaml.safe_load(config["data"]["kuaizhao.yaml"])["static_resources"]["clusters"]:
        address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        if address["address"] not in ("127.0.0.1", "otel-collector"):
            assert (address["address"], address["port_value"]) in ports


def test_images_are_those_of_compose(overlay: list[Manifest]) -> None:
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    assert container(overlay, "gateway")["image"] == composed["gateway"]["image"]
    assert container(overlay, "cache")["image"] == composed["valkey"]["image"]


# --- Kafka -----------------------------------------------------------------------------------------------------------


def test_what_is_generated_is_what_would_be_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert generate.stale() == []
    monkeypatch.setattr(generate, "LAG_FOR_ONE_MORE", 7)
    assert [path.name for path in generate.stale()] == ["scaling.yaml"]


def test_every_topic_is_there_with_its_partitions(overlay: list[Manifest]) -> None:
    there = {
        each["metadata"]["name"]: (each["spec"]["partitions"], each["spec"]["config"]["retention.ms"])
        for each in overlay
        if each["kind"] == "KafkaTopic"
    }
    wanted = with_snapshots(read_topics())
    assert there == {each.name: (each.partitions, each.retention_hours * 3_600_000) for each in wanted}
    assert one(overlay, "KafkaTopic", "posting.gig.snapshot")["spec"]["config"]["cleanup.policy"] == "compact,delete"


def allowed(user: Manifest, operation: str, kind: str = "topic") -> set[str]:
    return {
        acl["resource"]["name"]
        for acl in user["spec"]["authorization"]["acls"]
        if acl["resource"]["type"] == kind and operation in acl["operations"]
    }


def test_a_service_may_read_what_it_hears_and_write_what_bears_its_name(overlay: list[Manifest]) -> None:
    heard = generate.hears()
    for name in SERVICES:
        user = one(overlay, "KafkaUser", name)
        assert allowed(user, "Read") == set(heard[name])
        written = allowed(user, "Write")
        assert f"{name}.dead" in written
        assert {each.partition(".")[0] for each in written} == {name}
        assert allowed(user, "Read", "group") == {name}
        assert all(acl["resource"]["patternType"] == "literal" for acl in user["spec"]["authorization"]["acls"])
        assert not {"All", "Create", "Delete", "Alter", "AlterConfigs"} & {
            operation for acl in user["spec"]["authorization"]["acls"] for operation in acl["operations"]
        }
    page = one(overlay, "KafkaUser", "web")
    assert allowed(page, "Write") == set()
    assert not any(name.endswith(".dead") for name in allowed(page, "Read"))


def test_no_scaler_goes_beyond_the_partitions(overlay: list[Manifest]) -> None:
    partitions = {each.name: each.partitions for each in read_topics()}
    for name, heard in generate.hears().items():
        scaler = one(overlay, "ScaledObject", name)["spec"]
        assert scaler["maxReplicaCount"] == max(partitions[topic] for topic in heard)
        assert scaler["triggers"][0]["metadata"]["consumerGroup"] == name
    few = generate.scaler("x", ["a", "b"], {"a": 1, "b": 3})
    assert few["spec"]["maxReplicaCount"] == 3


def test_another_agency_gets_a_user_and_topics_of_its_own() -> None:
    id = "01a199d7-9100-7c2a-8f10-3f1d2a7b9c55"
    made = generate.agency(id, ["posting.gig"])
    assert list(k8s.schema(made)) == []
    user, inbound, answers = made
    assert (inbound["metadata"]["name"], answers["metadata"]["name"]) == (
        f"agencies.gig.{id}",
        f"agencies.answers.{id}",
    )
    assert allowed(user, "Write") == {f"agencies.gig.{id}"}
    assert allowed(user, "Read") == {"posting.gig", "posting.gig.snapshot", f"agencies.answers.{id}"}
    assert [acl["resource"] for acl in user["spec"]["authorization"]["acls"] if acl["resource"]["type"] == "group"] == [
        {"type": "group", "name": f"{id}.", "patternType": "prefix"}
    ]
    assert user["spec"]["quotas"] == {"producerByteRate": BYTES_IN, "consumerByteRate": BYTES_OUT}


@pytest.mark.parametrize(
    ("id", "reads", "said"),
    [
        ("Star HR", [], "no id of an account"),
        ("star_hr", [], "no name on Kubernetes"),
        ("star-hr", ["posting.dead"], "posting.dead is not open"),
    ],
)
def test_an_agency_that_cannot_be_let_in_is_told_why(id: str, reads: list[str], said: str) -> None:
    with pytest.raises(NotGranted, match=said):
        generate.agency(id, reads)


def test_the_gate_may_do_what_it_passes_on_and_no_more(overlay: list[Manifest]) -> None:
    user = one(overlay, "KafkaUser", "agencies")
    copies = {"posting.gig.snapshot", "matching.placement.snapshot"}
    assert allowed(user, "Write") == {"agencies.gig", "agencies.answers.", *copies}
    assert allowed(user, "Read") == {"agencies.gig.", "posting.feed", "posting.gig", "matching.placement", *copies}
    assert allowed(user, "Read", "group") == {"kuaizhao-gate"}
    assert container(overlay, "agencies")["args"] == ["deploy.agencies"]


# --- alerts and dashboards -------------------------------------------------------------------------------------------


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The alerts and their tests, to be spoiled."""
    for name in ("alerts.yml", "alerts_test.yml", "prometheus.yml", "collector.yaml"):
        shutil.copy(otel.HERE / name, tmp_path)
    return tmp_path


def spoil(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("alerts.yml", "kuaizhao_outbox_age_seconds) > 30", "kuaizhao_outbox_age_secs) > 30", "OutboxOld"),
        (
            "alerts.yml",
            'for: 5m\n    annotations:\n      summary: "the clocks',
            'for: 5h\n    annotations:\n      summary: "the clocks',
            "ClockSkew",
        ),
        ("alerts.yml", ">= sum by (service, topic) (kuaizhao_consumer_lag offset 5m)", ">= 0", "matching is behind"),
        ("alerts.yml", " or vector(0)", "", "NoPlacements"),
        ("alerts.yml", "hour() < 2", "hour() < 9", "NoPlacements"),
        ("alerts.yml", "max by (service) (kuaizhao_fuse_blown)", "max by service (kuaizhao_fuse_blown)", "parse error"),
        (
            "alerts.yml",
            "runbook: docs/operations.md#keyoverdue",
            "runbook: docs/operations.md#key",
            "KeyOverdue: its runbook",
        ),
        (
            "alerts_test.yml",
            "alertname: FuseBlown",
            "alertname: FuseBlow",
            "FuseBlown: no test in alerts_test.yml fires it",
        ),
        ("collector.yaml", "exemplars:", "exemplar:", "collector.yaml"),
        ("prometheus.yml", "scrape_interval", "scrape_intervall", "scrape_intervall"),
    ],
    ids=["metric", "for", "falling", "no-data", "hours", "promql", "runbook", "untested", "collector", "config"],
)
def test_a_wrong_alert_is_noticed(rules: Path, file: str, old: str, new: str, fault: str) -> None:
    spoil(rules / file, old, new)
    found = otel.faults(rules)
    assert any(fault in each for each in found), found


def test_an_alert_for_each_that_was_asked_for() -> None:
    assert {rule["alert"] for rule in otel.alerts()} >= {
        *("OutboxOld", "LagStays", "DeadLetters", "FuseBlown", "NoPlacements", "ClockSkew", "KeyOverdue"),
        "CertificateExpires",
    }


def test_a_query_that_is_no_promql_is_noticed() -> None:
    assert otel.unreadable([Query("sum(rate(up[$__rate_interval]))", "")]) == []
    assert otel.unreadable([Query("sum(rate(up[$__rate_interval])", "")])


def test_a_dashboard_that_was_edited_by_hand_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert dashboards.stale() == []
    monkeypatch.setattr(dashboards, "FOLDER", tmp_path)
    assert {path.name for path in dashboards.stale()} == {"market.json", "operations.json"}
    dashboards.main()
    assert dashboards.stale() == []
    (tmp_path / "another.json").write_text("{}")
    assert [path.name for path in dashboards.stale()] == ["another.json"]


def test_prometheus_and_the_collector_are_those_of_compose() -> None:
    """Rules are tested by the release that runs them: v3.13.1 is v0.313.1 as a Go module."""
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    major, minor, patch = composed["prometheus"]["image"].rpartition(":v")[2].split(".")
    pinned = (ROOT / "deploy" / "tools" / "prometheus" / "go.mod").read_text("utf-8")
    assert f"github.com/prometheus/prometheus v0.{major}{int(minor):02}.{patch}" in pinned
    release = composed["otel-collector"]["image"].rpartition(":")[2]
    assert f"collector/otelcol v{release}" in (ROOT / "deploy/tools/collector/go.mod").read_text("utf-8")


def test_no_server_is_needed_to_say_that_a_tool_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from deploy.local import go_tools

    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go1.19.8\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KUAIZHAO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CannotRun, match=r"^go1\.19\.8 is too old: kustomize needs Go 1\.24$"):
        go_tools.tool("kustomize")
