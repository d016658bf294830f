import { parseIncarnation } from '@quorumkv/internal/base'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { crc32 } from '@quorumkv/internal/hash'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { StoreOptions } from '@quorumkv/internal/store'
import { beforeAll, expect, test } from 'vitest'
import { put, tombstone } from '../../internal/store/fixture.conformance.js'
import { longForm, Report, seed } from './report.js'
import {
  create,
  cut,
  filledBytes,
  lies,
  type Outcome,
  overwrite,
  places,
  remove,
  Specimen,
  withFlatMemory,
} from './specimen.js'

/*
 * A log of 64 KiB and more, in several segments, damaged in every way that a disk or a person can think of. What comes
 * of it is everything, or a stop that says why. A part may be missing in silence only where FORMAT.md ("Frame") says
 * that damage cannot be told from a torn write.
 */

const report = new Report('damage to the log')
const random = new SimRandom(`${seed}/log`)
const segmentHeaderBytes = 512
const frameHeaderBytes = 40
const memoryMaxBytes = 33_554_432

const options: Partial<StoreOptions> = { tuning: { logSegmentBytes: 14_000, logPreallocateBytes: 4_096 } }

function groupOf(i: number): StoredRecord[] {
  const drawn = new SimRandom(`group ${i}`)
  const stamp = 10 * i
  const value = drawn.bytes(300 + drawn.below(900))
  if (i % 9 === 0) return [tombstone(`key-${i % 40}`, stamp)]
  if (i % 5 !== 0) return [put(`key-${i % 40}`, stamp, value)]
  return [put(`key-${i % 40}`, stamp, value), { ...put(`other-${i % 7}`, stamp + 1), expiresAtMs: 2 ** 40 + i }]
}

const ends = {
  /** The process was killed when the log had been idle: nothing of it may be taken for a torn write. */
  sealed: 100,
  /** It was killed at once. */
  unsealed: 0,
}

async function logOf(idleMs: number, overrides: Partial<StoreOptions> = {}, shift = 0): Promise<Specimen> {
  return Specimen.of({ ...options, ...overrides }, async (sim, commit) => {
    for (let i = 1; i <= 103; i++) await commit(...groupOf(i + shift))
    await sim.world.advance(idleMs)
  })
}

let sealed: Specimen
let unsealed: Specimen
let last: string

beforeAll(async () => {
  sealed = await logOf(ends.sealed)
  unsealed = await logOf(ends.unsealed)
  last = sealed.segments.at(-1)!
  const bytes = sealed.segments.reduce((sum, path) => sum + filledBytes(sealed.bytes(path)), 0)
  report.count('bytes of log', bytes)
  expect(bytes).toBeGreaterThan(65_536)
  expect(sealed.segments.length).toBeGreaterThan(4)
})

function note(damage: string, outcome: Outcome): Outcome {
  report.count(`${damage}: ${outcome.kind}`)
  if (outcome.kind === 'cut') report.highest(`${damage}: groups cut at most`, outcome.groups)
  return outcome
}

/** Where the frames of a segment start; the last place is where the next one would. */
function framesOf(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const starts = [segmentHeaderBytes]
  for (let at = segmentHeaderBytes; at + frameHeaderBytes <= bytes.length && bytes[at] === 0xf1; ) {
    at += frameHeaderBytes + view.getUint32(at + 4, true)
    starts.push(at)
  }
  return starts
}

test('a byte of the log flipped: everything is there, or a loud stop', async () => {
  await withFlatMemory(report, memoryMaxBytes, async () => {
    for (const path of sealed.segments) {
      const bytes = sealed.bytes(path)
      const frames = framesOf(bytes)
      // Marks hold nothing: the last segment's seal, the other segments' end marks.
      const dataEnd = frames.at(-2)!
      const end = Math.min(bytes.length, frames.at(-1)! + 8)
      for (const at of places(0, end, longForm ? 1 : 97, random.u32())) {
        const outcome = await sealed.after((victim) => victim.drive.corrupt(path, at, 1 << random.below(8)))
        note('flips', outcome)
        if (at < dataEnd) expect(outcome.kind, `${path}, byte ${at}`).toBe('stop')
        else expect(['stop', 'full'], `${path}, byte ${at}`).toContain(outcome.kind)
      }
    }
  })
})

