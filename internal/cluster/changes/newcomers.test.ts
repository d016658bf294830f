import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { describe, expect, test } from 'vitest'
import { type Address, type Epoch, type Incarnation, KvError, limits, type NodeId } from '../../base/index.js'
import { silentLog } from '../../env/index.js'
import { SimWorld } from '../../env-sim/index.js'
import { type Member, softwareLevels, type Topology } from '../../slots/index.js'
import { topologyOf } from '../../slots/topology.test-support.js'
import type { Founder } from '../links/handshake.js'
import { returned } from './changes.js'
import { FormerLives } from './former-lives.js'
import { Newcomers } from './newcomers.js'

const topology = topologyOf([{ id: 'n1' }, { id: 'n2', zone: 'z', weight: 3 }, { id: 'n3' }])
const former = topology.members[1]!.incarnation
const silenceMs = 3_000

function newcomer(digit: string): Founder {
  const incarnation = digit.repeat(32) as Incarnation
  return {
    id: 'n2' as NodeId,
    incarnation,
    address: 'elsewhere:1' as Address,
    zone: 'other',
    weight: 9,
    levels: softwareLevels,
    authenticates: false,
  }
}

/** n1, asked by newcomers; links, and what the register does, are the test's to say. */
class Door {
  readonly world = new SimWorld({ seed: 'returns' })
  readonly linked = new Set<string>(['n3'])
  readonly questions: { to: string; id: number }[] = []
  readonly changes: (Topology | undefined)[] = []
  /** What becomes of a change of the topology. */
  outcome: Promise<void> = Promise.resolve()
  readonly lives: FormerLives
  readonly newcomers: Newcomers
  topology: Topology

  constructor(now: Topology = topology) {
    this.topology = now
    const register = {
      topology: now,
      change: (alter: (before: Topology) => Topology | undefined) => {
        this.changes.push(alter(now))
        return this.outcome
      },
    }
    const self = 'n1' as NodeId
    this.lives = new FormerLives({
      clock: this.world.process('n1').clock,
      self,
      topology: () => this.topology,
      silenceMs,
      linked: (id, otherThan) => this.linked.has(id) && otherThan !== 'its life',
      send: (to, { linkQuestion }: Partial<PeerMessage>) => {
        if (linkQuestion !== undefined) this.questions.push({ to, id: linkQuestion.id })
      },
    })
    const guard = (work: Promise<void>): void => void work
    this.newcomers = new Newcomers({ log: silentLog, self, register, formerLives: this.lives, guard })
  }

  /** All questions that wait are answered. */
  answer(linked: boolean): void {
    for (const { to, id } of this.questions.splice(0)) this.lives.answered(to as NodeId, { id, linked })
  }
}

test('a newcomer waits while the others are asked, and is proposed when nobody is linked to its former life', async () => {
  const door = new Door()
  expect(door.newcomers.knock(newcomer('d'))).toMatchObject({ code: 'wait' })
  expect(door.questions).toEqual([{ to: 'n3', id: 1 }])
  await door.world.advance(10)
  expect(door.changes).toEqual([])
  door.answer(false)
  await door.world.advance(10)
  expect(door.changes).toMatchObject([{ epoch: 2 as Epoch }])
})

test('a life that somebody is linked to for longer than a dead node looks alive is alive: the newcomer is sent away', async () => {
  const door = new Door()
  door.newcomers.knock(newcomer('d'))
  for (let waitedMs = 0; waitedMs <= silenceMs + limits.returnAskIntervalMs; waitedMs += limits.returnAskIntervalMs) {
    door.answer(true)
    await door.world.advance(limits.returnAskIntervalMs)
  }
  expect(door.newcomers.knock(newcomer('d'))).toMatchObject({
    code: 'id',
    message: expect.stringMatching(/linked to n3/),
  })
  expect(door.changes).toEqual([])
})

test('a link that only has not noticed yet that its node has died costs the newcomer its time and no more', async () => {
  const door = new Door()
  door.linked.add('n2')
  door.newcomers.knock(newcomer('d'))
  door.answer(true)
  await door.world.advance(silenceMs / 2)
  door.linked.delete('n2')
  await door.world.advance(limits.returnAskIntervalMs)
  door.answer(false)
  await door.world.advance(limits.returnAnswerMs)
  door.answer(false)
  await door.world.advance(10)
  expect(door.changes).toHaveLength(1)
})

