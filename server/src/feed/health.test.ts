import { describe, expect, it } from 'vitest'
import { healthOf, type Observed } from './health.js'
import type { Membership, NodeView } from './view.js'
import { clusterOf, nodeOf, noLatency, nowMs } from './view.test-support.js'

const dead = (forMs: number): Partial<Membership> => ({ liveness: 'dead', sinceMs: nowMs - forMs })

function cluster(count: number, changed: Readonly<Record<number, NodeView>> = {}, facts = {}): Observed {
  const nodes = Array.from({ length: count }, (_, i) => changed[i + 1] ?? nodeOf(i + 1))
  return clusterOf(nodes, facts)
}

describe('the sentence', () => {
  it('says that all is well', () => {
    expect(healthOf(cluster(3))).toEqual({
      level: 'ok',
      sentence: 'All 3 nodes are up; every slot has 3 copies.',
      advice: [],
    })
  })

  it('says that a node waits for those that it forms a cluster with', () => {
    const health = healthOf(cluster(1, {}, { forming: true }))
    expect(health.level).toBe('notice')
    expect(health.sentence).toContain('n1 waits for the nodes that --peers names')
  })

  it('of a dead node among many: that all goes on, and when it is replaced', () => {
    const { level, sentence, advice } = healthOf(cluster(5, { 2: nodeOf(2, {}, dead(40_000)) }))
    expect(level).toBe('warning')
    expect(sentence).toBe(
      'n2 is dead for 40 s: reads and writes go on; it is replaced in 9 min 20 s, or run `kv node remove n2`.',
    )
    expect(advice[0]).toMatchObject({ subject: 'n2', command: 'kv node remove n2' })
  })

  it('promises no replacement where three copies would have two members', () => {
    const { sentence, advice } = healthOf(cluster(3, { 2: nodeOf(2, {}, dead(40_000)) }))
    expect(sentence).toBe('n2 is dead for 40 s: reads and writes go on; start it again.')
    expect(advice[0]).toMatchObject({ command: '', text: expect.stringContaining('2 members cannot keep 3 copies') })
  })

  it('promises no replacement where it is turned off, nor where one copy answers a read, nor without a majority', () => {
    const gone = { 2: nodeOf(2, {}, dead(40_000)) }
    const off = healthOf(cluster(5, gone, { replaceAfterMs: 0 }))
    const one = healthOf(cluster(5, gone, { readQuorum: 1, writeQuorum: 3 }))
    const most = Object.fromEntries([2, 3, 4, 5, 6].map((n) => [n, nodeOf(n, {}, dead(40_000))]))
    const few = healthOf(cluster(9, most, {}))
    for (const { sentence } of [off, one, few]) expect(sentence).not.toContain('replaced')
    expect(few.advice[0]!.text).toContain('without a majority')
  })

  it('tells a node that was stopped from one that died', () => {
    const stopped = nodeOf(2, {}, { liveness: 'left', sinceMs: nowMs - 5_000 })
    expect(healthOf(cluster(3, { 2: stopped })).sentence).toMatch(/^n2 was stopped 5 s ago: /)
  })

  it('says how much is out of reach when quorums are gone', () => {
    const { level, sentence } = healthOf(cluster(4, { 2: nodeOf(2, {}, dead(9_000)), 3: nodeOf(3, {}, dead(8_000)) }))
    expect(level).toBe('critical')
    expect(sentence).toBe('n2 and n3 are down: 50 % of the keys can be neither read nor written; start them again.')
  })

  it('names all keys when none can be served', () => {
    const { sentence } = healthOf(cluster(3, { 2: nodeOf(2, {}, dead(1)), 3: nodeOf(3, {}, dead(1)) }))
    expect(sentence).toContain('all keys can be neither read nor written')
  })

  it('tells writes from reads where they need different numbers', () => {
    const gone = { 2: nodeOf(2, {}, dead(9_000)) }
    expect(healthOf(cluster(3, gone, { readQuorum: 1, writeQuorum: 3 })).sentence).toContain(
      ': all keys cannot be written;',
    )
  })

  it('names a node that does not answer before it is held for dead', () => {
    const suspect = nodeOf(3, {}, { liveness: 'suspect', sinceMs: nowMs - 2_000 })
    expect(healthOf(cluster(3, { 3: suspect })).sentence).toBe('n3 does not answer: reads and writes go on.')
  })

  it('names a node to which there is no link, though nobody suspects it yet', () => {
    const { sentence, advice } = healthOf(cluster(3, { 3: nodeOf(3, {}, { linked: false }) }))
    expect(sentence).toBe('n3 does not answer: reads and writes go on.')
    expect(advice[0]).toMatchObject({ level: 'warning', text: expect.stringContaining('n1 has no link to n3') })
  })

  it('counts two nodes as two copies, for want of more', () => {
    expect(healthOf(cluster(2)).sentence).toContain(
      'Both nodes are up; every slot has 2 copies of 3, for want of nodes.',
    )
  })
})

const dayMs = 86_400_000

function certified(leftMs: number, certificateProblem = ''): Partial<NodeView> {
  return { process: { ...nodeOf(2).process!, certificateToMs: nowMs + leftMs, certificateProblem } }
}