test('only the last group of a log that was not sealed may be taken for a torn write', async () => {
  const bytes = unsealed.bytes(last)
  const frames = framesOf(bytes)
  const lastGroup = frames.at(-2)!
  for (const at of places(0, frames.at(-1)!, longForm ? 1 : 41, random.u32())) {
    const outcome = await unsealed.after((victim) => victim.drive.corrupt(last, at, 1 << random.below(8)))
    note('flips, not sealed', outcome)
    if (at < lastGroup) expect(outcome.kind, `byte ${at}`).toBe('stop')
    else expect(outcome, `byte ${at}`).toEqual({ kind: 'cut', groups: 1 })
  }
})

test('a segment cut short at any length stops the node, but for the last one', async () => {
  for (const path of sealed.segments) {
    const bytes = sealed.bytes(path)
    const end = filledBytes(bytes)
    const dataEnd = framesOf(bytes).at(-2)!
    for (const size of places(0, end, longForm ? 1 : 401, random.u32())) {
      const outcome = await sealed.after((victim) => cut(victim, path, size))
      note(path === last ? 'last segment cut' : 'segments cut', outcome)
      // Without its mark a segment is whole.
      if (size >= dataEnd) expect(outcome.kind, `${path}, ${size} bytes`).toBe('full')
      else if (path !== last || size < segmentHeaderBytes) expect(outcome.kind, `${path}, ${size} bytes`).toBe('stop')
      else expect(outcome.kind, `${path}, ${size} bytes`).toBe('cut')
    }
  }
})

test('a block of zeros stops the node', async () => {
  for (const path of sealed.segments) {
    const bytes = sealed.bytes(path)
    const end = filledBytes(bytes)
    for (let at = 0; at < end; at += 4_096) {
      const bad = bytes.slice()
      bad.fill(0, at, at + 4_096)
      const outcome = await sealed.after((victim) => overwrite(victim, path, bad))
      const tail = path === last && at > 0 && at + 4_096 >= end
      note(tail ? 'zeros at the end' : 'zeros', outcome)
      expect(outcome.kind, `${path}, zeros at ${at}`).toBe(tail ? 'cut' : 'stop')
    }
  }
})

test('segments that are missing, swapped, repeated or of another store stop the node', async () => {
  const { segments } = sealed
  const stops = async (damage: string, work: Parameters<Specimen['after']>[0]): Promise<void> => {
    expect(note('segments moved', await sealed.after(work)).kind, damage).toBe('stop')
  }
  for (const [i, path] of segments.entries()) {
    await stops(`${path} removed`, (victim) => remove(victim, path))
    const next = `log/${String(segments.length + 1).padStart(10, '0')}.log`
    await stops(`${path} once more at the end`, (victim) => create(victim, next, sealed.bytes(path)))
    for (const other of segments.slice(i + 1)) {
      await stops(`${path} and ${other} swapped`, async (victim) => {
        await overwrite(victim, path, sealed.bytes(other))
        await overwrite(victim, other, sealed.bytes(path))
      })
      await stops(`${other} in the place of ${path}`, (victim) => overwrite(victim, path, sealed.bytes(other)))
      await stops(`${path} in the place of ${other}`, (victim) => overwrite(victim, other, sealed.bytes(path)))
    }
  }
  await stops('all removed', async (victim) => {
    for (const path of segments) await remove(victim, path)
  })
  const incarnation = parseIncarnation('1'.repeat(32))
  const foreign = [await logOf(ends.sealed, { incarnation }), await logOf(ends.sealed, {}, 1_000)]
  for (const [i, other] of foreign.entries()) {
    for (const path of other.segments.filter((candidate) => segments.includes(candidate))) {
      const whose = i === 0 ? 'another incarnation' : 'another history'
      await stops(`${path} of ${whose}`, (victim) => overwrite(victim, path, other.bytes(path)))
    }
  }
})

