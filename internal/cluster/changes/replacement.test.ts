import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ClusterId, type Epoch, type Incarnation, KvError, parseNodeId } from '../../base/index.js'
import { silentLog } from '../../env/index.js'
import { SimWorld } from '../../env-sim/index.js'
import type { PeerLink } from '../../replication/index.js'
import { atRest, type Member, type Topology } from '../../slots/index.js'
import { Replacement } from './replacement.js'

const replaceAfterMs = 60_000
const minuteMs = 60_000

function memberOf(number: number): Member {
  const id = parseNodeId(`n${number}`)
  const incarnation = String(number).padStart(32, '0') as Incarnation
  const fixed = {
    zone: '',
    weight: 1,
    since: 1 as Epoch,
    state: 'serving' as const,
    levels: { min: 1, max: 1 },
    authenticates: false,
  }
  return { ...fixed, id, incarnation, number, address: `${id}:1` as Member['address'] }
}

/** Node n1 of five, of which n5 is away; what the others say about it is up to the test. */
class Play {
  readonly world = new SimWorld({ seed: 'replacement' })
  topology: Topology
  /** For how long others have been away in the eyes of n1, by their numbers. */
  readonly absent = new Map([[5, 2 * minuteMs]])
  /** About whom others are asked, by their numbers. */
  readonly askedAbout = new Set<number>()
  readonly told: string[] = []
  /** The same of the others; who is missing does not answer. */
  readonly said = new Map<string, number>()
  /** The same, where it depends on whom they are asked about. */
  readonly saidOf = new Map<string, ReadonlyMap<number, number>>()
  readonly linked = new Set(['n2', 'n3', 'n4'])
  /** The register works. */
  majority = true
  asked = 0
  readonly replacement: Replacement

  constructor(self = 'n1', afterMs = replaceAfterMs) {
    const members = [1, 2, 3, 4, 5].map(memberOf)
    const replication = { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 }
    const fixed = { ...atRest, clusterId: 'c'.repeat(32) as ClusterId, replication, virtualNodes: 50 }
    this.topology = { ...fixed, epoch: 1 as Epoch, members, nextNumber: 9 }
    const play = this
    this.replacement = new Replacement({
      clock: this.world.process('n1').life.clock,
      log: { ...silentLog, warn: (message) => void this.told.push(message) },
      self: parseNodeId(self),
      replaceAfterMs: afterMs,
      register: {
        get topology() {
          return play.topology
        },
        change: async (alter) => {
          if (!this.majority) throw new KvError('unavailable', 'no majority')
          this.topology = alter(this.topology) ?? this.topology
        },
      },
      absentMs: (number) => this.absent.get(number) ?? 0,
      isAlive: () => true,
      linked: (id) => this.linked.has(id),
      send: (to, { absenceQuestion }) => {
        this.asked++
        this.askedAbout.add(absenceQuestion.number)
        const absentMs = this.saidOf.get(to)?.get(absenceQuestion.number) ?? this.said.get(to)
        if (absentMs === undefined) return
        const absenceAnswer = { id: absenceQuestion.id, absentMs }
        this.replacement.received(to, { absenceAnswer } as PeerMessage, {} as PeerLink)
      },
    })
    this.world.process('n1').life.clock.defer(() => void this.replacement.run())
  }

  get planned(): string[] {
    return this.topology.planned.map(({ kind, id }) => `${kind} ${id}`)
  }
}

let play: Play
beforeEach(() => {
  play = new Play()
})
afterEach(() => play.replacement.stop())

