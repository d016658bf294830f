import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Attack } from './attack.js'
import type { Field } from './field.js'
import { frame, frameTypes, preface } from './wire.js'

const addresses = ['127.0.0.2', '127.0.0.3', '127.0.0.4']
/** Of one connection: its state in Node and nghttp2, and the system's buffers count as well. */
const connectionBytes = 65_536
/** Connections that are being made at a time. */
const atOnce = 50

/** What an attacker says on a connection, and how. */
interface Habit {
  /** At once. */
  readonly opening: Uint8Array | string
  /** Where TLS is spoken, in place of that, and of the handshake: so much of it, and no more. */
  readonly halfHandshake?: Uint8Array
  /** Every second, so many bytes. Undefined: nothing. */
  readonly trickle?: string
}

/** Opens connections from a few addresses, says something on each, and stays. */
async function crowd(field: Field, port: number, { opening, trickle, halfHandshake }: Habit): Promise<void> {
  const sockets: Socket[] = []
  const { size, tls } = field.order
  const bare = tls ? halfHandshake : undefined
  const first = bare ?? opening
  const ends: Promise<unknown>[] = []
  const one = async (): Promise<void> => {
    const socket = field.socket(port, addresses[field.sent++ % addresses.length]!, bare !== undefined)
    sockets.push(socket)
    const closed = new Promise((resolve) =>
      socket.once('close', () => {
        field.tell('connection closed')
        resolve(undefined)
      }),
    )
    ends.push(closed)
    socket.on('data', (bytes: Buffer) => {
      const status = /^HTTP\/1\.1 (\d+)/.exec(bytes.toString('latin1', 0, 15))?.[1]
      if (status !== undefined) field.tell(`HTTP ${status}`)
    })
    await field.until(Promise.race([once(socket, bare === undefined ? field.connected : 'connect'), closed]))
    if (first.length > 0 && !socket.destroyed) socket.write(first)
  }
  while (field.sent < size && !field.over) {
    await Promise.all(Array.from({ length: Math.min(atOnce, size - field.sent) }, one))
  }
  const trickling = setInterval(() => {
    if (trickle === undefined) return
    for (const socket of sockets) if (socket.writable) socket.write(trickle)
  }, 1_000)
  await field.hold(Promise.all(ends))
  clearInterval(trickling)
}

/** That 512 bytes of a handshake follow, and the first of them: a ClientHello. */
const clientHelloHead = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc])

const request = (head: string): string => `${head} HTTP/1.1\r\nHost: localhost\r\n`

function crowdOf(
  name: string,
  size: Attack['size'],
  port: 'grpcPort' | 'httpPort',
  habit: Habit,
  longHoldMs: number,
): Attack {
  return {
    name,
    size,
    holdMs: { short: 100, long: longHoldMs },
    mayHoldBytes: (count) => count * connectionBytes,
    run: (field) => crowd(field, field.order[port], habit),
  }
}

/** Crowds of connections on which little or nothing happens. */
export const connectionFloods: readonly Attack[] = [
  crowdOf(
    'idle-grpc',
    { short: 400, long: 2_000 },
    'grpcPort',
    { opening: Buffer.concat([Buffer.from(preface), frame(frameTypes.settings, 0, 0)]) },
    10_000,
  ),
  crowdOf('idle-http', { short: 300, long: 1_100 }, 'httpPort', { opening: '' }, 15_000),
  crowdOf(
    'half-prefaces',
    { short: 200, long: 2_000 },
    'grpcPort',
    { opening: 'PRI * HTTP/2', halfHandshake: clientHelloHead },
    45_000,
  ),
  crowdOf(
    'slow-headers',
    { short: 200, long: 900 },
    'httpPort',
    { opening: request('GET /kv/nobody'), trickle: 'x' },
    15_000,
  ),
  crowdOf(
    'slow-bodies',
    { short: 200, long: 900 },
    'httpPort',
    { opening: `${request('PUT /kv/flood-slow')}Content-Length: 1000000\r\n\r\n`, trickle: 'x' },
    40_000,
  ),
]
