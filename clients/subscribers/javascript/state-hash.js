// The state hash at the topics' present end: node state-hash.js KAFKA TOPIC...
import { createHash } from 'node:crypto'
import { ListOffsetTimestamps } from '@platformatic/kafka'
import { connect, state, subscribe } from './subscriber.js'

const [kafka, ...topics] = process.argv.slice(2)
const consumer = connect(kafka)
const begins = await consumer.listOffsets({ topics, timestamp: ListOffsetTimestamps.EARLIEST })
const ends = await consumer.listOffsets({ topics, timestamp: ListOffsetTimestamps.LATEST })
const left = new Set()
for (const topic of topics) {
  ends.get(topic).forEach((end, partition) => { if (begins.get(topic)[partition] < end) left.add(`${topic} ${partition}`) })
}
let count = 0
if (left.size) {
  for await (const { topic, partition, offset } of subscribe(consumer, topics)) {
    count++
    if (offset + 1n >= ends.get(topic)[partition]) left.delete(`${topic} ${partition}`)
    if (!left.size) break
  }
}
await consumer.close(true)
const lines = [...state.values()].map(each => each.line).filter(Boolean).sort()
console.log(count, createHash('sha256').update(lines.join('\n')).digest('hex'))
