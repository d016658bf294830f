import { expect, test } from 'vitest'
import type { Incarnation, Slot } from '../../base/index.js'
import { createDurably } from '../../wal/index.js'
import { contents, put, type SimStore } from '../fixture.conformance.js'
import {
  carryOutRepair,
  type DirectoryRepair,
  planRepair,
  type RepairOptions,
  type RepairPlan,
  readIdentity,
  surveyDirectory,
  writeDocument,
  writeIdentity,
  writeLostSlots,
} from '../index.js'
import { SnapshotWriter } from '../snapshot/snapshot-writer.js'
import { copyOf, everything, fill, frameOffsets, image, nodeId, stoppedNode, zero } from './verify.test-support.js'

const reborn = 'b'.repeat(32) as Incarnation
const firstSegment = 'log/0000000001.log'
const aside = 'damaged/first'

/** `members`: how many the cluster has. */
function optionsOf(sim: SimStore, members: number, name = 'first', acceptLoss = false): RepairOptions {
  const { incarnation } = sim.options
  const decode = (topology: Uint8Array): string => {
    const text = new TextDecoder().decode(topology)
    if (text !== nodeId) throw new Error(`no topology: ${text}`)
    return text
  }
  return {
    disk: sim.process.disk,
    checks: { topology: decode },
    members: (topology) => {
      decode(topology)
      return Array.from({ length: members }, (_, i) => ({ id: i === 0 ? nodeId : (`n${i + 1}` as never), incarnation }))
    },
    newIncarnation: reborn,
    name,
    acceptLoss,
  }
}

async function repair(sim: SimStore, members = 1, acceptLoss = false): Promise<DirectoryRepair> {
  const plan = await sim.settle(planRepair(optionsOf(sim, members, 'first', acceptLoss)))
  if (plan.kind !== 'repair') throw new Error(`nothing to repair: ${plan.kind}`)
  await sim.settle(carryOutRepair(sim.process.disk, plan))
  return plan
}

async function isSound(sim: SimStore): Promise<boolean> {
  const { findings } = await sim.settle(surveyDirectory(sim.process.disk))
  if (findings.length > 0) console.error(findings)
  return findings.length === 0
}

/** The keys of `everything` but these. */
function without(...missing: readonly number[]): string[] {
  const all = Array.from({ length: 60 }, (_, i) => i + 1)
  return all
    .filter((i) => !missing.includes(i))
    .map((i) => `key-${i}@${i}`)
    .sort()
}

test('a sound directory needs nothing, and nothing is done', async () => {
  const sim = await stoppedNode(everything)
  const before = image(sim)
  const plan = await sim.settle(planRepair(optionsOf(sim, 3)))
  expect(plan).toEqual({ kind: 'nothing', lost: [] })
  await sim.settle(carryOutRepair(sim.process.disk, plan))
  expect(image(sim)).toEqual(before)
})

test('a plan changes nothing', async () => {
  const sim = await stoppedNode(everything)
  sim.drive.corrupt('identity', 30)
  zero(sim, sim.drive.paths().find((path) => path.startsWith('log/'))!, 700, 900)
  const before = image(sim)
  expect(await sim.settle(planRepair(optionsOf(sim, 1)))).toMatchObject({ kind: 'repair' })
  expect(image(sim)).toEqual(before)
})

test('a byte turned over in any file: repaired, it starts with everything outside of the damage', async () => {
  const sim = await stoppedNode(everything)
  for (const [path, bytes] of image(sim)) {
    const copy = copyOf(sim)
    const at = path.includes('.') ? 700 : bytes.length - 3
    copy.drive.corrupt(path, at, 0x10)
    const damaged = copy.drive.peek(path)!
    const { loss, reborn: newLife } = await repair(copy)
    expect(await isSound(copy), path).toBe(true)
    await copy.open()
    expect(contents(copy.store), path).toEqual(without(...lostKeys(sim, path, at)))
    expect(loss === undefined, path).toBe(lostKeys(sim, path, at).length === 0)
    // A group that is lost may have held any key.
    expect(copy.store.lostSlots().length, path).toBe(loss === undefined ? 0 : 4096)
    expect(newLife, path).toBe(false)
    expect(copy.drive.peek(`${aside}/${path}`), path).toEqual(damaged)
  }
})

