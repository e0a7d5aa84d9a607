"""What is wrong with the manifests, found without a cluster: each check returns a line for each fault.

The overlays are rendered by kustomize; every object is held against a strict schema (an unknown field is a fault):
Kubernetes' own for what is built in, of the oldest and of the newest version that we say we run on, and the custom
resource definitions in crds/ for the rest. Then the Pod Security Standard "restricted" by Kubernetes' own rules,
kube-score's policies, and that what names something names something that is there.
"""

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

from deploy.local.go_tools import tool

HERE = Path(__file__).parent
OVERLAYS = sorted(path.parent for path in (HERE / "overlays").glob("*/kustomization.yaml"))
VERSIONS = ("1.32", "1.37")
"""The oldest and the newest Kubernetes that these manifests are for."""

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
WAIVED = {
    "container-image-pull-policy": "an image's tag is a version, and a restart should not need the registry",
    "deployment-has-host-podantiaffinity": "topologySpreadConstraints spread over nodes and zones",
    "deployment-replicas": "a ScaledObject sets them; the cache is one, and may be away",
}
"""Policies of kube-score that we do not follow, and why."""

OWN_SECRETS = "{}-settings"
"""The secret that an operator makes for each service (README.md)."""
CLUSTER_CA = "kuaizhao-cluster-ca-cert"

Manifest = dict[str, Any]


