"""Prometheus over a market that runs on this machine, with the configuration that operators have."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy.local.go_tools import tool
from deploy.local.process import Process
from deploy.local.servers import LOCALHOST, http_answers
from deploy.otel.check import HERE

FLAGS = ("--enable-feature=exemplar-storage",)
"""As in docker-compose.yml."""


def scraping(targets: Mapping[str, Sequence[int]], *, every: str) -> dict[str, Any]:
    """prometheus.yml for local ports by job: only where to look is another. A job without ports is left out."""
    config: dict[str, Any] = yaml.safe_load((HERE / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": every, "evaluation_interval": every}
    config["rule_files"] = [str(HERE / name) for name in config["rule_files"]]
    jobs = [{"job_name": name} for name in targets.keys() - {job["job_name"] for job in config["scrape_configs"]}]
    config["scrape_configs"] = [
        {key: value for key, value in job.items() if key != "dns_sd_configs"}
        | {"static_configs": [{"targets": [f"{LOCALHOST}:{port}" for port in targets[job["job_name"]]]}]}
        for job in (*config["scrape_configs"], *jobs)
        if job["job_name"] in targets
    ]
    return config


class Prometheus(Process):
    """It answers once it has its configuration; what it scrapes may come later."""

    def __init__(self, folder: Path, *, port: int, config: Mapping[str, Any]) -> None:
        super().__init__("prometheus", folder)
        self.url = f"http://{LOCALHOST}:{port}"
        self._config = config
        self._program = tool("prometheus")

    async def prepare(self) -> None:
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(dict(self._config)))

    def command(self) -> Sequence[str]:
        return [
            *(str(self._program), *FLAGS, f"--config.file={self.folder / 'prometheus.yml'}"),
            *(
                f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ),
        ]

    async def answers(self) -> bool:
        return await http_answers(f"{self.url}/-/ready")