/** The sequences of groups are the numbers of their keys. Everything up to 40 is in a snapshot, and 20 in another. */
function lostKeys(sim: SimStore, path: string, at: number): number[] {
  if (!path.startsWith('log/')) return []
  const bytes = sim.drive.peek(path)!
  const frame = frameOffsets(bytes).findLast((offset) => offset <= at)!
  const sequence = new DataView(bytes.buffer, bytes.byteOffset + frame).getUint32(8, true)
  return sequence > 40 ? [sequence] : []
}

test('a log damaged in several places loses just the damaged groups, and says which', async () => {
  const sim = await stoppedNode((fresh) => fill(fresh, 1, 60))
  const frames = frameOffsets(sim.drive.peek(firstSegment)!)
  sim.drive.corrupt(firstSegment, frames[2]! + 10)
  sim.drive.corrupt(firstSegment, frames[5]! + 50)
  zero(sim, firstSegment, frames[8]! - 20, frames[8]! + 100)
  sim.drive.corrupt('log/0000000003.log', 100)
  const { loss } = await repair(sim)
  expect(loss).toEqual({
    slots: Array.from({ length: 4096 }, (_, slot) => slot),
    sequences: [
      { first: 3, last: 3 },
      { first: 6, last: 6 },
      { first: 8, last: 9 },
    ],
    groupsMax: 4,
    openEnd: false,
    snapshots: [],
  })
  await sim.open()
  expect(contents(sim.store)).toEqual(without(3, 6, 8, 9))
  await fill(sim, 61, 63)
  expect(contents(await sim.reopen('lose'))).toHaveLength(59)
})

test('a missing segment, first, middle or last, costs what was in it', async () => {
  const sim = await stoppedNode((fresh) => fill(fresh, 1, 60))
  const segments = sim.drive.paths().filter((path) => path.startsWith('log/'))
  for (const path of segments) {
    const copy = copyOf(sim)
    await copy.settle(copy.process.disk.remove(path))
    const { loss } = await repair(copy)
    expect(loss?.openEnd, path).toBe(path === segments.at(-1))
    expect(loss?.sequences.length, path).toBe(1)
    await copy.open()
    expect(contents(copy.store).length, path).toBeGreaterThan(40)
    expect(contents(copy.store).length, path).toBeLessThan(60)
  }
})

test('a log that is gone as a whole leaves what the newest snapshot has, under a new name', async () => {
  const sim = await stoppedNode(everything)
  for (const path of sim.drive.paths()) if (path.startsWith('log/')) await sim.settle(sim.process.disk.remove(path))
  const before = sim.drive.paths()
  const { loss } = await repair(sim)
  expect(loss).toMatchObject({ sequences: [{ first: 41, last: 60 }], openEnd: true })
  const snapshots = sim.drive.paths().filter((path) => path.startsWith('snapshots/'))
  expect(snapshots).toHaveLength(1)
  // A repair that is finished by another one must not take its own files for old ones.
  expect(before).not.toContain(snapshots[0])
  await sim.open()
  expect(contents(sim.store)).toHaveLength(40)
})

test('a rotten snapshot costs nothing: it is set aside, the older one and the log stay as they are', async () => {
  const sim = await stoppedNode(everything)
  const [older, newer] = sim.drive.paths().filter((path) => path.endsWith('.snapshot'))
  for (const path of [older!, newer!]) {
    const copy = copyOf(sim)
    copy.drive.corrupt(path, 200)
    const before = image(copy)
    const plan = await repair(copy, 3)
    expect(plan).toMatchObject({ loss: undefined, reborn: false, rebuild: undefined, aside: [path] })
    before.set(`${aside}/${path}`, before.get(path)!).delete(path)
    expect(image(copy)).toEqual(before)
    await copy.open()
    expect(contents(copy.store)).toEqual(without())
  }
})

