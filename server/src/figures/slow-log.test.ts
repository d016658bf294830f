import type { SlowOperation } from '@quorumkv/internal/base'
import type { Clock } from '@quorumkv/internal/env'
import { expect, test } from 'vitest'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import { type LogLine, recordingLog, testClock } from '../calls/services.test-support.js'
import { SlowLog } from './slow-log.js'

function setUp(): { log: SlowLog; lines: LogLine[]; node: FakeNode; advance: (ms: number) => void } {
  let nowMs = 0
  const clock: Clock = { ...testClock, monotonicMs: () => nowMs }
  const lines: LogLine[] = []
  const node = new FakeNode()
  node.topology = fakeTopology(1)
  node.useTables()
  const log = new SlowLog({ clock, log: recordingLog(lines), node: () => node, thresholdMs: 100 })
  const advance = (ms: number): void => {
    nowMs += ms
  }
  return { log, lines, node, advance }
}

const operation: SlowOperation = {
  kind: 'put',
  level: 'quorum',
  key: Buffer.from('a'),
  tookMs: 123.4,
  code: 'timeout',
  request: { requestId: 'r-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, sampled: true },
}

test('a slow operation is told with where its key is, who asked, and how it ended, and without its key', () => {
  const { log, lines, node } = setUp()
  log.slow({ ...operation, key: Buffer.from('secret-key') })
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatchObject({
    level: 'warn',
    message: 'a slow operation',
    facts: { kind: 'put', role: 'coordinator', consistency: 'quorum', ms: 123, code: 'timeout', owners: ['fake'] },
  })
  expect(lines[0]?.facts).toMatchObject({ requestId: 'r-1', traceId: 'a'.repeat(32) })
  // The level of a line is the log's own word.
  expect(Object.keys(lines[0]!.facts)).not.toContain('level')
  expect(lines[0]?.facts['keyHash']).toMatch(/^[0-9a-f]{8}$/)
  expect(JSON.stringify([lines, node.instruments.events.after(0)])).not.toContain('secret')
  expect(node.instruments.events.after(0)).toMatchObject([{ kind: 'slow', text: expect.stringContaining('123 ms') }])
})

test('the key of an operation is found by its hash', () => {
  const { log, lines } = setUp()
  log.slow(operation)
  expect(lines[0]?.facts).toMatchObject({ keyHash: '3c2569b2', slot: 0x3c2 })
})

test('a swarm of slow operations is told of in a few lines, and how many there were is told later', () => {
  const { log, lines, advance } = setUp()
  for (let i = 0; i < 500; i++) log.slow({ ...operation, kind: 'scan' })
  expect(lines).toHaveLength(10)
  expect(lines[0]?.facts).toMatchObject({ prefixBytes: 1 })
  advance(1_000)
  log.slow(operation)
  log.slow(operation)
  expect(lines).toHaveLength(11)
  expect(lines[10]?.facts).toMatchObject({ passedOver: 490 })
  advance(3_600_000)
  for (let i = 0; i < 500; i++) log.slow(operation)
  expect(lines).toHaveLength(21)
})
