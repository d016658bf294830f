import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Address, type Epoch, type Incarnation, KvError, limits, type NodeId } from '../../base/index.js'
import { majority } from '../../consensus/index.js'
import {
  currentRing,
  demandsAuthentication,
  movementOf,
  type PlannedChange,
  slotTables,
  softwareLevels,
  type Topology,
  validateTopology,
  voters,
} from '../../slots/index.js'
import { type MemberSketch, topologyOf } from '../../slots/topology.test-support.js'
import type { Founder } from '../links/handshake.js'
import {
  begun,
  cancelled,
  declared,
  done,
  joined,
  raised,
  requested,
  returned,
  settledStep,
  switched,
} from './changes.js'
import { objectionToJoin } from './objections.js'

const everybody = (): boolean => true
const id = (name: string): NodeId => name as NodeId

let lives = 0
function founder(name: string, change: Partial<Founder> = {}): Founder {
  const incarnation = (++lives).toString(16).padStart(32, 'f') as Incarnation
  return {
    id: id(name),
    incarnation,
    address: `${name}:50051` as Address,
    zone: '',
    weight: 1,
    levels: softwareLevels,
    authenticates: false,
    ...change,
  }
}

function members(...names: string[]): MemberSketch[] {
  return names.map((name) => ({ id: name }))
}

/** A document as it must be, or the failure of the test. */
function must(topology: Topology | undefined): Topology {
  expect(topology).toBeDefined()
  return validateTopology(topology!)
}

describe('feature levels', () => {
  const to = (topology: Topology, name: string, max: number): Topology | undefined => {
    const { incarnation } = topology.members.find((member) => member.id === name)!
    return declared(topology, { id: id(name), incarnation, levels: { min: 1, max }, authenticates: false })
  }

  test('a level is raised when the last member goes by it, and never falls', () => {
    const first = { min: 1, max: 1 }
    let topology = topologyOf(members('a', 'b'))
    topology = { ...topology, members: topology.members.map((member) => ({ ...member, levels: first })) }
    expect(raised(topology)).toBeUndefined()
    topology = must(to(topology, 'a', 3))
    expect(raised(topology)).toBeUndefined()
    expect(to(topology, 'a', 3)).toBeUndefined()
    topology = must(raised(must(to(topology, 'b', 2))))
    expect([topology.featureLevel, raised(topology)]).toEqual([2, undefined])
    // Older software, another life, and somebody who is too old.
    expect(to(topology, 'a', 1)).toBeUndefined()
    expect(declared(topology, { ...founder('a'), levels: { min: 1, max: 4 } })).toBeUndefined()
    expect(joined(topology, founder('c', { levels: first }))).toBeUndefined()
    expect(objectionToJoin(topology, founder('c', { levels: first }))).toContain('goes by level 1, and not by level 2')
    expect(joined(topology, founder('c', { levels: { min: 2, max: 5 } }))?.members[2]?.levels.max).toBe(5)
  })
})

describe('authentication', () => {
  const atLevel = (featureLevel: number): Topology => ({ ...topologyOf(members('a', 'b')), featureLevel })
  const says = (topology: Topology, name: string, authenticates: boolean): Topology | undefined => {
    const { incarnation } = topology.members.find((member) => member.id === name)!
    return declared(topology, { id: id(name), incarnation, levels: softwareLevels, authenticates })
  }

  test('it is demanded by the cluster when every member demands it, and no member can stop to from then on', () => {
    let topology = must(says(atLevel(2), 'a', true))
    expect(demandsAuthentication(topology)).toBe(false)
    expect(must(joined(topology, founder('c'))).members[2]?.authenticates).toBe(false)
    expect(demandsAuthentication(must(says(topology, 'a', false)))).toBe(false)
    topology = must(says(topology, 'b', true))
    expect(demandsAuthentication(topology)).toBe(true)
    expect(says(topology, 'b', false)).toBeUndefined()
    for (const newcomer of [founder('c'), founder('b')]) {
      expect(objectionToJoin(topology, newcomer)).toContain('has no --auth-file')
    }
    expect(joined(topology, founder('c'))).toBeUndefined()
    expect(must(joined(topology, founder('c', { authenticates: true }))).members[2]?.authenticates).toBe(true)
    const { incarnation } = topology.members[1]!
    expect(returned(topology, founder('b'), incarnation)).toBeUndefined()
    expect(must(returned(topology, founder('b', { authenticates: true }), incarnation)).epoch).toBe(4)
  })

  test('below the feature level that knows of it nothing is said of it, and a document that does is refused', () => {
    expect(says(atLevel(1), 'a', true)).toBeUndefined()
    const before = must(joined(atLevel(1), founder('c', { authenticates: true })))
    expect(before.members[2]?.authenticates).toBe(false)
    const claimed = { ...before, members: before.members.map((member) => ({ ...member, authenticates: true })) }
    expect(() => validateTopology(claimed)).toThrowError(expect.objectContaining({ field: 'members.authenticates' }))
    const access = { revision: 1, grants: [] }
    expect(() => validateTopology({ ...before, access })).toThrowError(expect.objectContaining({ field: 'access' }))
  })
})