test('when all snapshots are rotten and the log does not reach back, their sound blocks are kept', async () => {
  const sim = await stoppedNode(everything)
  const rotten = sim.drive.paths().filter((path) => path.endsWith('.snapshot'))
  for (const path of rotten) sim.drive.corrupt(path, 200)
  const { loss } = await repair(sim)
  expect(loss?.sequences).toEqual([])
  expect(loss?.snapshots).toEqual([
    { path: rotten[1], blocks: 40, kept: 39 },
    { path: rotten[0], blocks: 20, kept: 19 },
  ])
  await sim.open()
  expect(sim.store.lostSlots()).toEqual(loss?.slots)
  expect(loss?.slots).toHaveLength(1)
  expect(contents(sim.store).length).toBeGreaterThanOrEqual(59)
})

test('stamps that were given are remembered, though the record with the highest is lost', async () => {
  const sim = await stoppedNode(async (fresh) => {
    await fresh.settle(fresh.store.commit([put('peak', 1_000)]))
    await everything(fresh)
  })
  const rotten = sim.drive.paths().filter((path) => path.endsWith('.snapshot'))
  for (const path of rotten) sim.drive.corrupt(path, Buffer.from(sim.drive.peek(path)!).indexOf('peak'))
  await repair(sim)
  await sim.open()
  expect(contents(sim.store)).toEqual(without())
  expect(sim.store.highestVersion.lo).toBe(1_000)
})

test('a rebuilt store does not bring back what a snapshot no longer has', async () => {
  const sim = await stoppedNode(everything)
  const { clusterId, incarnation } = sim.options
  const newest = 'snapshots/0000000000000040.snapshot'
  // As if all of it had been deleted, and the tombstones collected, before it was taken.
  await sim.settle(
    createDurably(sim.process.disk, 'snapshots/next.tmp', newest, async (file) => {
      await new SnapshotWriter(file, { clusterId, incarnation, sequence: 40 }).finish({ hi: 1, lo: 40, node: 1 })
    }),
  )
  const last = sim.drive.paths().findLast((path) => path.startsWith('log/'))!
  sim.drive.corrupt(last, 560)
  await repair(sim)
  await sim.open()
  expect(contents(sim.store).every((key) => Number(key.split('@')[1]) > 40)).toBe(true)
  expect(contents(sim.store)).toHaveLength(19)
})

test('a member that lost groups keeps its incarnation and has no say until it has been refilled', async () => {
  const sim = await stoppedNode(everything)
  const last = sim.drive.paths().findLast((path) => path.startsWith('log/'))!
  sim.drive.corrupt(last, 520)
  expect(await repair(sim, 3)).toMatchObject({ reborn: false, alone: false, acceptLoss: false })
  const { incarnation, clusterId } = sim.options
  expect(await sim.settle(readIdentity(sim.process.disk))).toEqual({ nodeId, incarnation, clusterId })
  expect(await isSound(sim)).toBe(true)
  expect((await sim.settle(surveyDirectory(sim.process.disk))).lost).toHaveLength(4096)
  await sim.open()
  expect(sim.store.lostSlots()).toHaveLength(4096)
})

test('a member that forgot a promise comes back as another incarnation, in all of its files', async () => {
  const sim = await stoppedNode(everything)
  await sim.settle(writeDocument(sim.process.disk, 'promise', new Uint8Array(64)))
  zero(sim, 'promise', 8, 24)
  expect(await repair(sim, 3)).toMatchObject({ reborn: true, alone: false, loss: undefined })
  const identity = await sim.settle(readIdentity(sim.process.disk))
  expect(identity).toEqual({ nodeId, incarnation: reborn, clusterId: sim.options.clusterId })
  expect(await isSound(sim)).toBe(true)
  expect(await sim.openFailure()).toMatchObject({ reason: 'corrupt', message: expect.stringContaining(reborn) })
})

test('a loss that is accepted marks nothing, with or without a repair', async () => {
  const damaged = await stoppedNode(everything)
  damaged.drive.corrupt(damaged.drive.paths().findLast((path) => path.startsWith('log/'))!, 520)
  expect((await repair(damaged, 1, true)).lost).toHaveLength(4096)
  await damaged.open()
  expect(damaged.store.lostSlots()).toEqual([])
  expect(contents(damaged.store).length).toBeGreaterThan(50)

  const sound = await stoppedNode(everything)
  await sound.settle(writeLostSlots(sound.process.disk, [7 as Slot, 9 as Slot]))
  expect(await sound.settle(planRepair(optionsOf(sound, 1)))).toEqual({ kind: 'nothing', lost: [7, 9] })
  const plan = await sound.settle(planRepair(optionsOf(sound, 1, 'first', true)))
  expect(plan).toEqual({ kind: 'accept', lost: [7, 9] })
  await sound.settle(carryOutRepair(sound.process.disk, plan))
  expect((await sound.open()).lostSlots()).toEqual([])
})

