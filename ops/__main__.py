"""`kuaizhao`: what operators do, from the command line.

Texts are Chinese or English by LANG; --json is for programs. Exit code 1 with one line on standard error when it cannot
be done, or when something is left that a person should look at; 2 when the command is written wrong.
"""

import argparse
import asyncio
import getpass
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import orjson
import structlog
from pydantic import ValidationError
from pymongo.errors import PyMongoError

from ops import backup, dead, evidence, fuse, lag, reconcile, record, restore
from ops.opened import SERVICES, Misused, Opened, Refused, opened
from ops.screen import clean, language, say, shown, table
from shared.backlog import KINDS
from shared.broker import Broker
from shared.problems import Text
from shared.settings import Settings, wrong
from shared.store import Contended, DatabaseDown

SHOWN_BODY = 4_000
"""Characters of a body on the screen; --json gives the whole."""

HEARING = tuple(name for name in SERVICES if name != "identity")

# --- texts -----------------------------------------------------------------------------------------------------------

SERVICE, ID, KIND, TYPE = Text("SERVICE", "服务"), Text("ID", "编号"), Text("KIND", "类别"), Text("TYPE", "事件类型")
SUBJECT, SINCE, REASON = Text("SUBJECT", "主体"), Text("SINCE", "时间"), Text("REASON", "原因")
STATE, DEAD, OF_LAST = Text("FUSE", "熔断器"), Text("DEAD", "死信"), Text("OF LAST", "最近事件数")
LAG, OUTBOX, OLDEST = Text("LAG", "积压"), Text("OUTBOX", "发件箱"), Text("OLDEST s", "最久 s")
OVERDUE, LATEST, PARKED = Text("OVERDUE", "逾期定时器"), Text("LATE s", "逾期 s"), Text("PARKED", "停放")
TOPIC, PARTITION, END, FENCE = Text("TOPIC", "主题"), Text("PARTITION", "分区"), Text("END", "末尾"), Text("AT", "位置")
RECORD, WHAT, NEXT = Text("RECORD", "记录"), Text("WHAT", "情况"), Text("WHAT NOW", "处理")

NONE_ASIDE = Text("nothing is set aside", "没有搁置的事件")
WAITING = Text("with it goes, in this order: {ids}", "将按此顺序一并处理：{ids}")
HANDLED = Text("{service}: {n} handled", "{service}：已处理 {n} 条")
DROPPED = Text("{service}: {id} dropped", "{service}：已放弃 {id}")
STAYS = Text("{service}: {id} stays: {reason}", "{service}：{id} 未处理：{reason}")
CUT = Text("… {n} more characters; --json gives them", "……还有 {n} 个字符，用 --json 查看全部")
WHOLE, BLOWN = Text("whole", "正常"), Text("blown", "断开")
RESET = Text("{service}: consumption goes on within seconds", "{service}：数秒内恢复处理")
ABOVE = Text("lag {lag} is above {most}", "积压 {lag} 超过 {most}")
MENDED, MENDABLE = Text("mended", "已修复"), Text("--mend mends it", "可用 --mend 修复")
SUMMARY = Text(
    "{found} found, {mended} mended, {left} left; {in_flight} on their way",
    "发现 {found} 处，已修复 {mended} 处，剩余 {left} 处；处理中 {in_flight} 处",
)
INTACT = Text(
    "{n} entries, nothing changed, removed or moved; whose it is was not checked (no KUAIZHAO_SECRET)",
    "共 {n} 条，未发现更改、删除或移动；未核对出具方（未设置 KUAIZHAO_SECRET）",
)
INTACT_AND_OURS = Text("{n} entries, as this market gave them out", "共 {n} 条，与本市场出具时一致")
RECORDED = Text(
    "signed by {issuer} at {at}, good until {until}, of {holder}: {shifts} shifts, {minutes} min, {first} to {last}",
    "由 {issuer} 于 {at} 签发，有效期至 {until}，持有人 {holder}：{first} 至 {last} 共 {shifts} 班，{minutes} 分钟",
)
OTHER_RECORD = Text("signed by {issuer}, and no record of work", "由 {issuer} 签发，但不是工作经历凭证")
BACKED_UP = Text(
    "{service}: {documents} documents in {files} collections as of {at}; it can be restored until {until}, when the "
    "topics forget what it would have to hear",
    "{service}：已备份 {at} 时的 {files} 个集合、{documents} 条文档；可在 {until} 前恢复，此后主题将不再保留所需事件",
)
KEYS_LEFT_OUT = Text(
    "people's keys are not in it; --keys FOLDER keeps them apart", "不含个人密钥；可用 --keys 文件夹 单独保存"
)
RESTORED = Text(
    "{service}: {documents} documents restored, {heard} events heard again; of what it said since: {again} found again "
    "({otherwise} in other words), {remembered} remembered, {left} left; {new} still to be said",
    "{service}：已恢复 {documents} 条文档，重新处理 {heard} 条事件；此后发布的事件："
    "{again} 条重现（其中 {otherwise} 条内容不同），{remembered} 条已补记，{left} 条未补记；另有 {new} 条待发布",
)
UNREMEMBERED = Text(
    "said since and not remembered (_unremembered): begin the service, then kuaizhao reconcile",
    "此后发布而未补记（见 _unremembered）：请启动服务后运行 kuaizhao reconcile",
)
TIMES = Text("TIMES", "次数")
NO_FOLDER = Text("{path}: {why}", "{path}：{why}")
NO_DATABASE = Text("the database at {host} does not answer: {error}", "数据库 {host} 没有应答：{error}")
NO_CERTIFICATES = Text("certificates for Kafka: {why}", "Kafka 证书：{why}")
NO_KAFKA = Text("Kafka at {host} does not answer: {error}", "Kafka {host} 没有应答：{error}")
BUSY = Text("others change the same records all the time; try again", "相关记录正被频繁修改，请重试")
NAME_LETTERS = Text("name letters, or --all", "请给出事件编号，或使用 --all")

