import { FatalError, type Slot } from '@quorumkv/internal/base'
import { SimRandom, SimWorld } from '@quorumkv/internal/env-sim'
import { crc32 } from '@quorumkv/internal/hash'
import { readIdentity, writeDocument, writeIdentity } from '@quorumkv/internal/store'
import { readCeiling } from '../../../internal/cluster/stamping-clock.js'
import { readTopology, writeTopology } from '../../../internal/cluster/topology/topology-document.js'
import { readVotes, writeVotes } from '../../../internal/cluster/topology/votes-document.js'
import { HintFileReader } from '../../../internal/hints/hint-file.js'
import { far, Holder, clusterId as hintCluster } from '../../../internal/hints/hints.test-support.js'
import { topologyOf } from '../../../internal/slots/topology.test-support.js'
import { clusterId, incarnation, put, tombstone } from '../../../internal/store/fixture.conformance.js'
import { readHandoverProgress, writeHandoverProgress } from '../../../internal/store/handover-progress.js'
import { readLostDocument, writeLostSlots } from '../../../internal/store/lost-slots.js'
import { readManifest, writeManifest } from '../../../internal/store/manifest.js'
import { cut, filledBytes, type Outcome, overwrite, Specimen } from '../../crash/specimen.js'
import { mutate } from '../mutate.js'
import { Fault, type OpenTarget, refusedLaterBy, type Target } from '../target.js'

const isCorrupt = (error: unknown): boolean =>
  error instanceof FatalError && (error.reason === 'corrupt' || error.reason === 'refused')

// --- the log and snapshots: whole directories, of which one file is damaged

/** One file of a directory that is damaged, and what else is. */
interface Damaged {
  /** Whether the ends of all other files of its kind are lost as well. */
  readonly othersCut: boolean
  /** Whether it is the one that was written last. */
  readonly isLast: boolean
  readonly isChanged: boolean
  /** What the store has warned of. */
  readonly said: readonly string[]
}

/**
 * Inputs say with their first byte which file they are, and whether all others have lost their ends; what stands behind it are
 * its bytes. `judge` names what has come of it, or throws a Fault.
 */
function damagedFile(
  specimen: Specimen,
  paths: readonly string[],
  cutChance: (isLast: boolean) => number,
  judge: (outcome: Outcome, damaged: Damaged) => string,
): OpenTarget {
  const files = paths.map((path) => {
    const bytes = specimen.bytes(path)
    return bytes.subarray(0, filledBytes(bytes))
  })
  const outcomes = new Map<string, number>()
  return {
    outcomes,
    make: (random) => {
      const index = random.below(files.length)
      return Buffer.concat([
        Uint8Array.of(index + (random.chance(cutChance(index === files.length - 1)) ? 0x80 : 0)),
        mutate(random, [files[index]!, files[index]!, random.pick(files)]),
      ])
    },
    run: async (input) => {
      const path = paths[((input[0] ?? 0) & 0x7f) % paths.length]!
      const whole = specimen.bytes(path)
      // As the file was made: with room behind what was written.
      const bytes = new Uint8Array(Math.max(whole.length, input.length - 1))
      bytes.set(input.subarray(1))
      const othersCut = input[0]! >= 0x80
      let said: readonly string[] = []
      const outcome = await specimen.after(async (victim) => {
        said = victim.said
        await overwrite(victim, path, bytes)
        if (othersCut)
          for (const other of paths) if (other !== path) await cut(victim, other, specimen.bytes(other).length >>> 1)
      })
      const isChanged = !Buffer.from(bytes).equals(whole)
      const name = judge(outcome, { othersCut, isLast: path === paths.at(-1), isChanged, said })
      outcomes.set(name, (outcomes.get(name) ?? 0) + 1)
      return outcome.kind === 'full' ? 'taken' : 'refused'
    },
  }
}

function groupOf(i: number): ReturnType<typeof put>[] {
  const drawn = new SimRandom(`group ${i}`)
  const value = drawn.bytes(20 + drawn.below(60))
  if (i % 9 === 0) return [tombstone(`key-${i % 12}`, 10 * i)]
  return i % 5 === 0
    ? [put(`key-${i % 12}`, 10 * i, value), { ...put(`other-${i % 7}`, 10 * i + 1), expiresAtMs: 2 ** 40 + i }]
    : [put(`key-${i % 12}`, 10 * i, value)]
}

const small = { tuning: { logSegmentBytes: 2_048, logPreallocateBytes: 1_024 } }

/** A directory with a log of several segments. */
export function historyOfLog(): Promise<Specimen> {
  return Specimen.of(small, async (sim, commit) => {
    for (let i = 1; i <= 30; i++) await commit(...groupOf(i))
    await sim.world.advance(100)
  })
}

