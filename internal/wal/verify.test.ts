import { expect, test } from 'vitest'
import { SimWorld } from '../env-sim/index.js'
import { crc32 } from '../hash/index.js'
import { encodeRecords, isFloor, type StoredRecord } from '../record/index.js'
import { clusterId, incarnation, names, put } from './fixture.conformance.js'
import { encodeFrameHeader, type FrameKind, frameHeaderBytes } from './frame.js'
import { encodeSegmentHeader, type LogSurvey, segmentPath, surveyLog } from './index.js'
import { segmentTag } from './segment-header.js'
import { SequenceSet } from './verify-sequences.js'

function frame(sequence: number, records: readonly StoredRecord[], segment = 1, mark: FrameKind = 'seal'): Uint8Array {
  const payload = encodeRecords(records)
  const bytes = new Uint8Array(frameHeaderBytes + payload.length)
  bytes.set(payload, frameHeaderBytes)
  const tag = segmentTag({ clusterId, incarnation, number: segment })
  const header = { payloadBytes: payload.length, sequence, segmentTag: tag, records: records.length, unsynced: 0 }
  encodeFrameHeader({ ...header, kind: records.length === 0 ? mark : 'group', payloadCrc: crc32(payload) }, bytes, 0)
  return bytes
}

function segment(...frames: readonly Uint8Array[]): Uint8Array {
  const header = encodeSegmentHeader({ clusterId, incarnation, number: 1, firstSequence: 1, previousCrc: 0 })
  return Buffer.concat([header, ...frames, new Uint8Array(5_000)])
}

/** Surveys a log of these segments; also which keys were handed on. */
async function surveyed(...segments: readonly Uint8Array[]): Promise<{ survey: LogSurvey; keys: string[] }> {
  const world = new SimWorld({ seed: 'survey' })
  const { disk } = world.process('node')
  const keys: string[] = []
  const survey = await world.settle(
    (async () => {
      await disk.makeDirectory('log')
      for (const [i, bytes] of segments.entries()) {
        const file = await disk.open(segmentPath(i + 1), 'create')
        await file.write(bytes, 0)
        await file.close()
      }
      return await surveyLog(disk, { clusterId, incarnation }, (entries) =>
        keys.push(...names(entries.filter((entry): entry is StoredRecord => !isFloor(entry)))),
      )
    })(),
  )
  return { survey, keys }
}

const a = frame(1, [put('a', 1)])
const z = frame(9, [put('z', 9)])

/** A frame in whose value stands part of another log that has just the sequences which are missing here. */
function withForgery(forged: readonly Uint8Array[], rest = 300): Uint8Array {
  return frame(2, [
    put('copy', 2, Buffer.concat([new Uint8Array(200).fill(7), ...forged, new Uint8Array(rest).fill(7)])),
  ])
}

test('a log in the value of a damaged frame does not become data, however much of its frame is damaged', async () => {
  const forgery = [frame(3, [put('forged', 99)]), frame(4, [put('forged', 100)]), frame(5, [])]
  for (const rest of [300, 0]) {
    const carrier = withForgery(forgery, rest)
    for (const reach of [30, 120]) {
      const damaged = carrier.slice()
      damaged.fill(0, 10, reach) // the header, and then records too
      const { survey, keys } = await surveyed(segment(a, damaged, frame(3, [put('c', 3)]), frame(4, [])))
      expect(keys, `rest ${rest}, damage up to ${reach}`).toEqual(['a@1', 'c@3'])
      expect(survey.sound.gaps(1, survey.lastSequence)).toEqual([{ first: 2, last: 2 }])
      expect(survey.faults).toHaveLength(1)
    }
  }
})

test('an unbroken chain to the end is found behind a hole of several frames', async () => {
  const hole = new Uint8Array(900).fill(0xf1)
  const { survey, keys } = await surveyed(segment(a, hole, frame(7, [put('g', 7)]), frame(8, [put('h', 8)]), z))
  expect(keys).toEqual(['a@1', 'g@7', 'h@8', 'z@9'])
  expect(survey.sound.gaps(1, survey.lastSequence)).toEqual([{ first: 2, last: 6 }])
  expect(survey.nextSequence).toBe(10)
})

test('where the end of the log cannot be read, nobody claims to know where it was', async () => {
  expect((await surveyed(segment(a, frame(2, [])))).survey.openEnd).toBe(false)
  const hole = new Uint8Array(200).fill(7)
  // The mark proves that something was in the hole, and that another segment was behind it.
  expect((await surveyed(segment(a, hole, frame(7, [], 1, 'end')))).survey.openEnd).toBe(true)
  expect((await surveyed(segment(a, frame(2, [], 1, 'end')))).survey.openEnd).toBe(true)
  const whole = await surveyed(segment(a, frame(2, [], 1, 'end')), new Uint8Array(4_096))
  expect(whole.survey.openEnd).toBe(true)
  expect(whole.survey.faults).toMatchObject([{ path: segmentPath(2), offset: 0, kind: 'damaged' }])
})

test('a segment that does not continue the one before is found, though each is whole', async () => {
  const header = { clusterId, incarnation, number: 2, firstSequence: 2, previousCrc: 77 }
  const second = Buffer.concat([encodeSegmentHeader(header), frame(2, [put('b', 2)], 2)])
  const { survey, keys } = await surveyed(segment(a, frame(2, [], 1, 'end')), second)
  expect(keys).toEqual(['a@1', 'b@2'])
  expect(survey.faults).toMatchObject([{ path: segmentPath(2), offset: 56, found: '77' }])
})

test('what a former life of a recycled file left behind is neither data nor damage', async () => {
  const { survey, keys } = await surveyed(segment(a, frame(2, [put('old', 2)], 7), frame(3, [], 7)))
  expect(keys).toEqual(['a@1'])
  expect(survey.faults).toEqual([])
  expect(survey.segments[0]!.tornAt).toBeUndefined()
})

test('a file that was made ready as a segment is no damage, and what it held before is not data', async () => {
  const { survey, keys } = await surveyed(segment(a), Buffer.concat([new Uint8Array(512), a, frame(2, [put('b', 2)])]))
  expect(keys).toEqual(['a@1'])
  expect(survey).toMatchObject({ faults: [], unbegun: segmentPath(2), lastNumber: 2, nextSequence: 2, openEnd: false })
  expect(survey.segments).toHaveLength(1)
})

test('gaps are what was never added, in whatever order the rest came', () => {
  const set = new SequenceSet()
  for (const sequence of [5, 6, 7, 1, 2, 7, 11]) set.add(sequence)
  expect(set.last).toBe(11)
  expect(set.gaps(1, 13)).toEqual([
    { first: 3, last: 4 },
    { first: 8, last: 10 },
    { first: 12, last: 13 },
  ])
  expect(set.gaps(6, 7)).toEqual([])
  expect(set.gaps(7, 8)).toEqual([{ first: 8, last: 8 }])
  expect(new SequenceSet().gaps(1, 2)).toEqual([{ first: 1, last: 2 }])
})
