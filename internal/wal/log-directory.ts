import type { ClusterId, Incarnation } from '../base/index.js'
import { type Disk, type DiskFile, readFully } from '../env/index.js'
import { corruption, type Damage } from './corruption.js'
import { refuseNewerFormat } from './newer-format.js'
import type { WalOptions } from './options.js'
import { type DecodedSegmentHeader, decodeSegmentHeader, segmentHeaderBytes, segmentLayout } from './segment-header.js'

export const logDirectory = 'log'
/** A segment on its way; removed at start. */
export const nextSegmentPath = 'log/next.tmp'

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

/** `number`: of the segment that the spare was last, or was made ready for. */
export function sparePath(number: number): string {
  return `${logDirectory}/${String(number).padStart(10, '0')}.spare`
}

/** What the name of a file in the log's directory says; undefined: it is neither a segment nor a spare. */
export function parseLogName(
  name: string,
): { readonly kind: 'segment' | 'spare'; readonly number: number } | undefined {
  const match = /^(\d{10,})\.(log|spare)$/.exec(name)
  return match === null ? undefined : { kind: match[2] === 'log' ? 'segment' : 'spare', number: Number(match[1]) }
}

/** The highest file with a segment's name, where its header does not check: whether it has begun is yet to be seen. */
export interface Unbegun {
  readonly number: number
  /** What stands where its header should. */
  readonly found: string
}

/** What the log's directory holds. */
export interface LogDirectory {
  /** In order. */
  readonly segments: readonly DecodedSegmentHeader[]
  readonly unbegun: Unbegun | undefined
  /** Numbers of the spares. */
  readonly spares: readonly number[]
}

/** Where segments are read from, and whose they must be. */
export interface SegmentSource {
  readonly clusterId: ClusterId
  readonly incarnation: Incarnation
  readonly disk: Pick<Disk, 'open'>
}

async function readHeaderBytes(file: DiskFile): Promise<Uint8Array> {
  const bytes = new Uint8Array(segmentHeaderBytes)
  const got = await readFully(file, bytes, 0)
  return bytes.subarray(0, got)
}

/** The header at the start of a file, or what stands there. */
export async function readSegmentHeader(file: DiskFile): Promise<DecodedSegmentHeader | string> {
  return decodeSegmentHeader(await readHeaderBytes(file))
}

/** The damage that a segment without a header is, unless it has not begun. */
export function headerDamage({ number, found }: Unbegun): Damage {
  return { path: segmentPath(number), offset: 0, expected: `the header of log segment ${number}`, found }
}

/** The header of a segment, which is of this log; or what stands there. Throws where it is of another one. */
export async function readHeader(options: SegmentSource, number: number): Promise<DecodedSegmentHeader | Unbegun> {
  const path = segmentPath(number)
  const file = await options.disk.open(path, 'read')
  let found: Uint8Array
  try {
    found = await readHeaderBytes(file)
  } finally {
    await file.close()
  }
  refuseNewerFormat(path, found, segmentLayout)
  const header = decodeSegmentHeader(found)
  if (typeof header === 'string') return { number, found: header }
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
export async function readLogDirectory(options: WalOptions): Promise<LogDirectory> {
  const { disk, log } = options
  const numbers: number[] = []
  const spares: number[] = []
  for (const name of await disk.list(logDirectory)) {
    const parsed = parseLogName(name)
    if (parsed?.kind === 'segment') numbers.push(parsed.number)
    else if (parsed?.kind === 'spare') spares.push(parsed.number)
    else if (name.endsWith('.tmp')) await disk.remove(`${logDirectory}/${name}`)
    else log.warn('unknown file in the log directory, left alone', { name })
  }
  numbers.sort((a, b) => a - b)
  spares.sort((a, b) => a - b)
  const segments: DecodedSegmentHeader[] = []
  for (const [i, number] of numbers.entries()) {
    const header = await readHeader(options, number)
    if (!('found' in header)) {
      segments.push(header)
      continue
    }
    const isBehindAnother = i === numbers.length - 1 && segments.at(-1)?.number === number - 1
    if (!isBehindAnother) throw corruption(headerDamage(header))
    checkOrder(segments)
    return { segments, unbegun: header, spares }
  }
  checkOrder(segments)
  return { segments, unbegun: undefined, spares }
}

function checkOrder(headers: readonly DecodedSegmentHeader[]): void {
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
}