function states({ members }: Topology): Record<string, string> {
  return Object.fromEntries(members.map((member) => [member.id, member.state]))
}

/** The handover that runs, to its end, and what follows by itself. */
function finished(topology: Topology): Topology {
  const { since } = topology.handover!
  return settled(must(done(switched(topology, since) ?? topology, since)))
}

function settled(topology: Topology): Topology {
  const step = settledStep(topology)
  return step === undefined ? topology : settled(must(step))
}

const three = topologyOf(members('n1', 'n2', 'n3'))

describe('a join', () => {
  test('a newcomer owns nothing and has no vote until its handover is done; then it gets both, the vote last', () => {
    const asked = must(joined(three, founder('n4')))
    expect(asked.members[3]).toMatchObject({ id: 'n4', state: 'joining', number: 4, since: 2 })
    expect(asked.nextNumber).toBe(5)
    expect(voters(asked)).toHaveLength(3)
    const both = must(begun(asked, everybody))
    expect(both.handover).toMatchObject({ step: 'both', since: 3, changes: [] })
    expect(currentRing(both).map((share) => share.id)).toEqual(['n1', 'n2', 'n3'])
    const over = must(done(must(switched(both, 3 as Epoch)), 3 as Epoch))
    expect(states(over)).toMatchObject({ n4: 'arrived' })
    expect([currentRing(over).length, voters(over).length]).toEqual([4, 3])
    const end = settled(over)
    expect([states(end), voters(end).length]).toEqual([
      { n1: 'serving', n2: 'serving', n3: 'serving', n4: 'serving' },
      4,
    ])
  })

  test('moves at most 1.25 fair shares, all of them to the newcomer', () => {
    const movement = movementOf(must(begun(must(joined(three, founder('n4'))), everybody)))!
    expect(movement.share).toBeGreaterThan(0.2)
    expect(movement.share).toBeLessThanOrEqual(1.25 / 4)
    expect(movement.moves.map(({ to }) => to)).toEqual(movement.moves.map(() => 'n4'))
    expect(movement.moves.reduce((sum, { slots }) => sum + slots, 0)).toBe(movement.copies)
  })

  test('all that wait go together, but nobody who is not fit', () => {
    const asked = must(joined(must(joined(three, founder('n4'))), founder('n5')))
    expect(must(begun(asked, everybody)).handover!.ring).toHaveLength(5)
    const one = must(begun(asked, (each) => each === 'n5'))
    expect(one.handover!.ring.map((share) => share.id)).toEqual(['n1', 'n2', 'n3', 'n5'])
    expect(begun(asked, () => false)).toBeUndefined()
    expect(states(finished(one))).toMatchObject({ n4: 'joining', n5: 'serving' })
  })

  test('in another zone: each slot that can gets a copy there', () => {
    const zoned = topologyOf([
      { id: 'n1', zone: 'a' },
      { id: 'n2', zone: 'a' },
      { id: 'n3', zone: 'a' },
    ])
    const asked = must(joined(zoned, founder('n4', { zone: 'b' })))
    const both = must(begun(asked, everybody))
    const { next } = slotTables(both)
    expect(next!.load(3)).toBeGreaterThan(3000)
  })

  test('under the name, the address or with the directory of another it is refused, and it is no member twice', () => {
    const clash = founder('n4', { address: 'n2:50051' as Address })
    expect(objectionToJoin(three, clash)).toMatch(/which is the address of the member n2/)
    expect(joined(three, clash)).toBeUndefined()
    const copy = founder('n4', { incarnation: three.members[1]!.incarnation })
    expect(objectionToJoin(three, copy)).toMatch(/is a copy of that of n2/)
    expect(joined(three, copy)).toBeUndefined()
    expect(joined(three, founder('n2', { address: 'n4:1' as Address }))).toBeUndefined()
    const crowd = Array.from({ length: limits.membersMax }, (_, i) => ({ id: `m${i}` }))
    expect(joined(topologyOf(crowd), founder('n4'))).toBeUndefined()
  })
})

