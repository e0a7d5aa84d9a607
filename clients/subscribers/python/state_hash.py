"""The state hash at the topics' present end: python state_hash.py KAFKA TOPIC..."""

import asyncio
import hashlib
import sys
from contextlib import aclosing

from aiokafka import AIOKafkaConsumer, TopicPartition
from subscriber import LOGIN, state, subscribe


async def main(kafka, *topics):
    async with AIOKafkaConsumer(*topics, bootstrap_servers=kafka, **LOGIN) as asked:
        begins = await asked.beginning_offsets(asked.assignment())
        ends = await asked.end_offsets(asked.assignment())
    left = {place for place in ends if begins[place] < ends[place]}
    count = 0
    async with aclosing(subscribe(kafka, *topics)) as taken:
        while left:
            record = await anext(taken)
            count += 1
            place = TopicPartition(record.topic, record.partition)
            if record.offset + 1 >= ends[place]:
                left.discard(place)
    lines = sorted(line for _, line in state.values() if line)
    print(count, hashlib.sha256("\n".join(lines).encode()).hexdigest())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
