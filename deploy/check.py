"""`make deploy-check`: what operators run, checked without running it (deploy/k8s/check.py, deploy/otel/check.py).

A line for each fault. The last line counts what was found right, or the faults (exit code 1), or says what the machine
lacks for looking (69, EX_UNAVAILABLE).
"""

import os
import sys

from deploy.k8s import check as k8s
from deploy.k8s import generate
from deploy.local.process import CannotRun
from deploy.otel import check as otel
from deploy.otel import dashboards


def main() -> int:
    faults = [f"{path.name} is not what deploy/k8s/generate.py makes: make contracts" for path in generate.stale()]
    manifests = 0
    try:
        for overlay in k8s.OVERLAYS:
            try:
                rendered = k8s.render(overlay)
            except ValueError as error:
                faults.append(str(error))
                continue
            manifests += len(rendered)
            faults += [f"{overlay.name}: {fault}" for fault in k8s.faults(rendered)]
        faults += otel.faults()
    except CannotRun as error:
        print(f"deploy: not checked: {error}")
        return os.EX_UNAVAILABLE
    for fault in faults:
        print(fault)
    if faults:
        print(f"deploy: {len(faults)} faults")
        return 1
    queries = len(list(dashboards.queries()))
    print(f"deploy: {manifests} manifests, {len(otel.alerts())} alerts, {queries} dashboard queries, all valid")
    return 0


if __name__ == "__main__":
    sys.exit(main())