test('what was lost before stays lost, and all is where nobody can tell', async () => {
  const sim = await stoppedNode(everything)
  await sim.settle(writeLostSlots(sim.process.disk, [7 as Slot, 9 as Slot]))
  const mended = copyOf(sim)
  mended.drive.corrupt('lost', 40)
  expect((await repair(mended, 3)).lost).toEqual([7, 9])
  expect((await mended.open()).lostSlots()).toEqual([7, 9])

  const gone = copyOf(sim)
  zero(gone, 'lost', 0, 24)
  expect(await repair(gone, 3)).toMatchObject({ reborn: false, rebuild: undefined, loss: undefined })
  expect((await gone.open()).lostSlots()).toHaveLength(4096)

  const rotten = copyOf(sim)
  rotten.drive.corrupt(rotten.drive.paths().find((path) => path.endsWith('.snapshot'))!, 200)
  expect((await repair(rotten, 3)).lost).toEqual([7, 9])
  expect((await rotten.open()).lostSlots()).toEqual([7, 9])
})

test('damage that a snapshot covers is repaired without a loss, and cannot come to light as a hole later', async () => {
  const sim = await stoppedNode(everything)
  const covered = sim.drive.paths().find((path) => path.startsWith('log/'))!
  sim.drive.corrupt(covered, frameOffsets(sim.drive.peek(covered)!)[1]! + 50)
  const plan = await repair(sim, 3)
  expect(plan).toMatchObject({ loss: undefined, reborn: false })
  await sim.open()
  expect(contents(sim.store)).toEqual(without())
  await sim.settle(sim.store.close())
  // The one snapshot that is left rots: no log reaches back behind it, so what it can no longer tell is lost.
  const [snapshot] = sim.drive.paths().filter((path) => path.startsWith('snapshots/'))
  sim.drive.corrupt(snapshot!, 200)
  await sim.reopen('lose')
  expect(contents(sim.store)).toHaveLength(59)
  expect(sim.store.lostSlots()).toHaveLength(1)
})

test('documents that are lost are written again where others say the same, and the rest is refused', async () => {
  const sim = await stoppedNode(everything)
  for (const name of ['identity', 'store']) {
    const copy = copyOf(sim)
    zero(copy, name, 0, 60)
    const plan = await repair(copy, 3)
    expect(plan).toMatchObject({ reborn: false, rebuild: undefined, documents: [{ action: 'rewrite', name }] })
    await copy.open()
    expect(contents(copy.store)).toEqual(without())
  }
  for (const [name, advice] of [
    ['topology', 'from the data directory of another member'],
    ['identity', 'restore it from a backup'],
  ] as const) {
    const copy = copyOf(sim)
    zero(copy, name, 8, 24)
    if (name === 'identity') zero(copy, 'store', 8, 24)
    const before = image(copy)
    const failure = await copy.settle(planRepair(optionsOf(copy, 3)).catch((error: unknown) => error))
    expect(failure).toMatchObject({ reason: 'corrupt', message: expect.stringContaining(advice) })
    expect(image(copy)).toEqual(before)
  }
})

test('an identity that belongs to other files is not made theirs', async () => {
  const sim = await stoppedNode(everything)
  const other = await stoppedNode(everything)
  await other.settle(
    writeIdentity(other.process.disk, { nodeId, incarnation: reborn, clusterId: sim.options.clusterId }),
  )
  const failure = await other.settle(planRepair(optionsOf(other, 1)).catch((error: unknown) => error))
  expect(failure).toMatchObject({ reason: 'corrupt', message: expect.stringContaining('restore the identity') })
})

/** Carries out a repair for so many events of the simulation. Whether it has ended by then. */
async function carryOutFor(copy: SimStore, plan: RepairPlan, events: number): Promise<boolean> {
  const from = copy.world.eventsRun
  let finished = false
  void carryOutRepair(copy.process.disk, plan).then(() => {
    finished = true
  })
  await copy.world.runUntil(() => finished || copy.world.eventsRun - from >= events)
  return finished
}

