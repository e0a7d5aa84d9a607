"""The market over a broker that lets each process do what deploy/k8s says, and nothing else.

Each process comes by TLS with a certificate of its own, and the broker has the ACLs of the KafkaUser resources, as
Strimzi would give them to it. Tests and the topics' provisioning come by the open port, as the operator.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import yaml
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
)

from deploy.k8s.generate import HERE
from deploy.local.ports import SERVICES, free_ports
from deploy.local.servers import LOCALHOST, Kafka
from deploy.local.stack import Stack, part_of
from tests.certificates import Authority

USERS = HERE / "base" / "kafka" / "users.yaml"
EVERY_RULE = ACLFilter(
    None,
    None,
    ACLOperation.ANY,
    ACLPermissionType.ANY,
    ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
)
PATTERNS = {"literal": ACLResourcePatternType.LITERAL, "prefix": ACLResourcePatternType.PREFIXED}


def rules() -> list[ACL]:
    """What the KafkaUser resources allow, a rule for each operation."""
    users: list[dict[str, Any]] = list(yaml.safe_load_all(USERS.read_text("utf-8")))
    return [
        ACL(
            f"User:CN={user['metadata']['name']}",
            "*",
            ACLOperation[operation.upper()],
            ACLPermissionType.ALLOW,
            ResourcePattern(
                ResourceType[acl["resource"]["type"].upper()],
                acl["resource"]["name"],
                PATTERNS[acl["resource"]["patternType"]],
            ),
        )
        for user in users
        for acl in user["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
    ]


class GuardedStack(Stack):
    """With Apache Kafka; over Tansu, which has no rules, it is a stack like any other."""

    def __init__(self, state: Path, **options: Any) -> None:
        super().__init__(state, **options)
        self.ports |= free_ports(["kafka_users"])
        self._authority = Authority()

    @property
    def kafka_for_users(self) -> str:
        return f"{LOCALHOST}:{self.ports['kafka_users']}"

    def certificate_settings(self, name: str) -> dict[str, str]:
        """The settings by which a process of this name makes itself known."""
        folder = self.state / "certificates" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            made = self._authority.make(name)
            (folder / "ca.crt").write_bytes(self._authority.certificate)
            (folder / "user.crt").write_bytes(made.certificate)
            (folder / "user.key").write_bytes(made.key)
            (folder / "both.pem").write_bytes(made.key + made.certificate)
        files = {"ca": "ca.crt", "certificate": "user.crt", "key": "user.key"}
        return {f"kafka_{what}": str(folder / file) for what, file in files.items()}

    def environment(self, name: str) -> dict[str, str]:
        variables = super().environment(name)
        if self.keeps_its_log and part_of(name) in (*SERVICES, "web", "agencies"):
            given = {"kafka": self.kafka_for_users, **self.certificate_settings(part_of(name))}
            variables |= {f"KUAIZHAO_{setting.upper()}": value for setting, value in given.items()}
        return variables

    async def _make(self) -> None:
        await super()._make()
        kafka = self.processes["kafka"]
        if isinstance(kafka, Kafka):
            self._guard(kafka._properties)

    def _guard(self, properties: dict[str, str]) -> None:
        self.certificate_settings("broker")
        folder = self.state / "certificates" / "broker"
        for listed in ("listeners", "advertised.listeners"):
            properties[listed] += f",USERS://{self.kafka_for_users}"
        properties["listener.security.protocol.map"] += ",USERS:SSL"
        properties |= {
            "listener.name.users.ssl.client.auth": "required",
            "listener.name.users.ssl.keystore.type": "PEM",
            "listener.name.users.ssl.keystore.location": str(folder / "both.pem"),
            "listener.name.users.ssl.truststore.type": "PEM",
            "listener.name.users.ssl.truststore.location": str(folder / "ca.crt"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }

    async def start(self, name: str) -> None:
        await super().start(name)
        if name == "kafka" and self.keeps_its_log:
            await asyncio.to_thread(self._grant)

    def _grant(self) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.kafka)
        try:
            refused = admin.create_acls(rules())["failed"]
            if refused:
                raise AssertionError(f"the broker did not take the rules: {refused}")
            while len(admin.describe_acls(EVERY_RULE)[0]) < len(set(map(repr, rules()))):
                time.sleep(0.1)  # what was taken is in force a moment later
        finally:
            admin.close()
