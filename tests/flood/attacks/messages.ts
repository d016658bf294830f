import { once } from 'node:events'
import type { ClientHttp2Stream } from 'node:http2'
import { gzipSync } from 'node:zlib'
import type { Attack } from './attack.js'
import { Calls, callAll } from './calls.js'
import type { Field } from './field.js'
import { grpcMessage } from './wire.js'

const mib = 1_048_576
const lanes = { connections: 4, inFlight: 8 }
const paths = ['/kv.v1.Kv/Get', '/kv.v1.Kv/Put', '/kv.v1.Kv/Session', '/kv.v1.Kv/Scan']
const pathOf = (i: number): string => paths[i % paths.length]!

/** 4 KiB that become 4 MiB, again and again. */
const bombText = gzipSync(Buffer.alloc(4 * mib))

/** As much of one message as may come: 4 MiB and 64 KiB around it, but for its last byte. */
const almost = Buffer.alloc(4 * mib - 1)
const unfinishedEach = 4

/** Begins a message in each of so many calls, on connections with a few of them each, and ends none. */
async function unfinished(field: Field, path: string): Promise<void> {
  const { size } = field.order
  const ends: Promise<unknown>[] = []
  while (field.sent < size && !field.over) {
    const calls = new Calls(field)
    const streams: ClientHttp2Stream[] = []
    for (let i = 0; i < unfinishedEach && field.sent < size; i++, field.sent++) streams.push(calls.begin(path))
    const message = grpcMessage(almost, 0, 4 * mib)
    const taken = streams.map(async (stream) => {
      stream.resume()
      const closed = once(stream, 'close')
      ends.push(closed)
      await Promise.race([new Promise((resolve) => stream.write(message, resolve)), closed])
    })
    await field.until(Promise.all(taken))
  }
  await field.hold(Promise.allSettled(ends))
}

/** Begins a message in each of so many calls, and goes on with it byte by byte. */
async function trickle(field: Field): Promise<void> {
  const { size } = field.order
  const message = grpcMessage(Buffer.alloc(1_000), 0, mib)
  const streams: ClientHttp2Stream[] = []
  const calls = Array.from({ length: 10 }, () => new Calls(field))
  for (; field.sent < size; field.sent++) {
    const stream = calls[field.sent % calls.length]!.begin(pathOf(field.sent))
    stream.resume()
    stream.write(message.subarray(0, 6))
    streams.push(stream)
  }
  const ends = Promise.allSettled(streams.map((stream) => once(stream, 'close')))
  const trickling = setInterval(() => {
    for (const stream of streams) if (!stream.closed && !stream.destroyed) stream.write('x')
  }, 1_000)
  await field.hold(ends)
  clearInterval(trickling)
}

/** What is sent as a message of gRPC and is none, or is too much. */
export const messageFloods: readonly Attack[] = [
  {
    name: 'gzip-bombs',
    size: { short: 200, long: 20_000 },
    mayHoldBytes: () => 0,
    run: (field) =>
      callAll(field, lanes, (calls, i) =>
        calls.whole(pathOf(i), grpcMessage(bombText, 1), { 'grpc-encoding': i % 2 === 0 ? 'gzip' : 'deflate' }),
      ),
  },
  {
    // Nothing says how it is compressed.
    name: 'gzip-bombs-unnamed',
    size: { short: 200, long: 20_000 },
    mayHoldBytes: () => 0,
    run: (field) => callAll(field, lanes, (calls, i) => calls.whole(pathOf(i), grpcMessage(bombText, 1))),
  },
  {
    name: 'giant-lengths',
    size: { short: 200, long: 20_000 },
    mayHoldBytes: () => 0,
    run: (field) =>
      callAll(field, lanes, (calls, i) => calls.whole(pathOf(i), grpcMessage(Buffer.alloc(100), 0, 0xff_ff_ff_ff))),
  },
  {
    name: 'unfinished-session-messages',
    size: { short: 16, long: 100 },
    holdMs: { short: 100, long: 45_000 },
    // `receivedBytesMax`, and what is in the sockets' and HTTP/2's own buffers; parts are joined when a message is whole.
    mayHoldBytes: (size) => Math.min(256, 4 * size) * mib * 1.5,
    run: (field) => unfinished(field, '/kv.v1.Kv/Session'),
  },
  {
    name: 'unfinished-puts',
    size: { short: 16, long: 100 },
    holdMs: { short: 100, long: 45_000 },
    mayHoldBytes: (size) => Math.min(256, 4 * size) * mib * 1.5,
    run: (field) => unfinished(field, '/kv.v1.Kv/Put'),
  },
  {
    name: 'trickled-messages',
    size: { short: 100, long: 2_000 },
    holdMs: { short: 100, long: 45_000 },
    mayHoldBytes: (size) => size * 32_768,
    run: trickle,
  },
  {
    // Whole requests, that end before anything was said in them.
    name: 'empty-calls',
    size: { short: 500, long: 50_000 },
    mayHoldBytes: () => 0,
    run: (field) =>
      callAll(field, { connections: 4, inFlight: 32 }, (calls, i) => calls.whole(pathOf(i), Buffer.alloc(0))),
  },
]
