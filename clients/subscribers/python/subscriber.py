"""What is open and who is placed, as one hash: python subscriber.py KAFKA TOPIC... (snapshots before their topics)"""

import asyncio
import hashlib
import json
import os
import sys

from aiokafka import AIOKafkaConsumer

state, newest = {}, {}


def take(sequence, headers, event):
    kind, subject = headers["ce_type"].decode(), headers["ce_subject"].decode()
    if sequence <= newest.get(subject, 0):
        return  # known: an event may come twice, and a snapshot has some of what follows
    newest[subject] = sequence
    if kind in ("posting.gig-posted.v1", "posting.gig-amended.v1"):
        state[subject] = f"gig {subject} {event['district']} {event['terms']['headcount']}"
    elif kind == "matching.placement-made.v1":
        state[subject] = f"placement {subject} {event['gig_id']} {event['worker_id']}"
    elif kind in ("posting.gig-closed.v1", "matching.placement-cancelled.v1"):
        state.pop(subject, None)


async def read(topic, **login):
    """All events of a topic up to its present end, in the order of their sequence."""
    events = []
    async with AIOKafkaConsumer(topic, auto_offset_reset="earliest", **login) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    headers = dict(record.headers)
                    events.append((int(headers["ce_sequence"]), headers, json.loads(record.value)))
    return sorted(events, key=lambda event: event[0])


async def main(kafka, *topics):
    login = {
        "bootstrap_servers": kafka,
        "security_protocol": os.environ.get("KAFKA_SECURITY", "SASL_SSL"),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": os.environ["KAFKA_USER"],
        "sasl_plain_password": os.environ["KAFKA_PASSWORD"],
    }
    count = 0
    for topic in topics:
        for event in await read(topic, **login):
            take(*event)
            count += 1
    print(count, hashlib.sha256("\n".join(sorted(state.values())).encode()).hexdigest())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
