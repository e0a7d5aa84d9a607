"""What is open and who is placed, kept up with. Topics and their snapshots may be read in any order."""

import json
import os

from aiokafka import AIOKafkaConsumer

LOGIN = {
    "security_protocol": os.environ.get("KAFKA_SECURITY", "SASL_SSL"),
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_plain_username": os.environ["KAFKA_USER"],
    "sasl_plain_password": os.environ["KAFKA_PASSWORD"],
}
state = {}


def take(record):
    header = {name: value.decode() for name, value in record.headers}
    subject, sequence, event = header["ce_subject"], int(header["ce_sequence"]), json.loads(record.value)
    match header["ce_type"]:
        case "posting.gig-posted.v1" | "posting.gig-amended.v1":
            line = f"gig {subject} {event['district']} {event['terms']['headcount']}"
        case "matching.placement-made.v1":
            line = f"placement {subject} {event['gig_id']} {event['worker_id']}"
        case "posting.gig-closed.v1" | "matching.placement-cancelled.v1":
            line = None
        case _:
            return  # there are others, and there will be more
    if sequence > state.get(subject, (0, None))[0]:  # else it is known: events come twice, and again from a snapshot
        state[subject] = sequence, line


async def subscribe(kafka, *topics):
    """Take what stands in the topics and then, without an end, what comes. Yields each record that was taken."""
    async with AIOKafkaConsumer(*topics, bootstrap_servers=kafka, auto_offset_reset="earliest", **LOGIN) as consumer:
        async for record in consumer:
            take(record)
            yield record
