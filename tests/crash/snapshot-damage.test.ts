import { parseIncarnation } from '@quorumkv/internal/base'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { crc32 } from '@quorumkv/internal/hash'
import type { StoreOptions } from '@quorumkv/internal/store'
import { beforeAll, expect, test } from 'vitest'
import { put, type SimStore, tombstone } from '../../internal/store/fixture.conformance.js'
import { longForm, Report, seed } from './report.js'
import { create, cut, lies, type Outcome, overwrite, places, remove, Specimen, withFlatMemory } from './specimen.js'

/*
 * Two generations of snapshots of 64 KiB and more, with the log behind the older one, damaged in every way that a disk
 * or a person can think of. One rotten generation costs nothing. Where both are rotten, the store brings back what is
 * whole in either of them and says which slots it may lack, or stops. It never serves what was not there, and never an
 * older state as if it were the newest.
 */

const report = new Report('damage to snapshots')
const random = new SimRandom(`${seed}/snapshots`)
const memoryMaxBytes = 33_554_432
const options: Partial<StoreOptions> = { tuning: { logSegmentBytes: 14_000, logPreallocateBytes: 4_096 } }
const snapshotHeaderBytes = 64
const snapshotFooterBytes = 64
const blockHeaderBytes = 32

let specimen: Specimen
let older: string
let newest: string

/** A snapshot, a third of its keys written again or deleted, another one, and some more. */
async function twoGenerations(overrides: Partial<StoreOptions> = {}, shift = 0): Promise<Specimen> {
  return Specimen.of({ ...options, ...overrides }, async (sim, commit) => {
    const drawn = new SimRandom(`values ${shift}`)
    let stamp = shift
    const write = async (key: number): Promise<void> => commit(put(`key-${key}`, ++stamp, drawn.bytes(500 + key)))
    for (let key = 0; key < 120; key++) await write(key)
    await sim.settle(sim.store.snapshot())
    for (let key = 0; key < 120; key += 3) await (key % 2 === 0 ? write(key) : commit(tombstone(`key-${key}`, ++stamp)))
    for (let key = 120; key < 130; key++) await write(key)
    await sim.settle(sim.store.snapshot())
    for (let key = 128; key < 136; key++) await write(key)
    await sim.world.advance(100)
  })
}

beforeAll(async () => {
  specimen = await twoGenerations()
  ;[older, newest] = specimen.snapshots as [string, string]
  expect(specimen.snapshots).toHaveLength(2)
  for (const path of specimen.snapshots) {
    expect(specimen.bytes(path).length).toBeGreaterThan(65_536)
    report.count('bytes of snapshots', specimen.bytes(path).length)
  }
  expect(specimen.segments[0], 'the log reaches back to the older one only').not.toBe('log/0000000001.log')
})

async function expectFull(damage: string, place: string, work: (victim: SimStore) => Promise<void> | void) {
  const outcome = await specimen.after(work)
  report.count(`${damage}: ${outcome.kind}`)
  expect(outcome.kind, place).toBe('full')
}

/** Where both generations are damaged: a stop, or slots that are said to be lost. */
function expectTold(damage: string, place: string, outcome: Outcome): void {
  report.count(`${damage}: ${outcome.kind}`)
  expect(['stop', 'lost slots'], place).toContain(outcome.kind)
}

test('a byte of one generation flipped: the other one and the log give everything', async () => {
  await withFlatMemory(report, memoryMaxBytes, async () => {
    for (const path of specimen.snapshots) {
      for (const at of places(0, specimen.bytes(path).length, longForm ? 1 : 199, random.u32())) {
        await expectFull('flips', `${path}, byte ${at}`, (victim) =>
          victim.drive.corrupt(path, at, 1 << random.below(8)),
        )
      }
    }
  })
})

test('a byte of each generation flipped: what is whole in neither is said to be lost', async () => {
  const { length } = specimen.bytes(newest)
  const olderLength = specimen.bytes(older).length
  for (const at of places(0, length, longForm ? 7 : 499, random.u32())) {
    const other = random.below(olderLength)
    const outcome = await specimen.after((victim) => {
      victim.drive.corrupt(newest, at, 1 << random.below(8))
      victim.drive.corrupt(older, other, 1 << random.below(8))
    })
    report.count(`flips in both: ${outcome.kind}`)
    expect(['full', 'lost slots'], `bytes ${at} and ${other}`).toContain(outcome.kind)
  }
})

