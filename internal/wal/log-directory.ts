import { type Disk, type DiskFile, readFully } from '../env/index.js'
import { corruption } from './corruption.js'
import { createDurably } from './durable.js'
import type { WalOptions } from './options.js'
import { type DecodedSegmentHeader, decodeSegmentHeader, segmentHeaderBytes } from './segment-header.js'

export const logDirectory = 'log'
const nextSegmentPath = `${logDirectory}/next.tmp`

/** A segment that is not being written any more. */
export interface ClosedSegment {
  readonly number: number
  readonly firstSequence: number
  /** Up to the end of its last frame. */
  readonly bytes: number
}

export function segmentPath(number: number): string {
  return `${logDirectory}/${String(number).padStart(10, '0')}.log`
}

function numberOfName(name: string): number | undefined {
  const match = /^(\d{10,})\.log$/.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** Creates the file of a new segment and opens it for writing. */
export async function createSegmentFile(
  disk: Disk,
  number: number,
  fill: (file: DiskFile) => Promise<void>,
): Promise<DiskFile> {
  const path = segmentPath(number)
  await createDurably(disk, nextSegmentPath, path, fill)
  // Opened anew, so that errors name the file as people find it.
  return disk.open(path, 'write')
}

async function readHeader(options: WalOptions, number: number): Promise<DecodedSegmentHeader> {
  const path = segmentPath(number)
  const bytes = new Uint8Array(segmentHeaderBytes)
  const file = await options.disk.open(path, 'read')
  let header: DecodedSegmentHeader | string
  try {
    const got = await readFully(file, bytes, 0)
    header = decodeSegmentHeader(bytes.subarray(0, got))
  } finally {
    await file.close()
  }
  if (typeof header === 'string') {
    throw corruption({ path, offset: 0, expected: `the header of log segment ${number}`, found: header })
  }
  if (header.number !== number) {
    const found = `segment ${header.number}`
    throw corruption({ path, offset: 12, expected: `segment ${number}, as in the file's name`, found })
  }
  if (header.clusterId !== options.clusterId) {
    throw corruption({
      path,
      offset: 16,
      expected: `cluster ${options.clusterId}`,
      found: `cluster ${header.clusterId}`,
    })
  }
  if (header.incarnation !== options.incarnation) {
    const found = `incarnation ${header.incarnation}`
    throw corruption({ path, offset: 32, expected: `incarnation ${options.incarnation}`, found })
  }
  return header
}

/**
 * The headers of all segments, in order, checked against each other as far as headers allow: whose they are, no gap
 * in the numbers, sequences that rise. Removes what a crash left half made. Throws FatalError `corrupt`.
 */
export async function listSegments(options: WalOptions): Promise<DecodedSegmentHeader[]> {
  const { disk, log } = options
  const headers: DecodedSegmentHeader[] = []
  for (const name of await disk.list(logDirectory)) {
    const number = numberOfName(name)
    if (number !== undefined) headers.push(await readHeader(options, number))
    else if (name.endsWith('.tmp')) await disk.remove(`${logDirectory}/${name}`)
    else log.warn('unknown file in the log directory, left alone', { name })
  }
  headers.sort((a, b) => a.number - b.number)
  for (let i = 1; i < headers.length; i++) {
    const [previous, next] = [headers[i - 1]!, headers[i]!]
    const path = segmentPath(next.number)
    if (next.number !== previous.number + 1) {
      const expected = `segment ${previous.number + 1} behind segment ${previous.number}`
      throw corruption({ path, offset: 12, expected, found: `segment ${next.number}: segments between are missing` })
    }
    if (next.firstSequence < previous.firstSequence) {
      const expected = `a first sequence of at least ${previous.firstSequence}`
      throw corruption({ path, offset: 48, expected, found: `${next.firstSequence}` })
    }
  }
  return headers
}
