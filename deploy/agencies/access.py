"""Another agency's user on Kafka: `python -m deploy.agencies.access grant ID --reads posting.gig`, or `revoke ID`.

The user has the name of the agency's account at identity. It signs in by SCRAM-SHA-512 and may

- read the topics it was granted and their snapshots, and its own answers (`agencies.answers.<ID>`),
- write its own inbound topic (`agencies.gig.<ID>`),
- commit in consumer groups whose names begin with `<ID>.`,

and nothing else. Safe to repeat: what is granted anew replaces what was granted before.
"""

import argparse
import os
import re
import secrets
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from kafka.errors import KafkaError
from kafka.protocol.admin import AlterClientQuotasRequest

from deploy.agencies import ANSWERS, INBOUND
from deploy.asked import asked_of
from deploy.topics import SNAPSHOT, read
from shared.broker import Broker

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
BYTES_IN, BYTES_OUT = 64 * 1024, 4 * 1024 * 1024
"""A second, for each broker: some fifty posts written, and a day of a region read within minutes."""
RETENTION_HOURS = 168


class NotGranted(Exception):
    """It cannot be granted. The text is one clear line."""


@dataclass(frozen=True)
class Granted:
    """What an agency is told. The password is kept nowhere."""

    user: str
    password: str
    reads: tuple[str, ...]
    writes: str


def grantable() -> list[str]:
    """The topics that may be opened: what services say, but not what could not be read, or is for one agency."""
    return [t.name for t in read() if not t.name.endswith(".dead") and t.name not in ("agencies.gig", "posting.feed")]


def check(agency: str, reads: Iterable[str]) -> None:
    """Raises NotGranted for an id that is none, and for topics that may not be opened."""
    if not ID.fullmatch(agency):
        raise NotGranted(f"{agency!r} is no id of an account: letters, digits, _ and -, at most 64")
    if wrong := set(reads) - set(grantable()):
        raise NotGranted(f"{min(wrong)} is not open to agencies; these are: {', '.join(grantable())}")


def grant(
    kafka: Broker,
    agency: str,
    reads: Sequence[str],
    *,
    password: str = "",
    bytes_in: int = BYTES_IN,
    bytes_out: int = BYTES_OUT,
    replication: int = 1,
) -> Granted:
    """Let an agency in. `password`: empty makes one; `bytes_in`, `bytes_out`: what a broker takes and gives a second.

    Raises:
        NotGranted: the id has other letters, a topic may not be opened, or the broker refused.
    """
    check(agency, reads)
    made = Granted(agency, password or secrets.token_urlsafe(24), tuple(reads), INBOUND + agency)
    with _Admin(kafka) as admin:
        there = set(admin.list_topics())
        own = {"num_partitions": 1, "replication_factor": replication}
        kept = {"retention.ms": str(RETENTION_HOURS * 3_600_000)}
        missing = {name: own | {"configs": kept} for name in (INBOUND + agency, ANSWERS + agency) if name not in there}
        if missing:
            admin.create_topics(missing, wait_for_metadata=True)
        _take_back(admin, agency)
        acls = [
            ACL(f"User:{agency}", "*", operation, ACLPermissionType.ALLOW, resource)
            for resource, operation in rights(agency, reads)
        ]
        _done(admin.create_acls(acls)["failed"])
        credential = UserScramCredentialUpsertion(agency, ScramMechanism.SCRAM_SHA_512, made.password, iterations=8192)
        _done(admin.alter_user_scram_credentials([credential]).values())
        _limit(admin, agency, {"producer_byte_rate": bytes_in, "consumer_byte_rate": bytes_out})
    return made


def revoke(kafka: Broker, agency: str) -> None:
    """Let an agency in no more. Its two topics stay until an operator deletes them.

    Raises:
        NotGranted: the broker refused.
    """
    with _Admin(kafka) as admin:
        _take_back(admin, agency)
        if agency in admin.describe_user_scram_credentials():
            gone = UserScramCredentialDeletion(agency, ScramMechanism.SCRAM_SHA_512)
            _done(admin.alter_user_scram_credentials([gone]).values())
        _limit(admin, agency, {"producer_byte_rate": None, "consumer_byte_rate": None})