test('a member that was stopped and comes to itself at the end does not bear witness with a link that is dead', async () => {
  const door = new Door()
  // n1 has not noticed for long, and n3 says nothing until then.
  door.linked.add('n2')
  door.newcomers.knock(newcomer('d'))
  await door.world.advance(silenceMs - 500)
  for (let i = 0; i < 6; i++) {
    door.linked.delete('n2')
    door.answer(true)
    await door.world.advance(limits.returnAskIntervalMs)
  }
  door.answer(false)
  await door.world.advance(10)
  expect(door.changes).toHaveLength(1)
})

test('a member that does not answer in time is not waited for', async () => {
  const door = new Door()
  door.newcomers.knock(newcomer('d'))
  await door.world.advance(limits.returnAnswerMs + 10)
  expect(door.changes).toHaveLength(1)
})

test('without a majority the newcomer is told so, and each time it asks it is tried again', async () => {
  const door = new Door()
  door.outcome = Promise.reject(new KvError('unavailable', '1 of 3 members answer'))
  door.outcome.catch(() => undefined)
  door.linked.clear()
  door.newcomers.knock(newcomer('d'))
  await door.world.advance(10)
  expect(door.newcomers.knock(newcomer('d'))).toMatchObject({
    code: 'wait',
    message: expect.stringContaining('1 of 3'),
  })
  await door.world.advance(10)
  expect(door.changes).toHaveLength(2)
})

test('of two newcomers of one name the second waits for what becomes of the first', async () => {
  const door = new Door()
  door.newcomers.knock(newcomer('d'))
  expect(door.newcomers.knock(newcomer('e'))).toMatchObject({
    code: 'wait',
    message: expect.stringContaining('another'),
  })
  door.answer(false)
  await door.world.advance(10)
  expect(door.changes).toHaveLength(1)
})

test('who is asked tells of the life that was meant, not of its successor', () => {
  const door = new Door()
  door.linked.add('n2')
  const nodeId = 'n2'
  expect(door.lives.asked({ id: 7, nodeId, incarnation: former, otherThan: '' })).toEqual({ id: 7, linked: true })
  const other = { id: 9, nodeId, incarnation: former, otherThan: 'its life' }
  expect(door.lives.asked(other)).toEqual({ id: 9, linked: false })
  door.topology = returned(topology, newcomer('d'), former)!
  expect(door.lives.asked({ id: 8, nodeId, incarnation: former, otherThan: '' })).toEqual({ id: 8, linked: false })
})

describe('a node that joins', () => {
  const joiner: Founder = { ...newcomer('d'), id: 'n4' as NodeId }

  test('is proposed at once, as a member that owns nothing, and is told to wait', async () => {
    const door = new Door()
    expect(door.newcomers.knock(joiner)).toMatchObject({ code: 'wait' })
    await door.world.advance(10)
    expect(door.questions).toEqual([])
    expect(door.changes.map((change) => change?.members[3])).toMatchObject([{ id: 'n4', state: 'joining' }])
  })

  test('is sent away where it can never be taken in', () => {
    const twin = { ...joiner, incarnation: former }
    expect(new Door().newcomers.knock(twin)).toMatchObject({
      code: 'id',
      message: expect.stringMatching(/copy of that of n2/),
    })
    const clash = { ...joiner, address: topology.members[2]!.address }
    expect(new Door().newcomers.knock(clash)).toMatchObject({ code: 'id', message: expect.stringMatching(/--id n3/) })
  })

  test('is told who can take it in where the one that it asks has no vote itself', () => {
    const members = topology.members.map((member, i): Member => (i === 0 ? { ...member, state: 'joining' } : member))
    const told = new Door({ ...topology, members }).newcomers.knock(joiner)
    expect(told).toMatchObject({ code: 'wait', message: expect.stringMatching(/n2 at n2:50051, n3 at n3:50051 can$/) })
    expect(told.topology?.members).toHaveLength(3)
  })

  test('waits while the cluster is as large as it may get, and while as many others wait', async () => {
    const full = topologyOf(Array.from({ length: limits.membersMax }, (_, i) => ({ id: i === 0 ? 'n1' : `m${i}` })))
    const door = new Door(full)
    expect(door.newcomers.knock(joiner)).toMatchObject({ code: 'wait', message: expect.stringMatching(/256 members/) })
    expect(door.changes).toEqual([])
    const crowded = new Door()
    crowded.outcome = new Promise(() => undefined)
    const other = (i: number): Founder => ({ ...joiner, id: `m${i}` as NodeId, address: `m${i}:1` as Address })
    for (let i = 0; i < limits.membersMax; i++) crowded.newcomers.knock(other(i))
    expect(crowded.newcomers.knock(joiner)).toMatchObject({ message: 'many others are being taken in' })
  })
})
