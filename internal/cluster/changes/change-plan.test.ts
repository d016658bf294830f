import { describe, expect, test } from 'vitest'
import { type Address, type Incarnation, KvError, type NodeId } from '../../base/index.js'
import { slotCount, softwareLevels, type Topology } from '../../slots/index.js'
import { topologyOf } from '../../slots/topology.test-support.js'
import { alteration, type ChangePlan, mostIncoming, planOf, type WantedChange } from './change-plan.js'
import { begun, joined, requested, switched } from './changes.js'

const everybody = (): boolean => true
const id = (name: string): NodeId => name as NodeId
const names = ['a', 'b', 'c', 'd', 'e']

function cluster(count: number): Topology {
  return topologyOf(names.slice(0, count).map((name) => ({ id: name })))
}

function withJoining(topology: Topology, name: string): Topology {
  const incarnation = name.repeat(32) as Incarnation
  return joined(topology, {
    id: id(name),
    incarnation,
    address: `${name}:1` as Address,
    zone: '',
    weight: 1,
    levels: softwareLevels,
    authenticates: false,
  })!
}

function plan(topology: Topology, change: WantedChange, down: readonly string[] = []): ChangePlan {
  return planOf(topology, change, everybody, (member) => !down.includes(member))
}

function altered(topology: Topology, change: WantedChange): Topology | undefined {
  return alteration(topology, change)(topology)
}

describe('the plan of a change', () => {
  test('is what the handover that it begins moves, and changes nothing', () => {
    const topology = cluster(5)
    const before = structuredClone(topology)
    const change = { kind: 'decommission', id: id('c') } as const
    const told = plan(topology, change)
    expect(told).toMatchObject({ begins: 'at-once', spareNow: 1, spareMeanwhile: 1, spareAfterwards: 1 })
    const moves = told.movement!.moves
    expect(moves.every(({ from, to }) => from !== undefined && to !== undefined && to !== 'c')).toBe(true)
    const given = moves.filter(({ from }) => from === 'c').reduce((sum, { slots }) => sum + slots, 0)
    expect(given / slotCount).toBeCloseTo(3 / 5, 1)
    expect(mostIncoming(told.movement!)).toBeLessThan(told.movement!.copies)
    expect(topology).toEqual(before)
  })

  test('for a dead member says what may still fail while it is carried out', () => {
    const told = plan(cluster(5), { kind: 'remove', id: id('c') }, ['c'])
    expect(told).toMatchObject({ spareNow: 0, spareMeanwhile: 0, spareAfterwards: 1 })
    // With two of three copies left, and no more members: fewer copies.
    const last = plan(cluster(3), { kind: 'remove', id: id('c') }, ['c'])
    expect(last).toMatchObject({ spareNow: 0, spareMeanwhile: 0, spareAfterwards: 0 })
    expect(last.movement?.copies).toBe(0)
  })

  test('of one that comes while a handover runs is worked out on what that leaves', () => {
    const running = begun(requested(cluster(5), { kind: 'decommission', id: id('a') })!, everybody)!
    const told = plan(running, { kind: 'decommission', id: id('b') })
    expect(told.begins).toBe('queued')
    expect(told.movement!.moves.some(({ from, to }) => from === 'a' || to === 'a')).toBe(false)
    const alone = plan(cluster(5), { kind: 'decommission', id: id('b') })
    expect(told.movement).not.toEqual(alone.movement)
  })

  test('of what is under way, or done, is nothing', () => {
    const change = { kind: 'decommission', id: id('a') } as const
    const running = begun(requested(cluster(5), change)!, everybody)!
    expect(plan(running, change)).toMatchObject({ begins: 'not', movement: undefined })
    expect(plan(cluster(3), { kind: 'reweight', id: id('a'), weight: 1 }).begins).toBe('not')
  })

  test('of a replacement waits for the node that is to join, and takes in the one that has', () => {
    const change = { kind: 'replace', id: id('a'), by: id('f') } as const
    expect(plan(cluster(3), change)).toMatchObject({ begins: 'queued', movement: undefined })
    const told = plan(withJoining(cluster(3), 'f'), change, ['a'])
    expect(told).toMatchObject({ begins: 'at-once', spareNow: 0, spareAfterwards: 1 })
    expect(told.movement!.moves).toEqual([{ from: 'a', to: 'f', slots: slotCount }])
  })

  test('tells what else was wanted of the member, which it calls off, and nothing that goes on', () => {
    const change: WantedChange = { kind: 'replace', id: id('a'), by: id('f') }
    const waiting = requested(requested(cluster(5), change)!, { kind: 'decommission', id: id('b') })!
    expect(plan(waiting, { kind: 'reweight', id: id('a'), weight: 2 }).calledOff).toEqual([change])
    expect(plan(waiting, { kind: 'reweight', id: id('a'), weight: 1 }).calledOff).toEqual([change])
    expect(plan(waiting, { kind: 'reweight', id: id('c'), weight: 2 }).calledOff).toEqual([])
    expect(plan(waiting, change).calledOff).toEqual([])
    // The handover has to be begun anew, with all that it was for.
    const running = begun(requested(withJoining(cluster(5), 'f'), { kind: 'decommission', id: id('b') })!, everybody)!
    expect(plan(running, { kind: 'remove', id: id('f') }).calledOff).toEqual([])
  })

  test('is refused as the change would be', () => {
    expect(() => plan(cluster(3), { kind: 'remove', id: id('z') })).toThrow(KvError)
    expect(() => plan(cluster(1), { kind: 'remove', id: id('a') })).toThrow(/nobody would own/)
  })
})