class _Admin:
    """An administrator's connection. Raises NotGranted for what the broker refuses."""

    def __init__(self, kafka: Broker) -> None:
        self._kafka = kafka

    def __enter__(self) -> KafkaAdminClient:
        try:
            self._client = KafkaAdminClient(**self._kafka.options, client_id="kuaizhao-agencies")
        except KafkaError as error:
            raise NotGranted(f"the broker at {self._kafka} does not answer: {error}") from None
        return self._client

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._client.close()
        if isinstance(error, KafkaError):
            raise NotGranted(f"the broker at {self._kafka} refused: {error}") from None


def rights(agency: str, reads: Iterable[str]) -> list[tuple[ResourcePattern, ACLOperation]]:
    """What an agency may do, and nothing else: read what it was granted, and say and hear what is its own."""
    readable = [*(name for topic in reads for name in (topic, topic + SNAPSHOT)), ANSWERS + agency]
    literal, prefixed = ACLResourcePatternType.LITERAL, ACLResourcePatternType.PREFIXED
    return [
        *((ResourcePattern(ResourceType.TOPIC, name, literal), ACLOperation.READ) for name in readable),
        (ResourcePattern(ResourceType.TOPIC, INBOUND + agency, literal), ACLOperation.WRITE),
        (ResourcePattern(ResourceType.GROUP, f"{agency}.", prefixed), ACLOperation.READ),
    ]


def _take_back(admin: KafkaAdminClient, agency: str) -> None:
    everything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    asked = ACLFilter(f"User:{agency}", None, ACLOperation.ANY, ACLPermissionType.ANY, everything)
    _done(error for _, _, error in admin.delete_acls([asked]) if error.errno)


def _limit(admin: KafkaAdminClient, agency: str, limits: dict[str, int | None]) -> None:
    request = AlterClientQuotasRequest
    ops = [
        request.EntryData.OpData(key=name, value=float(value or 0), remove=value is None)
        for name, value in limits.items()
    ]
    user = request.EntryData.EntityData(entity_type="user", entity_name=agency)
    # The library knows the request, and has no method for it yet.
    answer = admin._manager.run(
        admin._manager.send,
        request(entries=[request.EntryData(entity=[user], ops=ops)], validate_only=False),
    )
    _done(entry.error_message or str(entry.error_code) for entry in answer.entries if entry.error_code)


def _done(errors: Iterable[object]) -> None:
    failed = [str(error) for error in errors if error]
    if failed:
        raise NotGranted(f"the broker refused: {failed[0]}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Another agency's user on Kafka.")
    commands = parser.add_subparsers(dest="command", required=True)
    let = commands.add_parser("grant", help="let it in, with a new password")
    let.add_argument("agency", metavar="ID", help="its account at identity")
    let.add_argument("--reads", nargs="+", default=[], metavar="TOPIC", help="topics that it may read")
    let.add_argument("--bytes-in", type=int, default=BYTES_IN, help="that it may write in a second (%(default)s)")
    let.add_argument("--bytes-out", type=int, default=BYTES_OUT, help="that it may read in a second (%(default)s)")
    replication = int(os.environ.get("KAFKA_REPLICATION", "1"))
    let.add_argument("--replication", type=int, default=replication, help="copies of its topics (KAFKA_REPLICATION)")
    commands.add_parser("revoke", help="let it in no more").add_argument("agency", metavar="ID")
    asked, kafka = asked_of(parser)
    try:
        if asked.command == "revoke":
            revoke(kafka, asked.agency)
            print(f"agencies: {asked.agency} has no right any more")
            return 0
        made = grant(
            kafka,
            asked.agency,
            asked.reads,
            bytes_in=asked.bytes_in,
            bytes_out=asked.bytes_out,
            replication=asked.replication,
        )
    except NotGranted as error:
        print(f"agencies: {error}", file=sys.stderr)
        return 1
    print(f"user: {made.user}\npassword: {made.password}\nreads: {' '.join(made.reads)}\nwrites: {made.writes}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