describe('a member that is away for too long', () => {
  test('is removed when a majority of the voters has missed it for as long', async () => {
    play.said.set('n2', minuteMs + 1)
    play.said.set('n3', minuteMs + 1)
    await play.world.advance(minuteMs)
    expect(play.planned).toEqual(['remove n5'])
    expect(play.topology.epoch).toBe(2)
  })

  test.each([
    ['nobody else misses it', { n2: 0, n3: 0, n4: 0 }],
    ['only one other misses it', { n2: 2 * minuteMs, n3: 0, n4: 0 }],
    ['the others have not missed it for as long', { n2: minuteMs - 1, n3: minuteMs - 1, n4: 2 * minuteMs }],
    ['the others do not answer', {}],
  ])('stays a member while %s', async (_, said) => {
    for (const [name, absentMs] of Object.entries(said)) play.said.set(name, absentMs)
    await play.world.advance(10 * minuteMs)
    expect(play.asked).toBeGreaterThan(10)
    expect(play.planned).toEqual([])
  })

  test('stays one while this node has a link to it, or has not missed it for as long itself', async () => {
    for (const name of ['n2', 'n3', 'n4']) play.said.set(name, 2 * minuteMs)
    play.linked.add('n5')
    await play.world.advance(5 * minuteMs)
    play.linked.delete('n5')
    play.absent.set(5, minuteMs - 1)
    await play.world.advance(5 * minuteMs)
    expect([play.asked, play.planned]).toEqual([0, []])
  })

  test('is removed once the register can decide again', async () => {
    for (const name of ['n2', 'n3']) play.said.set(name, 2 * minuteMs)
    play.majority = false
    await play.world.advance(minuteMs)
    expect(play.planned).toEqual([])
    play.majority = true
    await play.world.advance(minuteMs)
    expect(play.planned).toEqual(['remove n5'])
  })

  test('and must stay by the rules does not hold up another that may go, and both are told of', async () => {
    // Some slots have two owners in n3 and n5; n4 has not got any yet.
    const joining = (member: Member): Member => ({ ...member, state: member.number === 4 ? 'joining' : 'serving' })
    play.topology = { ...play.topology, members: [1, 2, 3, 4, 5, 6].map(memberOf).map(joining) }
    for (const name of ['n3', 'n4']) play.linked.delete(name)
    play.linked.add('n6')
    play.absent.set(3, 2 * minuteMs + 1).set(4, 1.5 * minuteMs)
    for (const name of ['n2', 'n6']) play.said.set(name, 2 * minuteMs)
    await play.world.advance(minuteMs)
    expect(play.topology.members.map(({ id }) => id)).not.toContain('n4')
    expect(play.planned).toEqual([])
    expect([...play.askedAbout]).toEqual([4])
    const forPeople = play.told.filter((what) => what.includes('for people to decide')).map((what) => what.slice(0, 2))
    expect(forPeople).toEqual(['n3', 'n5'])
  })

  test('for this node alone does not hold up another that a majority has missed', async () => {
    // With four copies, of which two answer a read, two may be gone.
    const replication = { replicationFactor: 4, readQuorum: 2, writeQuorum: 3 }
    play.topology = { ...play.topology, replication, members: [1, 2, 3, 4, 5, 6].map(memberOf) }
    play.linked.delete('n4')
    play.linked.add('n6')
    play.absent.set(4, minuteMs)
    // What the others say depends on whom they are asked about.
    for (const name of ['n2', 'n3', 'n6']) play.saidOf.set(name, new Map([[4, 2 * minuteMs]]))
    await play.world.advance(minuteMs)
    expect(play.planned).toEqual(['remove n4'])
    expect([...play.askedAbout]).toEqual([5, 4])
  })

  test('is left alone by who comes later in turn, and by who is told never to', async () => {
    for (const name of ['n2', 'n3', 'n4']) play.said.set(name, 2 * minuteMs)
    const later = new Play('n4')
    later.linked.add('n1')
    later.absent.set(5, minuteMs + 5_000)
    const never = new Play('n1', 0)
    await later.world.advance(minuteMs)
    await never.world.advance(minuteMs)
    expect([later.asked, never.asked]).toEqual([0, 0])
    later.replacement.stop()
  })
})

test('who is asked says for how long it has missed a member, and that it has not where it is linked or unknown', () => {
  const ask = (number: number): number | undefined => {
    const told: Partial<PeerMessage>[] = []
    const link = { sendNow: (part: Partial<PeerMessage>) => void told.push(part) } as unknown as PeerLink
    play.replacement.received(undefined, { absenceQuestion: { id: 3, number } } as PeerMessage, link)
    expect(told[0]?.absenceAnswer?.id).toBe(3)
    return told[0]?.absenceAnswer?.absentMs
  }
  expect([ask(5), ask(2), ask(77)]).toEqual([2 * minuteMs, 0, 0])
  play.linked.add('n5')
  expect(ask(5)).toBe(0)
})