test('a repair that dies anywhere leaves what does not start, and the next one finishes it', async () => {
  const sim = await stoppedNode(everything)
  const last = sim.drive.paths().findLast((path) => path.startsWith('log/'))!
  sim.drive.corrupt(last, 560)
  const lost = lostKeys(sim, last, 560)
  expect(lost).toHaveLength(1)
  const kinds = new Set<string>()
  let done = false
  for (let events = 0; !done; events += 3) {
    for (const policy of ['keep', 'lose'] as const) {
      const copy = copyOf(sim)
      const plan = await copy.settle(planRepair(optionsOf(copy, 1)))
      done = (await carryOutFor(copy, plan, events)) || done
      copy.crash(policy)
      const again = await copy.settle(planRepair(optionsOf(copy, 1, 'second')))
      kinds.add(again.kind)
      const identity = await copy.settle(readIdentity(copy.process.disk))
      expect(identity === undefined, `${events} events, ${policy}`).toBe(again.kind === 'resume')
      await copy.settle(carryOutRepair(copy.process.disk, again))
      expect(await isSound(copy), `${events} events, ${policy}`).toBe(true)
      await copy.open()
      expect(contents(copy.store), `${events} events, ${policy}`).toEqual(without(...lost))
      expect(copy.store.lostSlots(), `${events} events, ${policy}`).toHaveLength(4096)
    }
  }
  expect([...kinds].sort()).toEqual(['nothing', 'repair', 'resume'])
})

test('a repair that dies never leaves a member that starts as before without what it had promised', async () => {
  const sim = await stoppedNode(everything)
  await sim.settle(writeDocument(sim.process.disk, 'clock', new Uint8Array(8).fill(7)))
  for (const at of [30, 31]) sim.drive.corrupt('clock', at)
  let done = false
  for (let events = 0; !done; events += 3) {
    for (const policy of ['keep', 'lose'] as const) {
      const copy = copyOf(sim)
      const plan = await copy.settle(planRepair(optionsOf(copy, 3)))
      done = (await carryOutFor(copy, plan, events)) || done
      copy.crash(policy)
      const identity = await copy.settle(readIdentity(copy.process.disk))
      if (identity !== undefined && identity.incarnation !== reborn) {
        expect(copy.drive.paths(), `${events} events, ${policy}`).toContain('clock')
      }
      await copy.settle(carryOutRepair(copy.process.disk, await copy.settle(planRepair(optionsOf(copy, 3, 'second')))))
      expect(await copy.settle(readIdentity(copy.process.disk)), policy).toMatchObject({ incarnation: reborn })
      expect(copy.drive.paths()).not.toContain('clock')
      expect(await isSound(copy), `${events} events, ${policy}`).toBe(true)
    }
  }
})

test('spares and the segment made ahead are no findings, and a repair of the log goes round them', async () => {
  const sim = await stoppedNode(async (fresh) => {
    await everything(fresh)
    for (let from = 61; from < 200; from += 40) {
      await fresh.settle(fresh.store.snapshot())
      await fill(fresh, from, from + 39)
    }
    await fresh.settle(fresh.store.snapshot())
    await fill(fresh, 221, 230)
  })
  const before = await sim.settle(surveyDirectory(sim.process.disk))
  expect(before.findings).toEqual([])
  const spares = before.files.filter(({ kind }) => kind === 'spare').map(({ path }) => path)
  expect(spares.filter((path) => path.endsWith('.spare')).length).toBeGreaterThan(0)
  expect(spares.filter((path) => path.endsWith('.log'))).toEqual([before.log.unbegun])
  const damaged = before.log.segments.at(-2)!.path
  sim.drive.corrupt(damaged, 700)
  await repair(sim)
  expect(await isSound(sim)).toBe(true)
  expect(sim.drive.paths()).toContain(`${aside}/${before.log.unbegun}`)
  await sim.open()
  const kept = contents(sim.store).length
  await fill(sim, 301, 360)
  expect(contents(await sim.reopen('lose'))).toHaveLength(kept + 60)
  expect(sim.fatal).toEqual([])
})
