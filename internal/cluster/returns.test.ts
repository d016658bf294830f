import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { expect, test } from 'vitest'
import { type Address, type Epoch, type Incarnation, KvError, limits, type NodeId } from '../base/index.js'
import { silentLog } from '../env/index.js'
import { SimWorld } from '../env-sim/index.js'
import type { Topology } from '../slots/index.js'
import { topologyOf } from '../slots/topology.test-support.js'
import { returned } from './changes.js'
import type { Founder } from './handshake.js'
import { Returns } from './returns.js'
import type { TopologyRegister } from './topology-register.js'

const topology = topologyOf([{ id: 'n1' }, { id: 'n2', zone: 'z', weight: 3 }, { id: 'n3' }])
const former = topology.members[1]!.incarnation
const silenceMs = 3_000

function newcomer(digit: string): Founder {
  const incarnation = digit.repeat(32) as Incarnation
  return { id: 'n2' as NodeId, incarnation, address: 'elsewhere:1' as Address, zone: 'other', weight: 9 }
}

/** n1, asked by newcomers; links, and what the register does, are the test's to say. */
class Door {
  readonly world = new SimWorld({ seed: 'returns' })
  readonly linked = new Set<string>(['n3'])
  readonly questions: { to: string; id: number }[] = []
  readonly changes: (Topology | undefined)[] = []
  /** What becomes of a change of the topology. */
  outcome: Promise<void> = Promise.resolve()
  readonly returns: Returns

  constructor() {
    const register = {
      topology,
      change: (alter: (before: Topology) => Topology | undefined) => {
        this.changes.push(alter(topology))
        return this.outcome
      },
    }
    this.returns = new Returns({
      clock: this.world.process('n1').clock,
      log: silentLog,
      self: 'n1' as NodeId,
      register: register as unknown as TopologyRegister,
      silenceMs,
      linked: (id) => this.linked.has(id),
      send: (to, { linkQuestion }: Partial<PeerMessage>) => {
        if (linkQuestion !== undefined) this.questions.push({ to, id: linkQuestion.id })
      },
      guard: (work) => void work,
    })
  }

  /** All questions that wait are answered. */
  answer(linked: boolean): void {
    for (const { to, id } of this.questions.splice(0)) this.returns.answered(to as NodeId, { id, linked })
  }
}

test('a newcomer waits while the others are asked, and is proposed when nobody is linked to its former life', async () => {
  const door = new Door()
  expect(door.returns.knock(newcomer('d'))).toMatchObject({ code: 'wait' })
  expect(door.questions).toEqual([{ to: 'n3', id: 1 }])
  await door.world.advance(10)
  expect(door.changes).toEqual([])
  door.answer(false)
  await door.world.advance(10)
  expect(door.changes).toMatchObject([{ epoch: 2 as Epoch }])
})

test('a life that somebody is linked to for longer than a dead node looks alive is alive: the newcomer is sent away', async () => {
  const door = new Door()
  door.returns.knock(newcomer('d'))
  for (let waitedMs = 0; waitedMs <= silenceMs + limits.returnAskIntervalMs; waitedMs += limits.returnAskIntervalMs) {
    door.answer(true)
    await door.world.advance(limits.returnAskIntervalMs)
  }
  expect(door.returns.knock(newcomer('d'))).toMatchObject({
    code: 'id',
    message: expect.stringMatching(/linked to n3/),
  })
  expect(door.changes).toEqual([])
})

test('a link that only has not noticed yet that its node has died costs the newcomer its time and no more', async () => {
  const door = new Door()
  door.linked.add('n2')
  door.returns.knock(newcomer('d'))
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
  door.returns.knock(newcomer('d'))
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
  door.returns.knock(newcomer('d'))
  await door.world.advance(limits.returnAnswerMs + 10)
  expect(door.changes).toHaveLength(1)
})

test('without a majority the newcomer is told so, and each time it asks it is tried again', async () => {
  const door = new Door()
  door.outcome = Promise.reject(new KvError('unavailable', '1 of 3 members answer'))
  door.outcome.catch(() => undefined)
  door.linked.clear()
  door.returns.knock(newcomer('d'))
  await door.world.advance(10)
  expect(door.returns.knock(newcomer('d'))).toMatchObject({ code: 'wait', message: expect.stringContaining('1 of 3') })
  await door.world.advance(10)
  expect(door.changes).toHaveLength(2)
})

test('of two newcomers of one name the second waits for what becomes of the first', async () => {
  const door = new Door()
  door.returns.knock(newcomer('d'))
  expect(door.returns.knock(newcomer('e'))).toMatchObject({ code: 'wait', message: expect.stringContaining('another') })
  door.answer(false)
  await door.world.advance(10)
  expect(door.changes).toHaveLength(1)
})

test('who is asked tells of the life that was meant, not of its successor', () => {
  const door = new Door()
  door.linked.add('n2')
  const nodeId = 'n2'
  expect(door.returns.asked({ id: 7, nodeId, incarnation: former }, topology)).toEqual({ id: 7, linked: true })
  const next = returned(topology, newcomer('d'), former)!
  expect(door.returns.asked({ id: 8, nodeId, incarnation: former }, next)).toEqual({ id: 8, linked: false })
})