/** Where the payload of each slot's first block is. */
function payloadsOf(bytes: Uint8Array): Map<number, readonly [from: number, to: number]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const payloads = new Map<number, readonly [number, number]>()
  for (let block = snapshotHeaderBytes; block < bytes.length - snapshotFooterBytes; ) {
    const payload = block + blockHeaderBytes
    const end = payload + view.getUint32(block + 4, true)
    const slot = view.getUint32(block + 12, true)
    if (!payloads.has(slot)) payloads.set(slot, [payload, end])
    block = end
  }
  return payloads
}

test('a byte of the same slot flipped in each generation: just that slot is said to be lost', async () => {
  const inOlder = payloadsOf(specimen.bytes(older))
  for (const [slot, [from, to]] of payloadsOf(specimen.bytes(newest))) {
    const there = inOlder.get(slot)
    if (there === undefined) continue
    const outcome = await specimen.after((victim) => {
      victim.drive.corrupt(newest, from + random.below(to - from), 1 << random.below(8))
      victim.drive.corrupt(older, there[0] + random.below(there[1] - there[0]), 1 << random.below(8))
    })
    report.count(`flips of a slot in both: ${outcome.kind}`)
    expect(outcome, `slot ${slot}`).toEqual({ kind: 'lost slots', slots: [slot] })
  }
})

test('a generation cut short at any length, or with a block of zeros, costs nothing', async () => {
  for (const path of specimen.snapshots) {
    const bytes = specimen.bytes(path)
    for (const size of places(0, bytes.length, longForm ? 5 : 997, random.u32())) {
      await expectFull('cuts', `${path}, ${size} bytes`, (victim) => cut(victim, path, size))
    }
    for (let at = 0; at < bytes.length; at += 4_096) {
      const bad = bytes.slice()
      bad.fill(0, at, at + 4_096)
      await expectFull('zeros', `${path}, zeros at ${at}`, (victim) => overwrite(victim, path, bad))
    }
  }
})

test('a generation that is missing, under the name of the other, or of another store costs nothing', async () => {
  const [newestBytes, olderBytes] = [specimen.bytes(newest), specimen.bytes(older)]
  await expectFull('moved', 'newest removed', (victim) => remove(victim, newest))
  await expectFull('moved', 'older removed', (victim) => remove(victim, older))
  await expectFull('moved', 'older as newest', (victim) => overwrite(victim, newest, olderBytes))
  await expectFull('moved', 'newest as older', (victim) => overwrite(victim, older, newestBytes))
  const future = 'snapshots/0000000000009999.snapshot'
  // A snapshot's name says what the log once held, so this is a log that has lost its end.
  const early = await specimen.after((victim) => create(victim, future, newestBytes))
  expectTold('ahead of its log', 'newest as one to come', early)
  const foreign = await twoGenerations({ incarnation: parseIncarnation('1'.repeat(32)) }, 5_000)
  const foreignBytes = foreign.bytes(foreign.snapshots[1]!)
  await expectFull('moved', 'newest of another incarnation', (victim) => overwrite(victim, newest, foreignBytes))
  const none = await specimen.after(async (victim) => {
    await remove(victim, newest)
    await remove(victim, older)
  })
  expectTold('both removed', 'no snapshot, half a log', none)
  const swapped = await specimen.after(async (victim) => {
    await overwrite(victim, newest, olderBytes)
    await overwrite(victim, older, newestBytes)
  })
  expectTold('swapped', 'each under the name of the other', swapped)
})

interface LengthField {
  readonly at: number
  readonly width: 2 | 4
  /** Computes the checksums around it again. */
  readonly mend: (bytes: Uint8Array) => void
}