describe('advice', () => {
  const node = nodeOf(2)
  const cases: [what: string, parts: Partial<NodeView>, level: string, words: string][] = [
    ['a full disk', { storage: { ...node.storage!, readOnly: true } }, 'critical', 'its disk is full'],
    ['lost slots', { storage: { ...node.storage!, lostSlots: 12 } }, 'notice', 'has lost 12 slots'],
    [
      'a refill that is stuck',
      { storage: { ...node.storage!, lostSlots: 1, refillObstacle: 'n3 has lost it too' } },
      'warning',
      '1 slot to a damaged or empty disk, and the refill does not get on: n3 has lost it too',
    ],
    ['silence', { telling: { ok: false, obstacle: 'deadline' } }, 'notice', 'does not tell its figures: deadline'],
    ['a clock ahead', { process: { ...node.process!, clockOffsetMs: 300 } }, 'notice', '300 ms ahead of'],
    ['a clock far behind', { process: { ...node.process!, clockOffsetMs: -4_200 } }, 'warning', '4.2 s behind'],
    [
      'a late event loop',
      { process: { ...node.process!, loopDelay: { ...noLatency, p99: 340_000 } } },
      'warning',
      '340 ms',
    ],
    ['a slow disk', { storage: { ...node.storage!, fdatasync: { ...noLatency, p99: 120_000 } } }, 'notice', '120 ms'],
    ['a certificate', certified(20 * dayMs), 'notice', 'A certificate of n2 expires in 20 d. Replace it.'],
    ['a certificate, soon', certified(3_600_000), 'warning', 'A certificate of n2 expires in 1 h. Replace it.'],
    [
      'one that has expired',
      certified(-1),
      'critical',
      'A certificate of n2 has expired: new connections are refused.',
    ],
    ['one not used', certified(90 * dayMs, 'no key'), 'warning', 'A new one is there and not used: no key.'],
    ['draining', { process: { ...node.process!, draining: true } }, 'notice', 'is drained'],
    [
      'failing operations',
      {
        load: {
          coordinator: { get: { rate: 100, errors: 4, ...noLatency } },
          replica: {},
          codes: { timeout: 1, unavailable: 3 },
          quorumFailures: 4,
        },
      },
      'warning',
      '4 % of the operations that clients ask of n2 fail (unavailable and timeout).',
    ],
    [
      'hints',
      { repair: { ...node.repair!, hintsWaiting: 1_200 } },
      'notice',
      '1,200 writes that a member has missed wait',
    ],
    ['divergence', { repair: { ...node.repair!, differingSlots: 3 } }, 'notice', 'Copies of 3 slots differ'],
    [
      'mixed releases',
      { process: { ...node.process!, version: '0.2.0' } },
      'notice',
      '0.1.0 on 2 nodes and 0.2.0 on 1 node',
    ],
  ]
  it('is not about certificates that hold for long, nor where there are none', () => {
    for (const parts of [certified(31 * dayMs), {}]) {
      expect(healthOf(cluster(3, { 2: nodeOf(2, parts) })).advice).toEqual([])
    }
  })

  it.each(cases)('about %s', (_what, parts, level, words) => {
    const health = healthOf(cluster(3, { 2: nodeOf(2, parts) }))
    expect(health.advice).toHaveLength(1)
    expect(health.advice[0]).toMatchObject({ level, text: expect.stringContaining(words) })
    expect(health.level).toBe(level)
  })

  it('puts the most pressing first, and says in the sentence that there is something', () => {
    const both = nodeOf(2, {
      storage: { ...node.storage!, readOnly: true },
      process: { ...node.process!, clockOffsetMs: 300 },
    })
    const { sentence, advice } = healthOf(cluster(4, { 2: both }))
    expect(advice.map(({ level }) => level)).toEqual(['critical', 'notice'])
    expect(sentence).toBe('All 4 nodes are up; every slot has 3 copies. 1 thing needs attention.')
  })

  it('is not about what somebody told before it fell silent', () => {
    const gone = nodeOf(
      2,
      { telling: { ok: false, obstacle: 'refused' }, storage: { ...node.storage!, readOnly: true } },
      dead(3_000),
    )
    expect(healthOf(cluster(5, { 2: gone })).advice.map(({ level }) => level)).toEqual(['warning'])
  })

  it('tells how far slots have moved, and who is stuck', () => {
    const report = { id: 'n4', slots: 400, done: 100, bytes: 1, remainingBytes: -1, remainingMs: -1, obstacle: '' }
    const handover = { since: 3, step: 'both' as const, purpose: 'n4 joins', waitsFor: ['n4'], reports: [report] }
    const going = healthOf({ ...cluster(4), handover }).advice
    expect(going[0]).toMatchObject({ level: 'notice', text: 'Slots move (n4 joins): 100 of 400 slots are there.' })
    const stuck = healthOf({
      ...cluster(4),
      handover: { ...handover, reports: [{ ...report, obstacle: 'no room' }] },
    }).advice
    expect(stuck[0]).toMatchObject({ level: 'warning', text: expect.stringContaining('n4 does not get on: no room') })
  })
})
