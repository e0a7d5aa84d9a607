"""`make kube-test`: identity run from its manifest of the county overlay, for real, without a cluster.

`podman kube play` reads the Deployment as it was rendered; deploy/compose_test.py has how images are made here, and
what the machine must have. What podman 4 cannot do is left out, and said: certificates come in a projected volume, so
Kafka is spoken to in the open; a preStop sleep and HTTP probes need a kubelet, so the probes' paths are asked from
outside.

The last line says `kube: ok …`, or why it failed (exit code 1), or why it was not run (69, EX_UNAVAILABLE).
"""

import asyncio
import base64
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.compose_test import FRESH, PLACE, Failed, Podman, build_base, check_machine, run
from deploy.k8s.check import render
from deploy.k8s.generate import HERE
from deploy.local.kafka_dist import NoKafka
from deploy.local.ports import free_ports
from deploy.local.process import CannotRun, until
from deploy.local.servers import ROOT
from deploy.local.stack import Stack

SERVICE = "identity"
READY_SECONDS = 120


def say(text: str) -> None:
    print(f"kube: {text}", flush=True)


def manifests(stack: Stack) -> tuple[str, str, dict[str, Any], int]:
    """What is played, its secret, the Deployment among it, and its port: as rendered, for this machine's servers."""
    rendered = render(HERE / "overlays" / "county")
    [deployment] = [each for each in rendered if each["kind"] == "Deployment" and each["metadata"]["name"] == SERVICE]
    [settings] = [each for each in rendered if each["kind"] == "ConfigMap" and each["metadata"]["name"] == "settings"]
    settings["data"] |= {
        "KUAIZHAO_KAFKA": stack.kafka,
        "KUAIZHAO_VALKEY_URL": stack.valkey_url,
        "KUAIZHAO_OTLP_URL": "",
        **{f"KUAIZHAO_KAFKA_{name}": "" for name in ("CA", "CERTIFICATE", "KEY")},
    }
    given = {
        "KUAIZHAO_SECRET": base64.b64encode(secrets.token_bytes(32)).decode(),
        "KUAIZHAO_MONGO_URL": stack.mongo_url,
        "KUAIZHAO_OPERATOR_PASSWORD": secrets.token_urlsafe(16),
    }
    # Podman 4 cannot read back the Secrets that it is played; this is the form that it reads.
    secret = json.dumps({name: base64.b64encode(value.encode()).decode() for name, value in given.items()})
    pod = deployment["spec"]["template"]["spec"]
    pod["volumes"] = [volume for volume in pod["volumes"] if "projected" not in volume]
    mounted = {volume["name"] for volume in pod["volumes"]}
    container = pod["containers"][0]
    container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["name"] in mounted]
    for kubelets in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
        container.pop(kubelets)
    # The servers listen on this namespace's own loopback, where no port can be mapped.
    pod["hostNetwork"] = True
    port = container.pop("ports")[0]["containerPort"]
    return yaml.safe_dump_all([settings, deployment]), secret, deployment, port


async def play(podman: Podman) -> str:
    """Run it beside servers of its own, look at it, stop it; what was seen."""
    async with Stack(podman.folder / "stack", ports=free_ports(), parts=[], say=lambda line: None) as stack:
        text, secret, deployment, port = manifests(stack)
        file = podman.folder / "manifest.yaml"
        file.write_text(text)
        (podman.folder / "secret").write_text(secret)
        podman.run("secret", "create", f"{SERVICE}-settings", str(podman.folder / "secret"))
        podman.run("kube", "play", str(file))
        try:
            return await look(podman, deployment, port)
        finally:
            podman.run("kube", "down", str(file), check=False)


async def look(podman: Podman, deployment: dict[str, Any], port: int) -> str:
    wanted = deployment["spec"]["template"]["spec"]
    [id] = podman.run("ps", "--all", "--quiet", "--filter", f"name={SERVICE}-pod-.*-{SERVICE}$").split()
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:

        async def answers(path: str) -> bool:
            with suppress(httpx.HTTPError):
                return (await http.get(path)).status_code == 200
            return False

        try:
            async with asyncio.timeout(READY_SECONDS):
                await until(lambda: answers("/ready"), every=0.2)
        except TimeoutError:
            raise Failed(f"not ready: {podman.run('logs', '--tail=5', id, check=False)}") from None
        ready = time.monotonic() - began
        for path in ("/live", "/ready?for=requests", "/metrics", "/api/identity/.well-known/jwks.json"):
            if not await answers(path):
                raise Failed(f"{path} does not answer 200")
    inspected = json.loads(podman.run("inspect", id))[0]
    found = {
        "user": inspected["Config"]["User"].partition(":")[0],
        "read-only": inspected["HostConfig"]["ReadonlyRootfs"],
        "privileged": inspected["HostConfig"]["Privileged"],
        "capabilities": podman.run("exec", id, "grep", "CapEff", "/proc/1/status").split()[-1].strip("0"),
        "memory": inspected["HostConfig"]["Memory"],
    }
    limit = int(wanted["containers"][0]["resources"]["limits"]["memory"].removesuffix("Mi")) << 20
    asked = {"user": "10001", "read-only": True, "privileged": False, "capabilities": "", "memory": limit}
    if found != asked:
        raise Failed(f"it runs as {found}, not as {asked}")
    began = time.monotonic()
    podman.run("stop", f"--time={wanted['terminationGracePeriodSeconds']}", id)
    stopped = time.monotonic() - began
    code = json.loads(podman.run("inspect", id))[0]["State"]["ExitCode"]
    if code:
        raise Failed(f"it ended with code {code}: {podman.run('logs', '--tail=5', id, check=False)}")
    seen = f"user {found['user']}, a file system to read, no capabilities, {limit >> 20} MiB"
    return f"{SERVICE} ready after {ready:.0f} s ({seen}), ended by SIGTERM with code 0 after {stopped:.1f} s"


def inside(folder: Path) -> None:
    os.chdir(folder)  # podman takes a file called like the image for what it is to be built from
    run("ip", "link", "set", "lo", "up")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    seen = asyncio.run(play(Podman(folder)))
    say(f"ok: {seen}; not run: its certificates, its preStop and its probes, which need a kubelet")


def main() -> int:
    """Exit code 0: ok, 1: failed, 69: not run."""
    try:
        if sys.argv[1:2] == ["--inside"]:
            inside(Path(sys.argv[2]))
            return 0
        check_machine()
        with tempfile.TemporaryDirectory(prefix="kuaizhao-kube-", dir=PLACE) as folder:
            podman = Podman(Path(folder))
            podman.configure()
            try:
                build_base(podman)
                [image] = {
                    each["spec"]["template"]["spec"]["containers"][0]["image"]
                    for each in render(HERE / "overlays" / "county")
                    if each["kind"] == "Deployment" and each["metadata"]["name"] == SERVICE
                }
                podman.build(image, ROOT, ROOT / "deploy" / "Dockerfile")
                command = [*FRESH, sys.executable, "-m", "deploy.k8s.play_test", "--inside", folder]
                return subprocess.run(command, cwd=ROOT, check=False).returncode
            finally:
                podman.run("system", "reset", "--force", check=False)
    except (CannotRun, NoKafka) as error:
        say(f"not run: {error}")
        return os.EX_UNAVAILABLE
    except (Failed, subprocess.TimeoutExpired) as error:
        say(f"FAILED: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
