import { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { expect, test } from 'vitest'
import type { OperationTrace, TracedPart, TraceWatch } from '../../base/index.js'
import { decodeMessage } from '../replicas/message-codec.js'
import { Outbox } from '../replicas/outbox.js'
import { record, version } from '../replication.test-support.js'
import { TracedItems } from './traced-items.js'

const traceparent = `00-${'a1'.repeat(16)}-${'b2'.repeat(8)}-01`
const written = record('key', 'value', version(5))
const key = Buffer.from('key')

function traceOf(told: string): OperationTrace {
  const ignored = (): undefined => undefined
  return { traceparent: told, attempted: ignored, asked: ignored, answered: ignored, here: ignored, ended: ignored }
}

/** A message that writes and reads a key, on behalf of operations that are followed so. */
function message(write: OperationTrace | undefined, read: OperationTrace | undefined): Uint8Array {
  const outbox = new Outbox()
  outbox.addWrite(7, written, false, false)
  if (write !== undefined) outbox.addTrace(7, false, write)
  outbox.addRead(7, 0, key)
  if (read !== undefined) outbox.addTrace(7, true, read)
  return outbox.encode({ hi: 1, lo: 2 }, 3, 4)
}

/** The parts that a node begins for such a message. */
function partsOf(bytes: Uint8Array): readonly TracedPart[] {
  const parts: TracedPart[] = []
  const part: TraceWatch['part'] = (begun) => {
    parts.push(begun)
    return { ended: () => undefined }
  }
  const watch: TraceWatch = { operation: () => undefined, listensToOperations: true, listensToParts: true, part }
  const items = new TracedItems(watch, 'n1', decodeMessage(bytes).traces)
  items.write(7, written, true)
  items.read(7, key)
  return parts
}

test('an item of a sampled request says whose doing it is, and a read of the same number is another one', () => {
  const shared = { coordinator: 'n1' }
  const [write, read] = partsOf(message(traceOf(traceparent), undefined))
  expect(write).toEqual({ ...shared, kind: 'put', bytes: 8, isRepair: true, traceparent })
  expect(read).toEqual({ ...shared, kind: 'get', bytes: 3, isRepair: false, traceparent: '' })
  const [untold, told] = partsOf(message(undefined, traceOf(traceparent)))
  expect([untold!.traceparent, told!.traceparent]).toEqual(['', traceparent])
})

test('what is not sampled travels as it did before there were traces, to the byte', () => {
  const before = message(undefined, undefined)
  expect(Buffer.from(message(traceOf(''), traceOf('')))).toEqual(before)
  expect(message(traceOf(traceparent), undefined).length).toBeGreaterThan(before.length)
})

test('an outbox that has said whose doing an item was says nothing of it in its next message', () => {
  const outbox = new Outbox()
  outbox.addWrite(7, written, false, false)
  outbox.addTrace(7, false, traceOf(traceparent))
  outbox.encode({ hi: 1, lo: 2 }, 3, 4)
  outbox.addWrite(7, written, false, false)
  expect(decodeMessage(outbox.encode({ hi: 1, lo: 2 }, 3, 4)).traces).toEqual([])
})

test('a node of before the field reads the items all the same, and its own messages have parts below nothing', () => {
  const told = message(traceOf(traceparent), traceOf(traceparent))
  // For it the field is one that nobody knows: tag 39 becomes a number that no message has.
  const at = Buffer.from(told).indexOf(Buffer.from([0xba, 0x02]))
  const unknown = Buffer.from(told)
  for (let i = at; i !== -1; i = unknown.indexOf(Buffer.from([0xba, 0x02]), i)) unknown.set([0xba, 0x7d], i)
  const asBefore = decodeMessage(message(undefined, undefined))
  expect(at).toBeGreaterThan(0)
  expect(PeerMessage.decode(unknown)).toEqual(asBefore)
  expect(decodeMessage(unknown)).toEqual(asBefore)
  expect(partsOf(message(undefined, undefined)).map((part) => part.traceparent)).toEqual(['', ''])
})