describe('a leave', () => {
  const asked = must(requested(topologyOf(members('n1', 'n2', 'n3', 'n4')), { kind: 'decommission', id: id('n4') }))

  test('a leaver owns its slots until the handover is done, votes until its name is off the list, and is remembered', () => {
    const both = must(begun(asked, everybody))
    expect([states(both)['n4'], both.planned]).toEqual(['leaving', []])
    const over = must(done(must(switched(both, 3 as Epoch)), 3 as Epoch))
    expect(states(over)).toMatchObject({ n4: 'left' })
    expect([currentRing(over).length, voters(over).length]).toEqual([3, 4])
    const end = settled(over)
    expect(Object.keys(states(end))).toEqual(['n1', 'n2', 'n3'])
    expect(end.planned).toEqual([])
    expect(end.removed).toMatchObject([{ id: 'n4', epoch: end.epoch, by: 'decommission' }])
    const back = founder('n4', { incarnation: end.removed[0]!.incarnation })
    expect(objectionToJoin(end, back)).toMatch(/^n4 \(incarnation .*\) was decommissioned at epoch 6 of cluster/)
    expect(joined(end, back)).toBeUndefined()
    expect(joined(end, founder('n4'))).toBeDefined()
  })

  test('several that leave are taken off one by one', () => {
    const two = must(requested(asked, { kind: 'remove', id: id('n3') }))
    let topology = must(begun(two, everybody))
    topology = must(done(must(switched(topology, topology.epoch)), topology.epoch))
    expect(states(topology)).toMatchObject({ n3: 'left', n4: 'left' })
    const end = settled(topology)
    expect(end.epoch).toBe(topology.epoch + 2)
    expect(end.removed.map(({ id, by }) => [id, by])).toEqual([
      ['n3', 'remove'],
      ['n4', 'decommission'],
    ])
  })

  test('the last owner cannot go, also when the others only wait to go', () => {
    const pair = topologyOf(members('n1', 'n2'))
    const waiting = must(requested(pair, { kind: 'decommission', id: id('n1') }))
    const refused = expect.objectContaining({ code: 'invalid-argument', field: 'id' })
    expect(() => requested(waiting, { kind: 'remove', id: id('n2') })).toThrowError(refused)
    const both = must(begun(waiting, everybody))
    expect(() => requested(both, { kind: 'remove', id: id('n2') })).toThrowError(refused)
    expect(requested(must(joined(waiting, founder('n3'))), { kind: 'remove', id: id('n2') })).toBeDefined()
  })

  test('what is under way already changes nothing; who leaves gets no other weight', () => {
    const both = must(begun(asked, everybody))
    expect(requested(both, { kind: 'remove', id: id('n4') })).toBeUndefined()
    expect(() => requested(both, { kind: 'reweight', id: id('n4'), weight: 2 })).toThrowError(/n4 is leaving/)
    expect(() => requested(both, { kind: 'remove', id: id('n9') })).toThrowError(/n9 is not a member/)
  })
})

