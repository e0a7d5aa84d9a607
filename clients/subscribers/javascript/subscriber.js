// What is open and who is placed, as one hash: node subscriber.js KAFKA TOPIC... (snapshots before their topics)
import { createHash } from 'node:crypto'
import { Consumer, ListOffsetTimestamps, stringDeserializers } from '@platformatic/kafka'

const state = new Map()
const newest = new Map()

function take({ sequence, kind, subject, event }) {
  if (sequence <= (newest.get(subject) ?? 0)) return // known: an event may come twice, and a snapshot has some of what follows
  newest.set(subject, sequence)
  if (kind === 'posting.gig-posted.v1' || kind === 'posting.gig-amended.v1') {
    state.set(subject, `gig ${subject} ${event.district} ${event.terms.headcount}`)
  } else if (kind === 'matching.placement-made.v1') {
    state.set(subject, `placement ${subject} ${event.gig_id} ${event.worker_id}`)
  } else if (kind === 'posting.gig-closed.v1' || kind === 'matching.placement-cancelled.v1') {
    state.delete(subject)
  }
}

/** All events of a topic up to its present end, in the order of their sequence. */
async function read(consumer, topic) {
  const at = async timestamp => (await consumer.listOffsets({ topics: [topic], timestamp })).get(topic)
  const [begins, ends] = [await at(ListOffsetTimestamps.EARLIEST), await at(ListOffsetTimestamps.LATEST)]
  const left = new Set([...ends.keys()].filter(partition => begins[partition] < ends[partition]))
  const events = []
  const stream = left.size ? await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false }) : null
  while (left.size) {
    const { value: message } = await stream[Symbol.asyncIterator]().next()
    const header = name => message.headers.get(name)
    const [kind, subject, sequence] = [header('ce_type'), header('ce_subject'), Number(header('ce_sequence'))]
    events.push({ kind, subject, sequence, event: JSON.parse(message.value) })
    if (message.offset + 1n >= ends[message.partition]) left.delete(message.partition)
  }
  await stream?.close()
  return events.sort((one, other) => one.sequence - other.sequence)
}

const [kafka, ...topics] = process.argv.slice(2)
const { KAFKA_USER: username, KAFKA_PASSWORD: password, KAFKA_SECURITY: security } = process.env
const consumer = new Consumer({
  clientId: 'subscriber',
  groupId: `${username}.${process.pid}`,
  bootstrapBrokers: [kafka],
  deserializers: stringDeserializers,
  sasl: { mechanism: 'SCRAM-SHA-512', username, password },
  tls: security === 'SASL_PLAINTEXT' ? undefined : {}
})
let count = 0
for (const topic of topics) for (const event of await read(consumer, topic)) { take(event); count++ }
await consumer.close()
console.log(count, createHash('sha256').update([...state.values()].sort().join('\n')).digest('hex'))
