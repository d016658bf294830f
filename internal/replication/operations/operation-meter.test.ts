import { expect, test } from 'vitest'
import { Instruments, type KvError, type SlowOperation } from '../../base/index.js'
import { slotOf } from '../../slots/index.js'
import { applied, record, type Scene, scene, version } from '../replication.test-support.js'
import { Coordinator } from './coordinator.js'
import type { KeyLocation } from './locate.js'
import type { OperationOptions } from './operations.js'

const key = Buffer.from('k')

function coordinator({ context, routing }: Scene): Coordinator {
  return new Coordinator({ context, entries: () => 0, dataBytes: () => 0 }, routing)
}

function options({ clock }: Scene, consistency: OperationOptions['consistency'] = 'quorum'): OperationOptions {
  return { consistency, deadlineMs: clock.nowMs + 1_000 }
}

function codeOf(operation: Promise<unknown>): Promise<string> {
  return operation.then(
    () => 'done',
    (error: KvError) => error.code,
  )
}

test('operations are counted by kind, with how long they took and why they failed', async () => {
  const s = scene()
  const node = coordinator(s)
  const { coordinated, quorumFailures } = s.context.instruments
  const written = node.put(key, Buffer.from('v'), options(s))
  s.clock.advance(7)
  for (const { writes } of s.replicas) {
    for (const { reply } of writes) reply(applied())
  }
  await written
  const { p50Us } = coordinated.put.latency.summary(s.clock.nowMs)
  expect(p50Us).toBeGreaterThanOrEqual(7_000)
  expect(p50Us).toBeLessThan(7_400)
  const read = codeOf(node.get(key, options(s, 'all')))
  s.clock.advance(2_000)
  expect(await read).toBe('timeout')
  expect(coordinated.get).toMatchObject({ count: 1, errors: 1 })
  expect([...coordinated.get.errorsByCode]).toEqual([['timeout', 1]])
  expect(quorumFailures.get).toEqual({ one: 0, quorum: 0, all: 1 })
  expect(coordinated.put).toMatchObject({ count: 1, errors: 0 })
  // What is refused at the door has failed, and no quorum is to blame.
  node.stop()
  expect(await codeOf(node.delete(key, options(s)))).toBe('unavailable')
  expect(coordinated.delete).toMatchObject({ count: 1, errors: 1 })
  expect(quorumFailures.delete).toEqual({ one: 0, quorum: 0, all: 0 })
})

test('every record that a read sends to an owner that lacks it is counted', async () => {
  const s = scene()
  for (const replica of s.replicas) replica.automatic = true
  s.replicas[0]!.hold(record('k', 'v', version(5)))
  await coordinator(s).get(key, options(s))
  expect(s.context.instruments.readRepairs).toBeGreaterThan(0)
  expect(s.context.instruments.readRepairs).toBe(s.replicas.flatMap(({ writes }) => writes).length)
})

test('locating a key asks every owner once, repairs nothing, and tells of those who are silent', async () => {
  const s = scene()
  const [own, second, third] = s.replicas
  own!.hold(record('k', 'v', version(5)))
  own!.automatic = true
  second!.up = false
  const located = coordinator(s).locate(key, options(s, 'all'))
  s.clock.advance(1_100)
  const { holdings }: KeyLocation = await located
  expect(holdings.map(({ id, obstacle, record: held }) => [id, obstacle, held?.value.toString()])).toEqual([
    ['n0', '', 'v'],
    ['n1', 'it cannot be reached', undefined],
    ['n2', 'it did not answer in time', undefined],
  ])
  expect(third!.reads).toHaveLength(1)
  expect(s.replicas.flatMap(({ writes }) => writes)).toEqual([])
})

test('an owner that loses its data while a key is located holds nothing', async () => {
  const s = scene()
  for (const replica of s.replicas) replica.hold(record('k', 'v', version(5)))
  const node = coordinator(s)
  const located = node.locate(key, options(s, 'all'))
  for (const { reads } of s.replicas.slice(0, 2)) for (const read of reads) read.answer()
  s.context.active.forget(s.replicas[1]!, new Set([slotOf(key)]))
  for (const read of s.replicas[2]!.reads) read.answer()
  const { holdings } = await located
  expect(holdings.map(({ obstacle }) => obstacle)).toEqual(['', 'it has just lost its data', ''])
})

test('an operation that takes long is told of, whether it fails or not; a quick one is not', async () => {
  const told: SlowOperation[] = []
  const s = scene()
  const watch = { thresholdMs: 100, slow: (operation: SlowOperation) => void told.push(operation) }
  const context = { ...s.context, instruments: new Instruments(() => 0, watch) }
  const node = new Coordinator({ context, entries: () => 0, dataBytes: () => 0 }, s.routing)
  const request = { requestId: 'r', traceparent: '', sampled: false }
  const read = codeOf(node.get(key, { ...options(s), request }))
  s.clock.advance(2_000)
  expect(await read).toBe('timeout')
  const write = async (ms: number): Promise<void> => {
    const written = node.delete(key, options(s))
    s.clock.advance(ms)
    for (const { writes } of s.replicas) for (const { reply } of writes.splice(0)) reply(applied())
    await written
  }
  await write(99)
  await write(100)
  const shown = told.map(({ kind, level, code, request: named }) => [kind, level, code, named?.requestId])
  expect(shown).toEqual([
    ['get', 'quorum', 'timeout', 'r'],
    ['delete', 'quorum', undefined, undefined],
  ])
})