/** A directory with two snapshots, and the log behind the older one: what was written before is in snapshots alone. */
export async function historyOfSnapshots(): Promise<Specimen> {
  const specimen = await Specimen.of(small, async (sim, commit) => {
    for (let i = 1; i <= 60; i++) await commit(...groupOf(i))
    await sim.settle(sim.store.snapshot())
    for (let i = 61; i <= 80; i++) await commit(...groupOf(i))
    await sim.settle(sim.store.snapshot())
    for (let i = 81; i <= 84; i++) await commit(...groupOf(i))
    await sim.world.advance(100)
  })
  if (specimen.snapshots.length !== 2 || specimen.segments[0]?.endsWith('1.log'))
    throw new Error(`the log of the specimen is whole, and its snapshots are not needed: ${specimen.segments}`)
  return specimen
}

/**
 * Recovery decides everything by `Specimen.after`: all is there, a loud stop, or a tail that cannot be told from a torn one, which
 * only the last segment can have.
 */
export const logFile: Target = {
  name: 'log',
  share: 7,
  async open() {
    const specimen = await historyOfLog()
    return damagedFile(
      specimen,
      specimen.segments,
      () => 0.1,
      ({ kind }, { isLast, othersCut, isChanged }) => {
        if (kind === 'lost slots') throw new Fault('slots are lost where the log stops a node')
        if (!isChanged && !othersCut) return kind === 'full' ? 'unchanged' : fail(`an unchanged log came to "${kind}"`)
        if (kind === 'cut' && (!isLast || othersCut)) throw new Fault('a log was cut in its middle')
        return kind
      },
    )
  },
}

function fail(what: string): never {
  throw new Fault(what)
}

/**
 * The log is whole behind the older snapshot. So whatever became of one of them, everything is there; of both, nothing is lost but
 * what they alone held, and that is said.
 */
export const snapshotFile: Target = {
  name: 'snapshot',
  share: 6,
  async open() {
    const specimen = await historyOfSnapshots()
    // The older one is read only where the newest is no good.
    const cutChance = (isLast: boolean): number => (isLast ? 0.5 : 0.95)
    return damagedFile(specimen, specimen.snapshots, cutChance, ({ kind }, { isLast, othersCut, isChanged, said }) => {
      if (kind === 'cut') throw new Fault('what the log has was not replayed')
      if (kind !== 'full' && !othersCut) throw new Fault(`${kind}, and one snapshot is whole`)
      const told = said.filter((line) => line.startsWith('a snapshot is damaged')).length
      const isRead = isLast || othersCut
      if (!isRead && told > 0) throw new Fault('a sound snapshot was called damaged')
      if (kind === 'lost slots') return 'slots lost'
      if (kind === 'stop') return 'stopped'
      if (!isRead) return 'not read'
      if (told === 0) return isChanged ? 'changed where nothing is read' : 'unchanged'
      return told > 1 ? 'brought together from both' : 'recovered from the other'
    })
  },
}

// --- documents

const documentHeaderBytes = 24

/** The same document with checksums that fit: what a reader makes of contents that nobody could have written. */
function sealed(payload: Uint8Array, header: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(documentHeaderBytes + payload.length)
  bytes.set(header.subarray(0, documentHeaderBytes))
  bytes.set(payload, documentHeaderBytes)
  const view = new DataView(bytes.buffer)
  view.setUint32(12, payload.length, true)
  view.setUint32(16, crc32(payload), true)
  view.setUint32(20, crc32(bytes, 0, 20), true)
  return bytes
}

