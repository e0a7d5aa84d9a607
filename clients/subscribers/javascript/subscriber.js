// What is open and who is placed, kept up with. Topics and their snapshots may be read in any order.
import { Consumer, stringDeserializers } from '@platformatic/kafka'

export const state = new Map()

function take(message) {
  const header = name => message.headers.get(name)
  const [subject, sequence, event] = [header('ce_subject'), Number(header('ce_sequence')), JSON.parse(message.value)]
  const lines = {
    'posting.gig-posted.v1': () => `gig ${subject} ${event.district} ${event.terms.headcount}`,
    'posting.gig-amended.v1': () => `gig ${subject} ${event.district} ${event.terms.headcount}`,
    'posting.gig-closed.v1': () => null,
    'matching.placement-made.v1': () => `placement ${subject} ${event.gig_id} ${event.worker_id}`,
    'matching.placement-cancelled.v1': () => null
  }
  const line = lines[header('ce_type')]
  if (!line) return // there are others, and there will be more
  if (sequence <= (state.get(subject)?.sequence ?? 0)) return // known: events come twice, and again from a snapshot
  state.set(subject, { sequence, line: line() })
}

export function connect(kafka) {
  const { KAFKA_USER: username, KAFKA_PASSWORD: password, KAFKA_SECURITY: security } = process.env
  return new Consumer({
    clientId: 'subscriber',
    groupId: `${username}.${process.pid}`,
    bootstrapBrokers: [kafka],
    deserializers: stringDeserializers,
    sasl: { mechanism: 'SCRAM-SHA-512', username, password },
    tls: security === 'SASL_PLAINTEXT' ? undefined : {}
  })
}

/** Take what stands in the topics and then, without an end, what comes. Yields each message that was taken. */
export async function* subscribe(consumer, topics) {
  for await (const message of await consumer.consume({ topics, mode: 'earliest', autocommit: false })) {
    take(message)
    yield message
  }
}