# --- the command line ------------------------------------------------------------------------------------------------

Command = Callable[[argparse.Namespace, Settings], Awaitable[int]]


def parser() -> argparse.ArgumentParser:
    json = argparse.ArgumentParser(add_help=False)
    json.add_argument("--json", action="store_true", help="for programs")
    by = argparse.ArgumentParser(add_help=False)
    by.add_argument("--by", default=_login(), metavar="NAME", help="who does it, for the audit (%(default)s)")
    filters = argparse.ArgumentParser(add_help=False)
    filters.add_argument("--kind", choices=KINDS)
    filters.add_argument("--subject", metavar="ID", help="letters about this gig, placement, worker, …")

    top = argparse.ArgumentParser(prog="kuaizhao", description="What operators do.", epilog="docs/operations.md")
    subjects = top.add_subparsers(metavar="SUBJECT", required=True)

    letters = subjects.add_parser("dead", help="events that were set aside").add_subparsers(required=True)
    _add(letters, "list", dead_list, [json, filters], "which there are").add_argument(
        "service", nargs="?", type=_service
    )
    letters.choices["list"].add_argument("--limit", type=int, default=50, help="of each service (%(default)s)")
    show = _add(letters, "show", dead_show, [json], "one of them, whole")
    again = _add(letters, "redrive", dead_redrive, [json, by, filters], "handle them again, in order")
    again.add_argument("--all", action="store_true", help="all, or all of a --kind or --subject")
    drop = _add(letters, "drop", dead_drop, [json, by], "give them up; those behind them are handled")
    for command in (show, again, drop):
        command.add_argument("service", type=_service)
    show.add_argument("id")
    again.add_argument("id", nargs="*")
    drop.add_argument("id", nargs="+")

    fuses = subjects.add_parser("fuse", help="services that stand still").add_subparsers(required=True)
    _add(fuses, "list", fuse_list, [json], "which are blown")
    _add(fuses, "reset", fuse_reset, [json, by], "let one go on").add_argument("service", type=_service)

    how_far = _add(subjects, "lag", lag_, [json], "how far services are behind")
    how_far.add_argument("service", nargs="?", type=_service)
    how_far.add_argument("--all", action="store_true", help="every partition, not only those behind")
    how_far.add_argument("--fail-above", type=int, metavar="N", help="exit 1 when a service is further behind")

    drift = _add(subjects, "reconcile", reconcile_, [json, by], "what services remember differently")
    drift.add_argument("--mend", action="store_true", help="mend what can be mended")
    drift.add_argument(
        "--older-than",
        type=float,
        default=reconcile.OLDER_THAN.total_seconds(),
        metavar="SECONDS",
        help="(%(default)s)",
    )

    copy = _add(subjects, "backup", backup_, [json], "write a service's database to a folder, as of one moment")
    back = _add(subjects, "restore", restore_, [json, by], "put a backup in its place, and catch up with the topics")
    for command in (copy, back):
        command.add_argument("service", type=_service)
        command.add_argument("folder", type=Path)
        command.add_argument("--keys", type=Path, metavar="FOLDER", help="where people's keys are kept apart")
    back.add_argument("--replace", action="store_true", help="give up what is in the database now")
    back.add_argument(
        "--with-gaps", action="store_true", help="also when the topics have forgotten some of what came since"
    )

    packs = subjects.add_parser("evidence", help="files of evidence about a placement").add_subparsers(required=True)
    _add(packs, "verify", evidence_verify, [json], "find what was changed, removed or moved").add_argument("file")

    records = subjects.add_parser("record", help="workers' records of work").add_subparsers(required=True)
    signed = _add(records, "verify", record_verify, [json], "check one without asking anybody")
    signed.add_argument("file")
    signed.add_argument("--keys", metavar="FILE", help="the issuer's published keys (default: this market's database)")
    return top