/** A disk with one document of each kind, and how each of them is read. */
async function documents(): Promise<OpenTarget> {
  const world = new SimWorld({ seed: 'documents' })
  const { disk } = world.process('node')
  const topology = topologyOf([{ id: 'n1' }, { id: 'n2' }, { id: 'n3', weight: 3, zone: 'z' }])
  const ballot = { counter: 3, number: 2 }
  const slots = [0, 1, 2, 9, 4095] as Slot[]
  const own = { clusterId, incarnation }
  await world.settle(writeTopology(disk, topology))
  await world.settle(writeVotes(disk, { epoch: topology.epoch, promised: ballot, vote: { ballot, value: topology } }))
  await world.settle(writeIdentity(disk, { nodeId: topology.members[0]!.id, incarnation, clusterId }))
  await world.settle(writeManifest(disk, { ...own, reached: 17 }))
  await world.settle(writeLostSlots(disk, slots, [7 as Slot]))
  await world.settle(writeHandoverProgress(disk, { since: topology.epoch, incarnation, slots, bytes: 5 }))
  await world.settle(writeDocument(disk, 'clock', new Uint8Array(new Float64Array([1.7e12]).buffer)))
  const readers: readonly (readonly [name: string, read: () => Promise<unknown>])[] = [
    ['topology', () => readTopology(disk)],
    ['votes', () => readVotes(disk)],
    ['identity', () => readIdentity(disk)],
    ['store', () => readManifest(disk, own)],
    ['lost', () => readLostDocument(disk)],
    ['handover', () => readHandoverProgress(disk)],
    ['clock', () => readCeiling(disk)],
  ]
  const { drive } = world.process('node')
  const honest = readers.map(([name]) => drive.peek(name)!.slice())
  return {
    make: (random) => {
      const index = random.below(readers.length)
      const file = honest[index]!
      const isSealed = random.chance(0.7)
      const payloads = honest.map((bytes) => bytes.subarray(documentHeaderBytes))
      const bytes = isSealed
        ? sealed(mutate(random, [payloads[index]!, payloads[index]!, random.pick(payloads)]), file)
        : mutate(random, [file])
      return Buffer.concat([Uint8Array.of(index), bytes])
    },
    run: (input) => {
      const [name, read] = readers[(input[0] ?? 0) % readers.length]!
      const replaced = async (): Promise<unknown> => {
        const file = await disk.open(name, 'write')
        await file.truncate(0)
        if (input.length > 1) await file.write(input.subarray(1), 0)
        await file.close()
        return await read()
      }
      return refusedLaterBy(isCorrupt, () => world.settle(replaced()))
    },
  }
}

export const documentFile: Target = { name: 'document', share: 30, keptBytesPerCase: 1_000, open: documents }

// --- hints

const frameHeaderBytes = 40

/** Hints are read up to what does not check. Nothing that is handed over may be what nobody kept, unless its checksum was forged. */
export const hintFile: Target = {
  name: 'hints',
  share: 30,
  // The simulated world counts what it has done: 16 to 24 bytes a case were seen over 400,000 of them.
  keptBytesPerCase: 50,
  async open() {
    const holder = await Holder.start('hints')
    holder.keep(far, 'a', 'b', 'c')
    await holder.write({ close: false })
    for (const name of ['d', 'e', 'f', 'g']) {
      holder.keep(far, name, `${name} once more`)
      await holder.write({ close: false })
    }
    await holder.write()
    const path = holder.files()[0]!
    const honest = holder.process.drive.peek(path)!.slice()
    const { disk } = holder.process.life
    const identity = {
      clusterId: hintCluster,
      incarnation: far.incarnation,
      number: Number(/(\d+)[^/]*$/.exec(path)![1]),
    }
    const kept = new Set<string>()
    const readAll = async (bytes: Uint8Array, isForged: boolean): Promise<boolean> => {
      const file = await disk.open(path, 'write')
      await file.truncate(0)
      if (bytes.length > 0) await file.write(bytes, 0)
      await file.close()
      const reader = await HintFileReader.open(disk, path, identity)
      if (typeof reader === 'string') return false
      for (let page = await reader.next(); page !== undefined; page = await reader.next()) {
        for (const record of page.records) {
          const shown = JSON.stringify([...record.key, record.hi, record.lo, [...record.value]])
          if (bytes === honest) kept.add(shown)
          else if (!isForged && !kept.has(shown)) throw new Fault('a hint that nobody kept')
        }
      }
      await reader.close()
      return reader.flaw === ''
    }
    await holder.settle(readAll(honest, false))
    if (kept.size !== 11) throw new Error(`the honest file has ${kept.size} hints`)
    return {
      make: (random) => {
        const isForged = random.chance(0.5)
        const bytes = mutate(random, [honest])
        return Buffer.concat([Uint8Array.of(isForged ? 1 : 0), isForged ? withFrameChecksums(bytes) : bytes])
      },
      run: async (input) => ((await holder.settle(readAll(input.subarray(1), input[0] === 1))) ? 'taken' : 'refused'),
    }
  },
}

const hintHeaderBytes = 64

/** Makes the checksums of frames fit again as far as their lengths lead from one to the next. */
function withFrameChecksums(given: Uint8Array): Uint8Array {
  const bytes = given.slice()
  const view = new DataView(bytes.buffer)
  if (bytes.length >= hintHeaderBytes) view.setUint32(60, crc32(bytes, 0, 60), true)
  for (let at = hintHeaderBytes; at + frameHeaderBytes <= bytes.length; ) {
    const length = view.getUint32(at + 4, true)
    if (length > bytes.length - at - frameHeaderBytes) break
    view.setUint32(at + 32, crc32(bytes, at + frameHeaderBytes, at + frameHeaderBytes + length), true)
    view.setUint32(at + 36, crc32(bytes, at, at + 36), true)
    at += frameHeaderBytes + length
  }
  return bytes
}