def render(folder: Path) -> list[Manifest]:
    """The objects of an overlay. Raises `ValueError` with kustomize's reason when it makes none."""
    done = subprocess.run([tool("kustomize"), "build", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{folder.name}: {done.stderr.strip().splitlines()[-1]}")
    return list(yaml.safe_load_all(done.stdout))


def faults(manifests: Sequence[Manifest]) -> list[str]:
    """All that is wrong with the objects of one overlay."""
    checks: tuple[Callable[[Sequence[Manifest]], Iterable[str]], ...] = (schema, pod_security, policies, references)
    return [fault for check in checks for fault in check(manifests)]


def title(manifest: Mapping[str, Any]) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


# --- schemas ---------------------------------------------------------------------------------------------------------


def schema(manifests: Iterable[Manifest]) -> Iterator[str]:
    """Fields that are unknown, missing or of the wrong kind, and kinds for which there is no schema."""
    for manifest in manifests:
        kind = manifest["apiVersion"], manifest["kind"]
        if kind in custom():
            for error in custom()[kind].iter_errors(manifest):
                yield f"{title(manifest)}: {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{title(manifest)}: {'.'.join(map(str, error.path))}: {error.message[:200]} ({version})"
            except kubernetes_validate.SchemaNotFoundError:
                yield f"{title(manifest)}: Kubernetes {version} has no {manifest['apiVersion']} {manifest['kind']}"


@cache
def custom() -> dict[tuple[str, str], Draft202012Validator]:
    """Validators of the custom resources in crds/, by apiVersion and kind."""
    found = {}
    for path in sorted((HERE / "crds").glob("*.yaml")):
        definition = yaml.safe_load(path.read_text("utf-8"))["spec"]
        for version in definition["versions"]:
            name = f"{definition['group']}/{version['name']}", definition["names"]["kind"]
            found[name] = Draft202012Validator(strict(version["schema"]["openAPIV3Schema"], top=True))
    return found


def strict(schema: Mapping[str, Any], *, top: bool = False) -> dict[str, Any]:
    """A definition's schema in which an object may have the fields that are listed and no others.

    Where the definition itself leaves unknown fields alone, they are; metadata is Kubernetes' own to check.
    """
    made = dict(schema)
    if schema.get("x-kubernetes-int-or-string"):
        made |= {"type": ["integer", "string"]}
    for field in ("items", "additionalProperties"):
        if isinstance(schema.get(field), Mapping):
            made[field] = strict(schema[field])
    if "properties" in schema:
        made["properties"] = {
            name: each if top and name == "metadata" else strict(each) for name, each in schema["properties"].items()
        }
        if not schema.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in schema:
            made["additionalProperties"] = False
    return made


# --- policies --------------------------------------------------------------------------------------------------------


def pod_security(manifests: Iterable[Manifest]) -> list[str]:
    """Pods that the standard "restricted" does not admit."""
    workloads = [manifest for manifest in manifests if manifest["kind"] in WORKLOADS]
    return _said(subprocess.run([tool("pod-security")], **_text(json.dumps(workloads))))


def policies(manifests: Iterable[Manifest]) -> list[str]:
    """What kube-score finds to be critical or worth a warning."""
    ignored = [f"--ignore-test={name}" for name in WAIVED]
    options = ["--output-format=json", "--ignore-container-cpu-limit", *ignored]
    command: list[str | Path] = [tool("kube-score"), "score", *options, "-"]
    done = subprocess.run(command, **_text(yaml.safe_dump_all(manifests)))
    if done.returncode not in (0, 1):
        return [f"kube-score: {done.stderr.strip()[:300]}"]
    return [
        f"{each['type_meta']['kind']} {each['object_meta']['name']}: {check['check']['name']}: {told['summary']}"
        for each in json.loads(done.stdout or "[]") or []
        for check in each["checks"]
        if not check["skipped"] and check["grade"] < 10
        for told in check["comments"] or [{"summary": "not kept"}]
    ]


def _text(given: str) -> dict[str, Any]:
    return {"input": given, "capture_output": True, "text": True, "check": False}


def _said(done: subprocess.CompletedProcess[str]) -> list[str]:
    return done.stdout.splitlines() if done.returncode == 0 else [done.stderr.strip()]


# --- references ------------------------------------------------------------------------------------------------------


def references(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Names of config maps, secrets, accounts and workloads that nothing has, and graces that are too short."""
    there = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    # What an operator makes, and what Strimzi makes of a cluster and of each user.
    users = {name for kind, name in there if kind == "KafkaUser"}
    secrets = {CLUSTER_CA, *users, *(OWN_SECRETS.format(name) for name in users)}
    there |= {("Secret", name) for name in secrets}
    for manifest in manifests:
        for wanted in _wanted(manifest):
            if wanted not in there:
                yield f"{title(manifest)}: there is no {wanted[0]} {wanted[1]}"
        if manifest["kind"] in WORKLOADS:
            yield from _grace(manifest)


def _wanted(manifest: Manifest) -> Iterator[tuple[str, str]]:
    spec = manifest.get("spec", {})
    if "scaleTargetRef" in spec:
        yield spec["scaleTargetRef"].get("kind", "Deployment"), spec["scaleTargetRef"]["name"]
    for trigger in spec.get("triggers", ()):
        if "authenticationRef" in trigger:
            yield "TriggerAuthentication", trigger["authenticationRef"]["name"]
    for each in spec.get("secretTargetRef", ()):
        yield "Secret", each["name"]
    if manifest["kind"] not in WORKLOADS:
        return
    pod = spec["template"]["spec"]
    yield "ServiceAccount", pod.get("serviceAccountName", "default")
    for container in pod["containers"]:
        for source in container.get("envFrom", ()):
            kind = "ConfigMap" if "configMapRef" in source else "Secret"
            yield kind, (source.get("configMapRef") or source["secretRef"])["name"]
    for volume in pod.get("volumes", ()):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        for source in volume.get("projected", {}).get("sources", ()):
            yield "Secret", source["secret"]["name"]


def _grace(manifest: Manifest) -> Iterator[str]:
    """A process of ours needs 35 s to end well, after what its preStop sleeps: see docs/operations.md on stopping."""
    pod = manifest["spec"]["template"]["spec"]
    for container in pod["containers"]:
        before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if container.get("args") and pod.get("terminationGracePeriodSeconds", 30) < before + 40:
            yield f"{title(manifest)}: terminationGracePeriodSeconds must be {before + 40} at least"