/** Every field that is a length or a number of things, in a snapshot's blocks, records and footer. */
function* lengthFields(bytes: Uint8Array): Generator<LengthField> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const footer = bytes.length - snapshotFooterBytes
  for (let block = snapshotHeaderBytes; block < footer; ) {
    const payload = block + blockHeaderBytes
    const end = payload + view.getUint32(block + 4, true)
    const mend = (bad: Uint8Array): void => {
      const badView = new DataView(bad.buffer)
      badView.setUint32(block + 20, crc32(bad, payload, end), true)
      badView.setUint32(block + 28, crc32(bad, block, block + 28), true)
      mendFooter(bad)
    }
    for (const at of [block + 4, block + 16]) yield { at, width: 4, mend }
    for (let at = payload; at < end; ) {
      yield { at: at + 2, width: 2, mend }
      yield { at: at + 4, width: 4, mend }
      at += 20 + ((bytes[at]! & 2) === 0 ? 0 : 8) + view.getUint16(at + 2, true) + view.getUint32(at + 4, true)
    }
    block = end
  }
  for (const at of [footer + 8, footer + 16, footer + 24]) yield { at, width: 4, mend: mendFooter }
}

function mendFooter(bytes: Uint8Array): void {
  const footer = bytes.length - snapshotFooterBytes
  new DataView(bytes.buffer).setUint32(footer + 60, crc32(bytes, footer, footer + 60), true)
}

test('a length that lies costs nothing and takes no memory, whatever the checksums say', async () => {
  const bytes = specimen.bytes(newest)
  const view = new DataView(bytes.buffer)
  await withFlatMemory(report, memoryMaxBytes, async () => {
    for (const { at, width, mend } of lengthFields(bytes)) {
      if (!longForm && at < bytes.length - snapshotFooterBytes && random.chance(0.96)) continue
      const honest = width === 2 ? view.getUint16(at, true) : view.getUint32(at, true)
      for (const value of lies(honest)) {
        for (const mended of [false, true]) {
          const bad = bytes.slice()
          if (width === 2) new DataView(bad.buffer).setUint16(at, value, true)
          else new DataView(bad.buffer).setUint32(at, value, true)
          if (mended) mend(bad)
          const place = `byte ${at}: ${value} for ${honest}, checksums ${mended ? 'mended' : 'left'}`
          await expectFull('lengths', place, (victim) => overwrite(victim, newest, bad))
        }
      }
    }
  })
})

test('whatever has become of a spare segment costs nothing, not even when it is used again', async () => {
  const { spares } = specimen
  expect(spares.length).toBeGreaterThan(0)
  const later = Array.from({ length: 45 }, (_, i) => put(`later-${i}`, 1_000_000 + i, random.bytes(900)))
  const costsNothing = async (damage: string, work: (victim: SimStore) => Promise<void> | void): Promise<void> => {
    const { kind } = await specimen.after(work, later)
    report.count(`damage to spares: ${kind}`)
    expect(kind, damage).toBe('full')
  }
  for (const path of spares) {
    const bytes = specimen.bytes(path)
    for (const at of places(0, Math.min(bytes.length, 1_200), longForm ? 7 : 101, random.u32())) {
      await costsNothing(`${path}, byte ${at}`, (victim) => victim.drive.corrupt(path, at, 1 << random.below(8)))
    }
    for (const size of [0, 1, 511, 512, 600, bytes.length - 1]) {
      await costsNothing(`${path}, ${size} bytes`, (victim) => cut(victim, path, size))
    }
    await costsNothing(`${path} removed`, (victim) => remove(victim, path))
    await costsNothing(`${path} full of zeros`, (victim) => overwrite(victim, path, new Uint8Array(bytes.length)))
    for (const segment of specimen.segments) {
      await costsNothing(`${path} as ${segment}`, (victim) => overwrite(victim, path, specimen.bytes(segment)))
    }
  }
})

test('a flipped byte in the document that says that data must be here stops the node', async () => {
  for (let at = 0; at < specimen.bytes('store').length; at++) {
    const outcome = await specimen.after((victim) => victim.drive.corrupt('store', at, 1 << random.below(8)))
    report.count(`flips in the document: ${outcome.kind}`)
    expect(outcome.kind, `byte ${at}`).toBe('stop')
  }
})