test('whatever becomes of a segment that was made and has not begun costs nothing', async () => {
  const path = sealed.unbegun!
  const { length } = sealed.bytes(path)
  const later = Array.from({ length: 30 }, (_, i) => put(`later-${i}`, 1_000_000 + i, random.bytes(900)))
  const costsNothing = async (damage: string, work: Parameters<Specimen['after']>[0]): Promise<void> => {
    expect(note('made segment', await sealed.after(work, later)).kind, `${path}, ${damage}`).toBe('full')
  }
  await costsNothing('removed', (victim) => remove(victim, path))
  for (const size of [0, 1, 511, 512, 600, length - 1])
    await costsNothing(`${size} bytes`, (victim) => cut(victim, path, size))
  for (const at of places(0, 1_200, longForm ? 3 : 101, random.u32())) {
    await costsNothing(`byte ${at}`, (victim) => victim.drive.corrupt(path, at, 1 << random.below(8)))
  }
})

/** Every field of a segment that is a length or a number of things: where it stands, its width, and its frame. */
function* lengthFields(bytes: Uint8Array): Generator<{ at: number; width: 2 | 4; frame: number }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (const frame of framesOf(bytes).slice(0, -1)) {
    yield { at: frame + 4, width: 4, frame }
    yield { at: frame + 20, width: 4, frame }
    const end = frame + frameHeaderBytes + view.getUint32(frame + 4, true)
    for (let at = frame + frameHeaderBytes; at < end; ) {
      yield { at: at + 2, width: 2, frame }
      yield { at: at + 4, width: 4, frame }
      const expiry = (bytes[at]! & 2) === 0 ? 0 : 8
      at += 20 + expiry + view.getUint16(at + 2, true) + view.getUint32(at + 4, true)
    }
  }
}

/** Computes both checksums of a frame again, as far as its lengths leave something to compute them from. */
function mendChecksums(bytes: Uint8Array, frame: number, payloadBytes: number): void {
  const view = new DataView(bytes.buffer)
  const payload = frame + frameHeaderBytes
  view.setUint32(frame + 32, crc32(bytes, payload, payload + payloadBytes), true)
  view.setUint32(frame + 36, crc32(bytes, frame, frame + 36), true)
}

test('a length that lies stops the node and takes no memory, whatever the checksums say', async () => {
  await withFlatMemory(report, memoryMaxBytes, async () => {
    for (const path of sealed.segments) {
      const bytes = sealed.bytes(path)
      const view = new DataView(bytes.buffer)
      const [lastGroup, dataEnd] = framesOf(bytes).slice(-3)
      for (const { at, width, frame } of lengthFields(bytes)) {
        if (frame >= dataEnd! || (!longForm && random.chance(0.9))) continue
        const honest = width === 2 ? view.getUint16(at, true) : view.getUint32(at, true)
        const payloadBytes = view.getUint32(frame + 4, true)
        for (const value of lies(honest)) {
          for (const mended of [false, true]) {
            const bad = bytes.slice()
            if (width === 2) new DataView(bad.buffer).setUint16(at, value, true)
            else new DataView(bad.buffer).setUint32(at, value, true)
            if (mended) mendChecksums(bad, frame, payloadBytes)
            const outcome = await sealed.after((victim) => overwrite(victim, path, bad))
            const place = `${path}, byte ${at}: ${value} for ${honest}, checksums ${mended ? 'mended' : 'left'}`
            note('lengths', outcome)
            // No rot makes this: a header that checks, and takes the first byte of the only seal for its own.
            const hidesSeal = path === last && mended && at === lastGroup! + 4 && value === honest + 1
            expect(outcome, place).toMatchObject(hidesSeal ? { kind: 'cut', groups: 1 } : { kind: 'stop' })
          }
        }
      }
    }
  })
})