/** As whoever has just seen this topology asks for it. */
function cancel({ epoch }: Topology, member: string | undefined): WantedChange {
  return { kind: 'cancel', id: member === undefined ? undefined : id(member), epoch }
}

describe('calling off', () => {
  const change = { kind: 'decommission', id: id('a') } as const

  test('what only waits is taken out of the queue, and the handover that runs goes on', () => {
    const running = begun(requested(cluster(5), change)!, everybody)!
    const waiting = requested(running, { kind: 'reweight', id: id('b'), weight: 2 })!
    const wanted = cancel(waiting, 'b')
    expect(plan(waiting, wanted)).toMatchObject({ begins: 'at-once', calledOff: [{ kind: 'reweight', id: 'b' }] })
    const alter = alteration(waiting, wanted)
    const after = alter(waiting)!
    expect(alter(after)).toBeUndefined()
    expect(after.planned).toEqual([])
    expect(after.handover).toEqual(running.handover)
  })

  test('the handover that runs, with all that it was for; who joined by it is turned away', () => {
    const running = begun(withJoining(requested(cluster(3), change)!, 'f'), everybody)!
    for (const wanted of [undefined, 'a', 'f']) {
      const meant = cancel(running, wanted)
      expect(plan(running, meant)).toMatchObject({ calledOff: [change], turnedAway: ['f'], movement: undefined })
      const alter = alteration(running, meant)
      const after = alter(running)!
      expect(after).toMatchObject({ handover: undefined, planned: [] })
      // Asked again, also of another member, it leaves alone what has begun since.
      const anew = begun(requested(after, change)!, everybody)!
      expect(alter(anew)).toBeUndefined()
      expect(altered(after, meant)).toBeUndefined()
      if (wanted !== 'a') expect(altered(anew, meant)).toBeUndefined()
      else expect(() => altered(anew, meant)).toThrow(/being carried out by now/)
    }
  })

  test('what a member has not heard of yet is left to one that has', () => {
    const running = begun(requested(cluster(5), change)!, everybody)!
    const meant = cancel(running, undefined)
    expect(() => altered(cluster(5), meant)).toThrow(expect.objectContaining({ code: 'unavailable' }))
  })

  test('what only waited and is carried out by now is not called off with all else: that was not seen', () => {
    const waiting = requested(cluster(5), change)!
    const meant = cancel(waiting, 'a')
    const running = begun(waiting, everybody)!
    expect(() => altered(running, meant)).toThrow(/being carried out by now/)
    expect(altered(altered(waiting, meant)!, meant)).toBeUndefined()
  })

  test('says so where there is nothing to be called off, or it is too late', () => {
    expect(() => altered(cluster(3), cancel(cluster(3), undefined))).toThrow(/no handover runs/)
    expect(() => altered(cluster(3), cancel(cluster(3), 'a'))).toThrow(/nothing is planned about a/)
    const running = begun(requested(cluster(5), change)!, everybody)!
    expect(() => altered(running, cancel(running, 'b'))).toThrow(/not about it/)
    const late = switched(running, running.handover!.since)!
    expect(() => altered(late, cancel(late, 'a'))).toThrow(/only be finished/)
  })
})