describe('a handover', () => {
  const newcomer = founder('n4')
  const asked = must(requested(must(joined(three, newcomer)), { kind: 'decommission', id: id('n1') }))
  const both = must(begun(asked, everybody))

  test('cancelled: the ring is as before, who would have left serves, and who would have joined is told so', () => {
    const back = must(cancelled(both, both.epoch))
    expect(currentRing(back)).toEqual(currentRing(three))
    expect(states(back)).toEqual({ n1: 'serving', n2: 'serving', n3: 'serving' })
    expect([back.handover, back.planned, begun(back, everybody)]).toEqual([undefined, [], undefined])
    expect(objectionToJoin(back, newcomer)).toMatch(/was removed at epoch 5/)
  })

  test('can only be finished once the new owners are read; steps of another handover are nothing', () => {
    const read = must(switched(both, both.epoch))
    expect(() => cancelled(read, both.epoch)).toThrowError(/can only be finished/)
    const other = (both.epoch + 1) as Epoch
    expect([switched(both, other), switched(read, both.epoch), done(both, both.epoch)]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
    expect([done(read, other), cancelled(both, other)]).toEqual([undefined, undefined])
  })

  test('without a newcomer that is removed meanwhile: the rest waits for the next one', () => {
    const rest = must(requested(both, { kind: 'remove', id: id('n4') }))
    expect(states(rest)).toEqual({ n1: 'serving', n2: 'serving', n3: 'serving' })
    expect(rest.planned).toEqual([{ kind: 'decommission', id: 'n1' }])
    expect(must(begun(rest, everybody)).handover!.ring.map((share) => share.id)).toEqual(['n2', 'n3'])
    // Once it is read its slots have to be handed over like anybody's.
    const read = must(requested(must(switched(both, both.epoch)), { kind: 'remove', id: id('n4') }))
    expect(states(finished(must(begun(finished(read), everybody))))).toEqual({ n2: 'serving', n3: 'serving' })
  })

  test('is begun again without a dead member that was to get slots, and takes along all that it was for', () => {
    const wanted = must(
      requested(topologyOf(members('n1', 'n2', 'n3', 'n4', 'n5')), { kind: 'decommission', id: id('n5') }),
    )
    const begins = must(begun(must(joined(wanted, founder('n6'))), everybody))
    const dead: PlannedChange = { kind: 'remove', id: id('n4') }
    const back = must(requested(begins, dead))
    expect(back.handover).toBeUndefined()
    expect(back.planned).toEqual([{ kind: 'decommission', id: 'n5' }, dead])
    expect(states(finished(must(begun(back, everybody))))).toEqual({
      n1: 'serving',
      n2: 'serving',
      n3: 'serving',
      n6: 'serving',
    })
    // Nobody waits for slots that come to it in the second step.
    const waits = must(requested(must(switched(begins, begins.handover!.since)), dead))
    expect(waits.handover!.step).toBe('switch')
    expect(waits.planned).toEqual([dead])
  })

  test('what is wanted meanwhile waits, and of what is wanted of one member the last counts', () => {
    const more = must(requested(both, { kind: 'reweight', id: id('n2'), weight: 2 }))
    const last = must(requested(more, { kind: 'remove', id: id('n2') }))
    expect(last.planned).toEqual([{ kind: 'remove', id: 'n2' }])
    expect([last.handover, begun(last, everybody)]).toEqual([both.handover, undefined])
    expect(begun(finished(last), everybody)!.handover!.ring.map((share) => share.id)).toEqual(['n3', 'n4'])
  })

  test('a new weight moves slots without a member coming or going; the old one moves nothing', () => {
    const heavier = must(begun(must(requested(three, { kind: 'reweight', id: id('n1'), weight: 2 })), everybody))
    expect(currentRing(heavier)[0]!.weight).toBe(1)
    expect(finished(heavier).members[0]!.weight).toBe(2)
    expect(requested(three, { kind: 'reweight', id: id('n1'), weight: 1 })).toBeUndefined()
    const changed = must(requested(three, { kind: 'reweight', id: id('n1'), weight: 2 }))
    expect(must(requested(changed, { kind: 'reweight', id: id('n1'), weight: 1 })).planned).toEqual([])
  })

  test('a replacement waits for who is to come, and then takes the place and the weight in one handover', () => {
    const heavy = topologyOf([{ id: 'n1', weight: 3 }, { id: 'n2' }, { id: 'n3' }])
    const waiting = must(requested(heavy, { kind: 'replace', id: id('n1'), by: id('n4') }))
    expect(begun(waiting, everybody)).toBeUndefined()
    const begins = must(begun(must(joined(waiting, founder('n4'))), everybody))
    expect(begins.handover!.ring).toContainEqual({ id: 'n4', weight: 3 })
    const end = finished(begins)
    expect(states(end)).toEqual({ n2: 'serving', n3: 'serving', n4: 'serving' })
    expect(end.removed).toMatchObject([{ id: 'n1', by: 'replace' }])
    expect(() => requested(three, { kind: 'replace', id: id('n1'), by: id('n2') })).toThrowError(
      /only a node that joins/,
    )
  })

  test('one node takes the place of one member only', () => {
    const first = must(requested(three, { kind: 'replace', id: id('n1'), by: id('n4') }))
    const second: PlannedChange = { kind: 'replace', id: id('n2'), by: id('n4') }
    expect(() => requested(first, second)).toThrowError(/n4 is to take the place of n1 already/)
    expect(() => requested(must(joined(first, founder('n4'))), second)).toThrowError(/place of n1 already/)
    const other = must(requested(first, { kind: 'replace', id: id('n1'), by: id('n5') }))
    expect(must(requested(other, second)).planned).toHaveLength(2)
  })

  test('more than may wait is overload', () => {
    const crowd = topologyOf(members(...Array.from({ length: limits.plannedChangesMax + 2 }, (_, i) => `m${i}`)))
    let topology = crowd
    for (const { id } of crowd.members.slice(0, limits.plannedChangesMax)) {
      topology = must(requested(topology, { kind: 'reweight', id, weight: 2 }))
    }
    const more: PlannedChange = { kind: 'reweight', id: crowd.members.at(-1)!.id, weight: 2 }
    expect(() => requested(topology, more)).toThrowError(expect.objectContaining({ code: 'overloaded' }))
  })

  test('more than may wait is overload also for one that is getting its slots', () => {
    const names = Array.from({ length: limits.plannedChangesMax }, (_, i) => `m${i}`)
    const begins = must(begun(must(joined(topologyOf(members(...names)), founder('n'))), everybody))
    let topology = must(switched(begins, begins.handover!.since))
    for (const name of names) topology = must(requested(topology, { kind: 'reweight', id: id(name), weight: 2 }))
    const more: PlannedChange = { kind: 'decommission', id: id('n') }
    expect(() => requested(topology, more)).toThrowError(expect.objectContaining({ code: 'overloaded' }))
  })
})

describe('a member that lost its data directory', () => {
  const home = topologyOf([{ id: 'n1' }, { id: 'n2', zone: 'z', weight: 3 }, { id: 'n3' }])
  const former = home.members[1]!.incarnation
  const comes = founder('n2', { address: 'elsewhere:1' as Address, zone: 'other', weight: 9 })
  const after = must(returned(home, comes, former))

  test('gets the place of its former life: number and epoch are new, what decides where data lies stays', () => {
    const { incarnation, address } = comes
    expect([after.epoch, after.nextNumber]).toEqual([2, 5])
    expect(after.members[1]).toEqual({ ...home.members[1], incarnation, address, number: 4, since: 2 })
    expect([after.members[0], after.members[2]]).toEqual([home.members[0], home.members[2]])
  })

  test('changes nothing where it is a member already, or another one has come back', () => {
    expect(returned(after, comes, former)).toBeUndefined()
    expect(returned(after, founder('n2'), former)).toBeUndefined()
    expect(returned(after, comes, comes.incarnation)).toBeUndefined()
  })
})

type Step = (topology: Topology) => Topology | undefined

const name = fc.integer({ min: 1, max: 7 }).map((i) => `n${i}`)
const known = fc.integer({ min: 0, max: 6 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: name.map(
      (each): Step =>
        (topology) =>
          joined(topology, founder(each)),
    ),
  },
  {
    weight: 1,
    arbitrary: known.map(
      (i): Step =>
        (topology) =>
          wipedAndBack(topology, i),
    ),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        known,
        fc.constantFrom('decommission', 'remove', 'reweight', 'replace'),
        fc.integer({ min: 1, max: 4 }),
        name,
      )
      .map(([i, kind, weight, by]): Step => {
        return (topology) => {
          const { id } = topology.members[i % topology.members.length]!
          const change = { kind, id, weight, by } as PlannedChange
          const after = requested(topology, change)
          if (after !== undefined) expect(requested(after, change)).toBeUndefined()
          return after
        }
      }),
  },
  {
    weight: 5,
    arbitrary: fc.nat().map(
      (seed): Step =>
        (topology) =>
          begun(topology, (each) => (seed + each.length) % 4 > 0),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.constant<Step>((topology) => switched(topology, topology.handover?.since ?? topology.epoch)),
  },
  { weight: 4, arbitrary: fc.constant<Step>((topology) => done(topology, topology.handover?.since ?? topology.epoch)) },
  {
    weight: 1,
    arbitrary: fc.constant<Step>((topology) => cancelled(topology, topology.handover?.since ?? topology.epoch)),
  },
  { weight: 5, arbitrary: fc.constant<Step>(settledStep) },
)

function wipedAndBack(topology: Topology, i: number): Topology | undefined {
  const member = topology.members[i % topology.members.length]!
  return returned(topology, founder(member.id, { address: member.address }), member.incarnation)
}

/** What two neighbouring documents must have to do with each other. */
function checkNeighbours(before: Topology, after: Topology): void {
  expect(after.epoch).toBe(before.epoch + 1)
  const [old, young] = [before, after].map((each) => voters(each).map(({ incarnation }) => incarnation))
  // Any majority of the one shares a member with any majority of the other. A former life that has been replaced gives no
  // answers any more, so the old majority is among the others; one that goes alive may be part of it.
  const shared = old!.filter((incarnation) => young!.includes(incarnation)).length
  const replaced = old!.length === young!.length
  const ofOld = majority(old!.length) - (replaced ? 0 : old!.length - shared)
  expect(ofOld + majority(young!.length) - (young!.length - shared)).toBeGreaterThan(shared)
  for (const each of after.members) {
    const same = before.members.find(({ incarnation }) => incarnation === each.incarnation)
    if (same === undefined) expect([each.number, each.since]).toEqual([before.nextNumber, after.epoch])
    else expect([each.id, each.number, each.since]).toEqual([same.id, same.number, same.since])
  }
  // Who owns what changes in no other way than by the end of a handover.
  if (!(before.handover !== undefined && after.handover === undefined)) {
    expect(currentRing(after)).toEqual(currentRing(before))
  } else if (before.handover.step === 'switch') {
    expect(currentRing(after)).toEqual(before.handover.ring)
  } else {
    expect(currentRing(after)).toEqual(currentRing(before))
  }
}

test('any sequence of changes: sound documents, one vote at a time, owners at all times, and an end (property)', () => {
  const sequence = fc.array(step, { maxLength: 80, size: 'max' })
  const sizes = fc.integer({ min: 1, max: 5 })
  let [taken, handovers] = [0, 0]
  fc.assert(
    fc.property(sizes, sequence, (size, steps) => {
      let topology = topologyOf(members(...Array.from({ length: size }, (_, i) => `n${i + 1}`)))
      const given = new Set(topology.members.map(({ number }) => number))
      for (const take of steps) {
        let after: Topology | undefined
        try {
          after = take(topology)
        } catch (error) {
          expect(error).toBeInstanceOf(KvError)
        }
        if (after === undefined) continue
        taken++
        validateTopology(after)
        checkNeighbours(topology, after)
        for (const { number, since } of after.members) {
          expect(since !== after.epoch || !given.has(number)).toBe(true)
          given.add(number)
        }
        if (after.handover?.step === 'switch' && topology.handover?.step === 'both') handovers++
        topology = after
      }
      // Whatever was going on comes to its end, and all that could be done is.
      for (let i = 0; i < 200; i++) {
        const { handover, epoch } = topology
        const since = handover?.since ?? epoch
        const after =
          settledStep(topology) ?? switched(topology, since) ?? done(topology, since) ?? begun(topology, everybody)
        if (after === undefined) break
        topology = validateTopology(after)
      }
      expect(topology.handover).toBeUndefined()
      expect(topology.members.every(({ state }) => state === 'serving' || state === 'joining')).toBe(true)
      expect(topology.planned.every(({ kind }) => kind === 'replace')).toBe(true)
    }),
    { numRuns: 500 },
  )
  expect(taken).toBeGreaterThan(5_000)
  expect(handovers).toBeGreaterThan(300)
}, 60_000)