def _add(
    to: Any, name: str, run: Command, parents: list[argparse.ArgumentParser], help: str
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = to.add_parser(name, help=help, parents=parents)
    made.set_defaults(run=run)
    return made


def _service(name: str) -> str:
    """One of ours; a dotted name is a module that holds a service."""
    if name not in SERVICES and "." not in name:
        raise argparse.ArgumentTypeError(f"no service {name}; there are {', '.join(SERVICES)}")
    return name


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


# --- commands --------------------------------------------------------------------------------------------------------


async def dead_list(asked: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings, [asked.service] if asked.service else HEARING) as services:
        rows = await dead.letters(services.values(), kind=asked.kind, subject=asked.subject, limit=asked.limit)
    if asked.json:
        _json(rows)
    elif not rows:
        print(say(NONE_ASIDE))
    else:
        head = (SERVICE, ID, KIND, TYPE, SUBJECT, SINCE, REASON)
        _print(table(head, [(r.service, r.id, r.kind, r.type, r.subject, r.at, r.reason) for r in rows]))
    return 0


async def dead_show(asked: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings, [asked.service]) as services:
        whole = await dead.letter(_only(services), asked.id)
    if asked.json:
        _json(whole)
        return 0
    row = whole.row
    for name, value in (("service", row.service), ("kind", row.kind), ("reason", row.reason), ("since", row.at)):
        print(f"{name}: {shown(value)}")
    print(f"place: {row.place}  key: {shown(whole.key)}")
    _print(f"{name}: {shown(value)}" for name, value in sorted(whole.headers.items()))
    print()
    print(clean(_pretty(whole.body[:SHOWN_BODY])))
    if len(whole.body) > SHOWN_BODY:
        print(say(CUT, n=len(whole.body) - SHOWN_BODY))
    if len(whole.waiting) > 1:
        print(say(WAITING, ids=", ".join(whole.waiting)))
    return 0


async def dead_redrive(asked: argparse.Namespace, settings: Settings) -> int:
    if bool(asked.id) == asked.all:
        raise Misused(NAME_LETTERS)
    async with opened(settings, [asked.service]) as services:
        service = _only(services)
        if asked.all:
            done = await dead.redrive_all(service, kind=asked.kind, subject=asked.subject, by=asked.by)
        else:
            done = await dead.redrive(service, asked.id, by=asked.by)
    return _tell(asked, done)


async def dead_drop(asked: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings, [asked.service]) as services:
        dropped, done = await dead.drop(_only(services), asked.id, by=asked.by)
    return _tell(asked, done, dropped)


def _tell(asked: argparse.Namespace, done: dead.Done, dropped: Sequence[str] = ()) -> int:
    if asked.json:
        _json({"service": done.service, "dropped": list(dropped), "handled": done.done, "left": done.left})
    else:
        _print(say(DROPPED, service=done.service, id=id) for id in dropped)
        if done.done or not dropped:
            print(say(HANDLED, service=done.service, n=len(done.done)))
        _print(say(STAYS, service=done.service, id=id, reason=reason) for id, reason in done.left.items())
    return 1 if done.left else 0


async def fuse_list(asked: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings, HEARING) as services:
        rows = await fuse.fuses(services.values())
    if asked.json:
        _json(rows)
    else:
        states = [(r.service, say(BLOWN if r.blown_at else WHOLE), r.blown_at, r.dead, r.of_last) for r in rows]
        _print(table((SERVICE, STATE, SINCE, DEAD, OF_LAST), states))
    return 0


async def fuse_reset(asked: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings, [asked.service]) as services:
        row = await fuse.reset(_only(services), by=asked.by)
    if asked.json:
        _json(row)
    else:
        print(say(RESET, service=row.service))
    return 0


async def lag_(asked: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings, [asked.service] if asked.service else HEARING) as services:
        found = await lag.lags(services.values(), _broker(settings))
    if asked.json:
        _json(found)
    else:
        head = (SERVICE, LAG, OUTBOX, OLDEST, OVERDUE, LATEST, DEAD, PARKED, STATE)
        _print(table(head, [_lag_row(each) for each in found]))
        places = [
            (each.service, place.topic, place.partition, place.end, place.fence, place.lag)
            for each in found
            for place in each.partitions
            if place.lag or asked.all
        ]
        if places:
            print()
            _print(table((SERVICE, TOPIC, PARTITION, END, FENCE, LAG), places))
    worst = max(each.lag for each in found)
    if asked.fail_above is not None and worst > asked.fail_above:
        raise Refused(ABOVE, lag=worst, most=asked.fail_above)
    return 0


def _lag_row(each: lag.Lag) -> tuple[object, ...]:
    waiting = each.waiting
    parked = waiting.dead["parked"]
    return (
        each.service,
        each.lag,
        waiting.outbox,
        waiting.outbox_seconds,
        waiting.timers_overdue,
        waiting.overdue_seconds,
        sum(waiting.dead.values()) - parked,
        parked,
        say(BLOWN if waiting.blown_at else WHOLE),
    )


async def reconcile_(asked: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings, reconcile.SERVICES) as services:
        behind = lag.behind(await lag.lags(services.values(), _broker(settings)))
        report = await reconcile.reconcile(
            {name: service.store for name, service in services.items()},
            behind,
            mend=asked.mend,
            by=asked.by,
            older_than=timedelta(seconds=asked.older_than),
            pause_seconds=reconcile.PAUSE_SECONDS,
        )
    mended = {finding.key for finding in report.mended}
    rows = [
        (
            finding.kind,
            finding.service,
            finding.id,
            say(finding.what, **finding.facts),
            say(MENDED)
            if finding.key in mended
            else say(finding.todo, **finding.facts)
            if finding.todo
            else say(MENDABLE),
        )
        for finding in report.found
    ]
    if asked.json:
        names = ("kind", "service", "record", "what", "then")
        found = [dict(zip(names, row, strict=True)) | {"mended": row[4] == say(MENDED)} for row in rows]
        _json({"found": found, "in_flight": report.in_flight, "looked_at": report.looked_at})
    else:
        if rows:
            _print(table((KIND, SERVICE, RECORD, WHAT, NEXT), rows))
        counts = {"found": len(report.found), "mended": len(report.mended), "left": len(report.left)}
        print(say(SUMMARY, in_flight=report.in_flight, **counts))
    return 1 if report.left else 0


async def backup_(asked: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings, [asked.service]) as services:
        made = await backup.back_up(_only(services), _broker(settings), asked.folder, asked.keys)
    if asked.json:
        _json(made.model_dump(mode="json"))
        return 0
    documents = sum(file.documents for file in made.collections.values())
    facts = {
        "documents": documents,
        "files": len(made.collections),
        "at": shown(made.at),
        "until": shown(made.good_until),
    }
    print(say(BACKED_UP, service=made.service, **facts))
    if made.keys and not asked.keys:
        print(say(KEYS_LEFT_OUT))
    return 0


async def restore_(asked: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings, [asked.service]) as services:
        done = await restore.restore(
            _only(services),
            _broker(settings),
            asked.folder,
            asked.keys,
            replace=asked.replace,
            with_gaps=asked.with_gaps,
            by=asked.by,
        )
    if asked.json:
        _json(done)
    else:
        counts = {
            name: getattr(done, name) for name in ("documents", "heard", "again", "otherwise", "remembered", "new")
        }
        print(say(RESTORED, service=done.service, left=sum(done.left.values()), **counts))
        if done.left:
            _print(table((TYPE, TIMES), sorted(done.left.items())))
            print(say(UNREMEMBERED))
    return 1 if done.left else 0


async def evidence_verify(asked: argparse.Namespace, settings: Settings) -> int:
    verified = evidence.verify(asked.file, settings)
    if asked.json:
        wrong = [say(fault.text, **fault.facts) for fault in verified.faults]
        _json({"entries": verified.entries, "sealed": verified.sealed, "wrong": wrong})
    else:
        _print(
            say(fault.text, **{name: shown(fact) for name, fact in fault.facts.items()}) for fault in verified.faults
        )
        if not verified.faults:
            print(say(INTACT_AND_OURS if verified.sealed else INTACT, n=verified.entries))
    return 1 if verified.faults else 0


async def record_verify(asked: argparse.Namespace, settings: Settings) -> int:
    checked = await record.verify(asked.file, asked.keys, settings)
    wrong = [say(fault.text, **{name: shown(fact) for name, fact in fault.facts.items()}) for fault in checked.faults]
    said = checked.credential
    if said and "WorkRecord" not in said.get("type", ()):
        wrong.append(say(OTHER_RECORD, issuer=shown(said.get("issuer"))))
    if asked.json:
        _json({"wrong": wrong, "record": said})
    else:
        _print(wrong)
        if said and not wrong:
            about = said["credentialSubject"]
            facts = {
                "issuer": said["issuer"],
                "at": said["validFrom"],
                "until": said["validUntil"],
                "holder": about["id"],
                "shifts": len(about["shifts"]),
                "minutes": about["totalMinutes"],
                "first": about["firstDay"],
                "last": about["lastDay"],
            }
            print(say(RECORDED, **{name: shown(fact) for name, fact in facts.items()}))
    return 1 if wrong else 0


def _broker(settings: Settings) -> Broker:
    try:
        return Broker.of(settings, "ops")
    except ValueError as error:
        raise Refused(NO_CERTIFICATES, why=error) from None


def _only(services: dict[str, Opened]) -> Opened:
    (service,) = services.values()
    return service


# --- the screen ------------------------------------------------------------------------------------------------------


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _json(value: object) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _pretty(body: str) -> str:
    try:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return body


def _quiet() -> None:
    """A command's own lines are what a person wants to read; what services log is for their logs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)


def run(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line; returns the exit code."""
    asked = parser().parse_args(arguments)
    _quiet()
    try:
        settings = Settings()
        result: int = asyncio.run(asked.run(asked, settings))
        return result
    except Refused as error:
        _fail(error.text.say(language(), error.facts))
        return 2 if isinstance(error, Misused) else 1
    except ValidationError as error:
        return _fail("; ".join(wrong(error)))
    except (PyMongoError, DatabaseDown) as error:
        return _fail(say(NO_DATABASE, host=_host(settings.mongo_url), error=str(error).partition(" (")[0]))
    except BrokenPipeError:  # who read it has read enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for what the interpreter still flushes
        return 0
    except (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError) as error:
        return _fail(say(NO_FOLDER, path=error.filename, why=error.strerror))
    except ConnectionError as error:
        return _fail(say(NO_KAFKA, host=settings.kafka, error=error))
    except Contended:
        return _fail(say(BUSY))


def _host(url: str) -> str:
    """An address without what is before its @: a password."""
    return url.rsplit("@", 1)[-1].removeprefix("mongodb://").partition("/")[0]


def _fail(line: str) -> int:
    print(f"kuaizhao: {shown(line)}", file=sys.stderr)
    return 1


def main() -> NoReturn:
    sys.exit(run())


if __name__ == "__main__":
    main()
