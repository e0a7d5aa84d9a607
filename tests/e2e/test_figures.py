"""Prometheus over the running market, with operators' configuration: every panel has its figures, every rule works."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry, start_http_server

from deploy.local.ports import SERVICES, free_ports
from deploy.local.stack import Stack
from deploy.otel.check import alerts, without_data
from deploy.otel.dashboards import Query, queries
from deploy.otel.prometheus import Prometheus, scraping
from shared.certificates import Certificates
from shared.settings import Settings
from shared.telemetry import METRICS
from tests.certificates import Authority
from tests.e2e.journey import Story, eventually
from tests.e2e.smoke import walk

# On a new machine Prometheus is built first.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1_800)]


def certified(folder: Path) -> Settings:
    """Settings with a certificate that ends in thirty days."""
    authority = Authority()
    made = authority.make("matching", days=30)
    for file, content in (("ca.crt", authority.certificate), ("user.crt", made.certificate), ("user.key", made.key)):
        (folder / file).write_bytes(content)
    return Settings(
        kafka_ca=str(folder / "ca.crt"), kafka_certificate=str(folder / "user.crt"), kafka_key=str(folder / "user.key")
    )


@pytest.fixture(scope="module")
def with_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of one figure of this process, which has certificates as one on a cluster has."""
    Certificates(certified(tmp_path_factory.mktemp("certificates")), "matching")
    port = free_ports(["figures"])["figures"]
    figures = CollectorRegistry()
    figures.register(METRICS.certificate_expiry)
    server, thread = start_http_server(port, addr="127.0.0.1", registry=figures)
    yield port
    server.shutdown()
    thread.join()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def prometheus(
    whole_market: Stack, with_certificates: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    ports = whole_market.ports
    targets = {name: [ports[name]] for name in SERVICES}
    targets["matching"].append(with_certificates)
    config = scraping(targets | {"gateway": [ports["gateway_metrics"]]}, every="1s")
    process = Prometheus(
        tmp_path_factory.mktemp("prometheus"), port=free_ports(["prometheus"])["prometheus"], config=config
    )
    await process.start()
    try:
        async with httpx.AsyncClient(base_url=process.url, timeout=30) as http:
            yield http
    finally:
        await process.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def traces(whole_market: Stack, prometheus: httpx.AsyncClient) -> list[str]:
    """The traces of two journeys; the second is seen to make counts grow that the first began."""
    found = []
    for n in (71, 72):
        story = Story(whole_market.gateway, whole_market.url("web"), whole_market.operator_password, n=n)
        async with story.open():
            await walk(story)
        found.append(story.journey.trace_id)
        ended = time.time()

        async def read_since(ended: float = ended) -> bool:
            """Every process was asked for its figures since: what a journey counted is there before the next counts."""
            answer = await prometheus.get("/api/v1/query", params={"query": "min(timestamp(up))"})
            result = answer.raise_for_status().json()["data"]["result"]
            return bool(result) and float(result[0]["value"][1]) > ended + 1

        await eventually(read_since, "Prometheus asks every process after a journey")
    return found


async def test_every_panel_of_every_dashboard_has_its_figures(traces: list[str], prometheus: httpx.AsyncClient) -> None:
    asked = list(queries())
    assert len(asked) > 25
    missing: list[str] = []

    async def all_there() -> bool:
        missing[:] = await without_data(prometheus, asked)
        return not missing

    try:
        await eventually(all_there, "every panel has figures")
    except AssertionError:
        assert missing == []
        raise


async def test_a_panel_without_figures_is_noticed(traces: list[str], prometheus: httpx.AsyncClient) -> None:
    nothing = Query("sum(rate(kuaizhao_time_to_offers_seconds_count[$__rate_interval]))", "")
    never = Query('histogram_quantile(0.5, sum by (le) (rate(kuaizhao_batch_seconds_bucket{service="x"}[1m])))', "")
    found = await without_data(prometheus, [("misspelt", nothing), ("nobody's", never), ("there", Query("up", ""))])
    assert [each.partition(":")[0] for each in found] == ["misspelt", "nobody's"]


async def test_a_slow_bucket_leads_to_its_trace(
    whole_market: Stack, traces: list[str], prometheus: httpx.AsyncClient
) -> None:
    for histogram in ("kuaizhao_time_to_offer_seconds_bucket", "kuaizhao_time_to_placement_seconds_bucket"):

        async def exemplars(of: str = histogram) -> set[str]:
            hour = {"start": time.time() - 3600, "end": time.time()}
            answer = await prometheus.get("/api/v1/query_exemplars", params={"query": of, **hour})
            found = answer.raise_for_status().json()["data"]
            return {each["labels"]["trace_id"] for series in found for each in series["exemplars"]}

        async def last_there(ask: Callable[[], Awaitable[set[str]]] = exemplars) -> bool:
            return traces[-1] in await ask()

        await eventually(last_there, f"{histogram} names the trace of the last journey")
        async with httpx.AsyncClient(base_url=whole_market.url("web")) as web:
            trace = (await web.get(f"/live/traces/{traces[-1]}")).raise_for_status().json()
        assert {"matching", "posting"} <= set(trace["services"])


async def test_every_rule_of_operators_works_on_these_figures(traces: list[str], prometheus: httpx.AsyncClient) -> None:
    rules = [
        rule for group in (await prometheus.get("/api/v1/rules")).json()["data"]["groups"] for rule in group["rules"]
    ]
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in alerts()}

    async def all_looked_at() -> bool:
        groups = (await prometheus.get("/api/v1/rules")).json()["data"]["groups"]
        return all(rule["health"] == "ok" for group in groups for rule in group["rules"])

    await eventually(all_looked_at, "every rule is evaluated without an error")


async def test_clocks_keys_and_certificates_are_told_of(traces: list[str], prometheus: httpx.AsyncClient) -> None:
    async def value(query: str) -> dict[str, float]:
        answer = (await prometheus.get("/api/v1/query", params={"query": query})).raise_for_status().json()
        return {each["metric"].get("service", ""): float(each["value"][1]) for each in answer["data"]["result"]}

    skew = await value("max by (service) (abs(kuaizhao_clock_skew_seconds))")
    assert set(skew) == set(SERVICES)
    assert max(skew.values()) < 1  # one machine has one clock
    keys = await value("max by (service) (kuaizhao_key_turns_timestamp_seconds) - time()")
    assert set(keys) == {"identity", "rights"}
    assert min(keys.values()) > 86_400
    days = await value("min by (service) (kuaizhao_certificate_expiry_timestamp_seconds - time()) / 86400")
    assert 29 < days["matching"] < 30.01
