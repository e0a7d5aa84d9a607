"""Grafana's dashboards, from the panels below: `python -m deploy.otel.dashboards`, or `make contracts`.

    grafana/dashboards/market.json       what the people of the market notice
    grafana/dashboards/operations.json   what whoever is on duty looks at: each figure that an alert goes by, and more

A test fails when the files are not what this would write. Another runs every query against a Prometheus that scrapes
a running market, and wants data.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
WIDTH, HEIGHT, COLUMNS = 8, 7, 3
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}

EDGE = 'envoy_http_conn_manager_prefix="edge"'


@dataclass(frozen=True)
class Query:
    """PromQL, and how each of its series is called; `traced` shows exemplars, each of which leads to its trace."""

    expr: str
    legend: str
    traced: bool = False


@dataclass(frozen=True)
class Panel:
    zh: str
    en: str
    unit: str
    """Grafana's name of it."""
    queries: tuple[Query, ...]


@dataclass(frozen=True)
class Board:
    uid: str
    title: str
    panels: tuple[Panel, ...]


def quantile(of: float, histogram: str, legend: str = "", by: str = "", where: str = "") -> Query:
    """A quantile over a histogram's last minutes, over all processes."""
    grouped = f"le, {by}" if by else "le"
    rate = f"rate({histogram}_bucket{where}[$__rate_interval])"
    return Query(f"histogram_quantile({of}, sum by ({grouped}) ({rate}))", legend or f"p{100 * of:g}", traced=True)


MARKET = Board(
    "market",
    "快招：市场 · Kuaizhao: the market",
    (
        Panel(
            "首个岗位推送用时",
            "Time to offer",
            "s",
            (quantile(0.5, "kuaizhao_time_to_offer_seconds"), quantile(0.95, "kuaizhao_time_to_offer_seconds")),
        ),
        Panel(
            "签到到录用用时",
            "Check-in to placement",
            "s",
            (quantile(0.5, "kuaizhao_time_to_placement_seconds"), quantile(0.95, "kuaizhao_time_to_placement_seconds")),
        ),
        Panel(
            "每分钟推送与录用",
            "Offers and placements a minute",
            "short",
            (
                Query("60 * sum(rate(kuaizhao_time_to_offer_seconds_count[$__rate_interval]))", "offers"),
                Query("60 * sum(rate(kuaizhao_time_to_placement_seconds_count[$__rate_interval]))", "placements"),
            ),
        ),
        Panel(
            "各区县每小时录用",
            "Placements an hour, by district",
            "short",
            (Query("sum by (district) (increase(kuaizhao_time_to_placement_seconds_count[1h]))", "{{district}}"),),
        ),
        Panel(
            "每秒请求",
            "Requests a second",
            "reqps",
            (
                Query(
                    "sum by (envoy_response_code_class) "
                    f"(rate(envoy_http_downstream_rq_xx{{{EDGE}}}[$__rate_interval]))",
                    "{{envoy_response_code_class}}xx",
                ),
            ),
        ),
        Panel(
            "网关延迟",
            "Gateway latency",
            "ms",
            (
                quantile(0.5, "envoy_http_downstream_rq_time", where=f"{{{EDGE}}}"),
                quantile(0.99, "envoy_http_downstream_rq_time", where=f"{{{EDGE}}}"),
            ),
        ),
        Panel(
            "每秒限流拒绝",
            "Refused for haste a second",
            "reqps",
            (Query("sum(rate(envoy_http_local_rate_limit_rate_limited[$__rate_interval]))", "429"),),
        ),
        Panel(
            "保险公司答复",
            "Answers of the insurer in an hour",
            "short",
            (Query("sum by (ask, outcome) (increase(kuaizhao_insurer_answers_total[1h]))", "{{ask}} {{outcome}}"),),
        ),
    ),
)


def gauge(name: str, legend: str = "{{service}}", by: str = "service") -> Query:
    """A gauge that every replica of a service shows alike."""
    return Query(f"max by ({by}) ({name})", legend)


