"""What the local run decides before it starts anything: ports, topics, the gateway's addresses, which broker."""

import asyncio
import os
import resource
import socket
import stat
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from deploy import topics
from deploy.asked import asked_of
from deploy.local import kafka_dist as dist
from deploy.local.envoy import render
from deploy.local.ports import USUAL, check_free, free_ports, usual_ports
from deploy.local.process import CannotRun, Process
from deploy.local.servers import Tansu
from deploy.local.stack import Stack


def test_a_setting_moves_one_port() -> None:
    ports = usual_ports({"KUAIZHAO_GATEWAY_PORT": "9000"})
    assert ports == {**USUAL, "gateway": 9000}


@pytest.mark.parametrize("text", ["", "eight", "0", "65536", "-1"])
def test_a_setting_that_is_no_port_is_named(text: str) -> None:
    with pytest.raises(CannotRun, match=f"^KUAIZHAO_WEB_PORT={text} is not a port"):
        usual_ports({"KUAIZHAO_WEB_PORT": text})


def test_free_ports_differ_and_lie_below_those_of_outgoing_connections() -> None:
    ports = free_ports()
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert ports.keys() == USUAL.keys()
    assert len(set(ports.values())) == len(ports)
    assert max(ports.values()) < lowest_outgoing


def test_no_port_is_given_twice_nor_a_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was given one may not listen on it yet."""
    monkeypatch.setenv("KUAIZHAO_FREE_PORTS", f"{USUAL['mongo'] - 3}-{USUAL['mongo'] + 3}")
    given = [free_ports(["one"])["one"] for _ in range(6)]
    assert sorted([*given, USUAL["mongo"]]) == list(range(USUAL["mongo"] - 3, USUAL["mongo"] + 4))
    with pytest.raises(CannotRun, match="no port is free from"):
        free_ports(["one more"])


def test_a_taken_port_is_one_line_with_its_holder_and_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotRun) as error:
            check_free({**free_ports(["web"]), "matching": port})
    line = str(error.value)
    assert "\n" not in line
    assert f"port {port} (matching)" in line
    assert f"(process {os.getpid()}) holds it" in line
    assert line.endswith("KUAIZHAO_MATCHING_PORT sets another")


def test_two_parts_on_one_port_are_both_named() -> None:
    with pytest.raises(CannotRun, match=r"KUAIZHAO_(A|B)_PORT and KUAIZHAO_(A|B)_PORT are both 4711"):
        check_free({"A": 4711, "B": 4711})


def test_the_state_folder_makes_its_secrets_once_and_for_its_owner_only(tmp_path: Path) -> None:
    first, second = Stack(tmp_path, ports=free_ports(), parts=[]), Stack(tmp_path, ports=free_ports(), parts=[])
    first.claim()
    first.release()
    second.claim()
    second.release()
    assert first.operator_password == second.operator_password
    assert len(first.operator_password) >= 20
    assert stat.S_IMODE((tmp_path / "secrets.env").stat().st_mode) == 0o600


def test_only_those_that_need_a_secret_get_it(tmp_path: Path) -> None:
    stack = Stack(tmp_path, ports=free_ports())
    stack.claim()
    stack.release()
    assert {"KUAIZHAO_SECRET", "KUAIZHAO_OPERATOR_PASSWORD"} <= stack.environment("identity").keys()
    assert "KUAIZHAO_OPERATOR_PASSWORD" not in stack.environment("posting")
    assert {name for name in stack.environment("web") if "SECRET" in name or "PASSWORD" in name} == set()
    assert stack.environment("rights")["KUAIZHAO_PORT"] == str(stack.ports["rights"])


def test_a_state_folder_is_used_by_one_run_at_a_time(tmp_path: Path) -> None:
    running, other = Stack(tmp_path, parts=[], ports=free_ports()), Stack(tmp_path, parts=[], ports=free_ports())
    running.claim()
    with pytest.raises(CannotRun, match=f"in use by process {os.getpid()}: stop that one, or set KUAIZHAO_STATE"):
        other.claim()
    running.release()
    other.claim()
    other.release()


def test_too_little_space_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.stack.FREE_BYTES", 1 << 60)
    stack = Stack(tmp_path, parts=[], ports=free_ports())
    with pytest.raises(CannotRun, match=r"^only \d+\.\d GB are free for .*, at least .* set KUAIZHAO_STATE"):
        stack.claim()
    stack.release()


def test_a_part_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\['postings'\]"):
        Stack(tmp_path, parts=["posting", "postings"])


def test_the_gateway_differs_only_in_its_addresses() -> None:
    config = """
    listeners: [{address: {socket_address: {address: 0.0.0.0, port_value: 8000}}, name: edge}]
    clusters: [{endpoint: {address: {socket_address: {address: posting, port_value: 8102}}}, timeout: 1s}]
    """
    rendered = render(config, {("0.0.0.0", 8000): ("127.0.0.1", 9), ("posting", 8102): ("127.0.0.1", 10)})
    assert yaml.safe_load(rendered) == {
        "listeners": [{"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9}}, "name": "edge"}],
        "clusters": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 10}}}, "timeout": "1s"}
        ],
    }


def test_an_address_that_nobody_mapped_is_an_error() -> None:
    with pytest.raises(KeyError, match="stations"):
        render("{socket_address: {address: stations, port_value: 8108}}", {})


def test_the_shipped_gateway_can_be_rendered(tmp_path: Path) -> None:
    stack = Stack(tmp_path, ports=free_ports())
    sockets = stack.envoy().config.read_text()
    assert str(stack.ports["gateway"]) in sockets
    assert "0.0.0.0" not in sockets


def test_topics_have_the_defaults_that_they_do_not_set(tmp_path: Path) -> None:
    file = tmp_path / "topics.yaml"
    file.write_text(
        "defaults: {partitions: 12, replication: 1, retention_hours: 168}\n"
        "topics: [{name: a.b, key: district}, {name: a.dead, key: original, partitions: 1}]"
    )
    assert topics.read(file) == [
        topics.Topic("a.b", "district", 12, 1, 168),
        topics.Topic("a.dead", "original", 1, 1, 168),
    ]


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("{name: a.b}", "a.b: .*key"),
        ("{name: a.b, key: c, colour: red}", "a.b: .*colour"),
        ("{name: a.b, key: c, partitions: 0}", "a.b: 0 is not a count"),
        ("{name: a.b, key: c, partitions: '12'}", "a.b: '12' is not a count"),
        ("{name: a.b, key: c}, {name: a.b, key: c}", "a.b is named twice"),
    ],
)
def test_a_wrong_topic_is_named(tmp_path: Path, topic: str, said: str) -> None:
    file = tmp_path / "topics.yaml"
    file.write_text(f"defaults: {{partitions: 12, replication: 1, retention_hours: 168}}\ntopics: [{topic}]")
    with pytest.raises(topics.TopicsError, match=f"^topics.yaml: {said}"):
        topics.read(file)


async def test_without_java_tansu_stands_in_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("KUAIZHAO_BROKER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    assert isinstance(await dist.make_broker(tmp_path, port=1, controller=2, say=said.append), Tansu)
    assert said == [
        "no Apache Kafka (no Java 17 or newer in PATH): using Tansu, which keeps its log in memory only,"
        " so each start begins afresh"
    ]


async def test_what_agencies_need_is_left_out_over_tansu_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUAIZHAO_BROKER", "tansu")
    said: list[str] = []
    stack = Stack(tmp_path, ports=free_ports(), parts=["agencies"], say=said.append)
    stack.claim()
    await stack._make()
    stack.release()
    assert said[1:] == ["other agencies cannot subscribe or feed: Tansu lets nobody sign in"]
    assert (stack.parts, "agencies" in stack.processes) == ([], False)


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({"java": "echo 'openjdk version \"11.0.2\"' >&2"}, "Java 11.0.2 is older than 17"),
        ({"java": "echo 'openjdk version \"21.0.1\"' >&2"}, r"no Maven \(mvn\) in PATH"),
        (
            {"java": "echo 'openjdk version \"21.0.1\"' >&2", "mvn": "echo '[ERROR] no such host'; exit 1"},
            "Maven could not fetch it: no such host",
        ),
    ],
)
async def test_why_there_is_no_kafka(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: dict[str, str], reason: str
) -> None:
    for name, script in programs.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("KUAIZHAO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KUAIZHAO_BROKER", "kafka")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotRun, match=f"^Apache Kafka cannot be had: {reason}"):
        await dist.make_broker(tmp_path, port=1, controller=2, say=lambda _: None)


class Sleeper(Process):
    """Runs until it is ended, and is ready at once or never."""

    def __init__(self, name: str, folder: Path, *, ready: bool) -> None:
        super().__init__(name, folder)
        self._ready = ready

    def command(self) -> Sequence[str]:
        return ["sleep", "600"]

    async def answers(self) -> bool:
        return self._ready


def test_what_ends_while_others_start_is_named_at_once(tmp_path: Path) -> None:
    async def play() -> None:
        server, part = Sleeper("server", tmp_path / "a", ready=True), Sleeper("part", tmp_path / "b", ready=False)
        stack = Stack(tmp_path, parts=[], say=lambda line: None)
        stack.processes = {"server": server, "part": part}
        await stack._start_all(["server"])
        starting = asyncio.create_task(stack._start_all(["part"]))
        while not part.pid:  # noqa: ASYNC110 - no bell rings at a start
            await asyncio.sleep(0.01)
        await server.kill()
        with pytest.raises(CannotRun, match="server ended with code -9 while others started"):
            await starting
        assert part.pid is None

    asyncio.run(play())


def test_a_stack_may_have_many_files_open(tmp_path: Path) -> None:
    """What is started inherits it."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1_024, hard), hard))
    try:
        with pytest.raises(CannotRun):  # a port is no port, so that nothing is started
            asyncio.run(_enter(Stack(tmp_path, ports={**free_ports(), "web": 0, "kafka": 0}, parts=["web"])))
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(65_536, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


async def _enter(stack: Stack) -> None:
    async with stack:
        pass


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("KUAIZHAO_KAFKA", "nowhere", "KUAIZHAO_KAFKA: "),
        ("KUAIZHAO_KAFKA_CA", "/ca.crt", "needs all of KUAIZHAO_KAFKA_CA"),
    ],
)
def test_a_command_names_the_setting_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], setting: str, value: str, said: str
) -> None:
    monkeypatch.setenv(setting, value)
    monkeypatch.setattr("sys.argv", ["topics"])
    with pytest.raises(SystemExit) as ended:
        asked_of(ArgumentParser("topics"))
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_command_goes_to_the_broker_that_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUAIZHAO_KAFKA", "127.0.0.1:1")
    monkeypatch.setattr("sys.argv", ["topics"])
    assert str(asked_of(ArgumentParser("topics"))[1]) == "127.0.0.1:1"
    monkeypatch.setattr("sys.argv", ["topics", "--kafka", "127.0.0.1:2"])
    assert str(asked_of(ArgumentParser("topics"))[1]) == "127.0.0.1:2"