OPERATIONS = Board(
    "operations",
    "快招：运维 · Kuaizhao: operations",
    (
        Panel("就绪", "Ready", "short", (Query("min by (service) (kuaizhao_ready)", "{{service}}"),)),
        Panel("保险丝", "Fuse blown", "short", (gauge("kuaizhao_fuse_blown"),)),
        Panel("运行时长", "Running since", "s", (Query("time() - process_start_time_seconds", "{{job}}"),)),
        Panel("消费积压", "Consumer lag", "short", (Query("sum by (service) (kuaizhao_consumer_lag)", "{{service}}"),)),
        Panel("最早未发布事件", "Oldest unpublished event", "s", (gauge("kuaizhao_outbox_age_seconds"),)),
        Panel("到期未触发定时器", "Oldest timer overdue", "s", (gauge("kuaizhao_timer_overdue_seconds"),)),
        Panel(
            "每秒处理事件",
            "Events handled a second",
            "short",
            (Query("sum by (service) (rate(kuaizhao_events_handled_total[$__rate_interval]))", "{{service}}"),),
        ),
        Panel(
            "每秒发布事件",
            "Events published a second",
            "short",
            (Query("sum by (service) (rate(kuaizhao_events_published_total[$__rate_interval]))", "{{service}}"),),
        ),
        Panel(
            "批处理用时",
            "Batch time",
            "s",
            (quantile(0.95, "kuaizhao_batch_seconds", legend="{{service}} p95", by="service"),),
        ),
        Panel(
            "死信存量",
            "Dead letters waiting",
            "short",
            (gauge("kuaizhao_dead_letters_waiting", "{{service}} {{kind}}", by="service, kind"),),
        ),
        Panel(
            "15 分钟新增死信",
            "Dead letters in 15 min",
            "short",
            (Query("sum by (service, reason) (increase(kuaizhao_dead_letters_total[15m]))", "{{service}} {{reason}}"),),
        ),
        Panel("保险公司拖欠", "The insurer owes", "s", (gauge("kuaizhao_insurer_owes_seconds"),)),
        Panel(
            "时钟偏差",
            "Clock against the database's",
            "s",
            (Query("kuaizhao_clock_skew_seconds", "{{service}} {{instance}}"),),
        ),
        Panel(
            "签名密钥剩余",
            "Until the signing key turns",
            "s",
            (Query("min by (service) (kuaizhao_key_turns_timestamp_seconds) - time()", "{{service}}"),),
        ),
        Panel(
            "证书剩余",
            "Until certificates end",
            "s",
            (
                Query(
                    "min by (service, certificate) (kuaizhao_certificate_expiry_timestamp_seconds) - time()",
                    "{{service}} {{certificate}}",
                ),
            ),
        ),
        Panel("内存", "Memory", "bytes", (Query("process_resident_memory_bytes", "{{job}}"),)),
        Panel(
            "处理器",
            "Processors",
            "percentunit",
            (Query("rate(process_cpu_seconds_total[$__rate_interval])", "{{job}}"),),
        ),
    ),
)

BOARDS = (MARKET, OPERATIONS)


def queries() -> Iterator[tuple[str, Query]]:
    """Every query, with the name of its panel."""
    for board in BOARDS:
        for panel in board.panels:
            for query in panel.queries:
                yield f"{board.uid}: {panel.en}", query


def dashboard(board: Board) -> dict[str, Any]:
    """One as Grafana reads it."""
    return {
        "uid": f"kuaizhao-{board.uid}",
        "title": board.title,
        "tags": ["kuaizhao"],
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "schemaVersion": 41,
        "version": 1,
        "panels": [_panel(number, panel) for number, panel in enumerate(board.panels)],
        "templating": {"list": []},
        "annotations": {"list": []},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "title": f"{panel.zh} · {panel.en}",
        "type": "timeseries",
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "datasource": PROMETHEUS,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": _targets(panel.queries),
    }


def _targets(queries: Sequence[Query]) -> list[dict[str, Any]]:
    return [
        {"refId": chr(ord("A") + number), "expr": query.expr, "legendFormat": query.legend}
        | ({"exemplar": True} if query.traced else {})
        for number, query in enumerate(queries)
    ]


def made() -> dict[Path, str]:
    """Every file that this writes, and what belongs in it."""
    return {
        FOLDER / f"{board.uid}.json": json.dumps(dashboard(board), indent=1, ensure_ascii=False) + "\n"
        for board in BOARDS
    }


def stale() -> list[Path]:
    """Files that are not what this would write, and such as it would not."""
    wanted = made()
    wrong = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    return wrong + sorted(set(FOLDER.glob("*.json")) - wanted.keys())


def main() -> None:
    for path, text in made().items():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
