import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Field } from './field.js'

/*
 * HTTP/2 (RFC 9113) frame by frame, for whoever breaks its rules: a library would keep them.
 */

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const flags = { none: 0, ack: 1, endStream: 1, endHeaders: 4 } as const

/** Of RFC 9113, section 7, in their order. */
const errorNames = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
]

const frameHeaderBytes = 9
export const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
/** What may wait unsent before whoever sends is asked to wait. */
const unsentBytesMax = 1_048_576
const nothing: Uint8Array = new Uint8Array(0)

/** `length`: what the frame says of its payload, where that is a lie. */
export function frame(
  type: number,
  flag: number,
  stream: number,
  payload: Uint8Array = nothing,
  length: number = payload.length,
): Buffer {
  const head = Buffer.alloc(frameHeaderBytes)
  head.writeUIntBE(length, 0, 3)
  head[3] = type
  head[4] = flag
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** One setting: a number for its name, and its value. */
export function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUInt16BE(id)
  bytes.writeUInt32BE(value, 2)
  return bytes
}

/** A string as HPACK has it, without Huffman's code (RFC 7541, section 5.2). */
export function hpackText(text: string): Buffer {
  const bytes = Buffer.from(text)
  const lengthBytes: number[] = []
  if (bytes.length < 127) lengthBytes.push(bytes.length)
  else {
    lengthBytes.push(127)
    let rest = bytes.length - 127
    for (; rest >= 128; rest >>>= 7) lengthBytes.push((rest & 0x7f) | 0x80)
    lengthBytes.push(rest)
  }
  return Buffer.concat([Buffer.from(lengthBytes), bytes])
}

/** A header that goes into no table. */
export function hpackHeader(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), hpackText(name), hpackText(value)])
}

/** The headers of a call, as a block that depends on none before it. */
export function callHeaders(path: string, ...more: readonly Buffer[]): Buffer {
  // Of the static table: `:method: POST`, `:scheme: http`, and the names of `:path` and `:authority`.
  const known = [Buffer.from([0x83, 0x86, 0x04]), hpackText(path), Buffer.from([0x01]), hpackText('flood')]
  const grpc = [hpackHeader('content-type', 'application/grpc'), hpackHeader('te', 'trailers')]
  return Buffer.concat([...known, ...grpc, ...more])
}

/** A message of gRPC with its prefix. `length`: what the prefix says, where that is a lie. */
export function grpcMessage(bytes: Uint8Array, compressed = 0, length: number = bytes.length): Buffer {
  const prefix = Buffer.alloc(5)
  prefix[0] = compressed
  prefix.writeUInt32BE(length, 1)
  return Buffer.concat([prefix, bytes])
}

/** A field of protobuf that holds bytes. */
export function protoBytes(field: number, bytes: Uint8Array): Buffer {
  const lengthBytes: number[] = []
  let rest = bytes.length
  for (; rest >= 128; rest >>>= 7) lengthBytes.push((rest & 0x7f) | 0x80)
  lengthBytes.push(rest)
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...lengthBytes]), bytes])
}

/** A GetRequest. */
export function getRequest(key: string): Buffer {
  return protoBytes(1, Buffer.from(key))
}

/** A SessionRequest with gets of one key, under ids from 1 on. */
export function sessionGets(key: string, count: number): Buffer {
  const get = protoBytes(3, getRequest(key))
  const operations = Array.from({ length: count }, (_, i) => {
    const id = i + 1
    const idBytes = id < 128 ? [id] : [(id & 0x7f) | 0x80, id >>> 7]
    return protoBytes(2, Buffer.concat([Buffer.from([0x08, ...idBytes]), get]))
  })
  return Buffer.concat(operations)
}

/**
 * A connection of somebody who need not keep any rule. It acknowledges settings and answers pings, so that it is not taken
 * for dead, and tells the field what it is told: GOAWAY, RST_STREAM, the end.
 */
export class RawHttp2 {
  readonly socket: Socket
  readonly closed: Promise<void>
  /** Resolves when it is closed, or has been told to go. */
  readonly ended: Promise<void>
  readonly #field: Field
  #gone = false
  #left = false
  #pending: Buffer = Buffer.alloc(0)
  #nextStream = -1
  #end: () => void = () => undefined
  #pong: () => void = () => undefined
  /** It has been told to go. */
  dismissed = false
  /** Whether it answers what it is sent. */
  answers = true

  constructor(field: Field, localAddress?: string) {
    this.#field = field
    this.socket = field.socket(field.order.grpcPort, localAddress)
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    this.closed = new Promise((resolve) =>
      this.socket.once('close', () => {
        this.#gone = true
        this.#end()
        if (!this.#left) field.tell('connection closed')
        resolve()
      }),
    )
    this.socket.on('data', (bytes: Buffer) => this.#read(bytes))
  }

  get gone(): boolean {
    return this.#gone
  }

  /** Closes it from here. */
  leave(): void {
    this.#left = true
    this.socket.destroy()
  }

  /** Begins as every client must, with these settings. */
  async begin(...settings: readonly Buffer[]): Promise<void> {
    // Who reads nothing shakes hands all the same.
    if (this.#field.order.tls) await this.#field.until(Promise.race([once(this.socket, 'secureConnect'), this.ended]))
    await this.send(Buffer.concat([Buffer.from(preface), frame(frameTypes.settings, 0, 0, Buffer.concat(settings))]))
  }

  /** The number of a stream that has not been used. */
  stream(): number {
    this.#nextStream += 2
    return this.#nextStream
  }

  /** Opens a call, and sends what follows in the same write. */
  async call(path: string, body: Uint8Array = nothing, end = true): Promise<number> {
    const id = this.stream()
    const headers = frame(frameTypes.headers, flags.endHeaders, id, callHeaders(path))
    const data = frame(frameTypes.data, end ? flags.endStream : 0, id, body)
    await this.send(Buffer.concat([headers, data]))
    return id
  }

  /** Resolves when everything that was sent has been looked at: a ping comes back. */
  async answered(): Promise<void> {
    if (this.#gone) return
    this.socket.write(frame(frameTypes.ping, 0, 0, Buffer.alloc(8)))
    await new Promise<void>((resolve) => {
      this.#pong = resolve
    })
  }

  /** Waits while too much waits to be sent, and no longer than the connection and the attack last. */
  async send(bytes: Uint8Array): Promise<void> {
    if (this.#gone || this.#field.over) return
    this.socket.write(bytes)
    if (this.socket.writableLength < unsentBytesMax) return
    await this.#field.until(Promise.race([once(this.socket, 'drain'), this.ended]))
  }

  #read(bytes: Buffer): void {
    let rest = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes])
    while (rest.length >= frameHeaderBytes) {
      const length = rest.readUIntBE(0, 3)
      if (rest.length < frameHeaderBytes + length) break
      this.#take(rest[3]!, rest[4]!, rest.subarray(frameHeaderBytes, frameHeaderBytes + length))
      rest = rest.subarray(frameHeaderBytes + length)
    }
    this.#pending = rest
  }

  #take(type: number, flag: number, payload: Buffer): void {
    if (type === frameTypes.goaway) {
      this.dismissed = true
      this.#end()
      this.#field.tell(`GOAWAY ${errorNames[payload.readUInt32BE(4)]}`)
    } else if (type === frameTypes.reset) this.#field.tell(`RST_STREAM ${errorNames[payload.readUInt32BE(0)]}`)
    else if (type === frameTypes.headers) this.#field.tell('answered')
    if (type === frameTypes.ping && (flag & flags.ack) !== 0) this.#pong()
    if (!this.answers || (flag & flags.ack) !== 0 || this.#gone) return
    if (type === frameTypes.settings) this.socket.write(frame(frameTypes.settings, flags.ack, 0))
    else if (type === frameTypes.ping) this.socket.write(frame(frameTypes.ping, flags.ack, 0, payload))
  }
}

/**
 * Sends `size` pieces over a few connections side by side, each of which is made anew when the node closes it, or says that it will. `send` sends
 * up to so many of them and returns how many.
 */
export async function overConnections(
  field: Field,
  connections: number,
  begin: (raw: RawHttp2) => Promise<void>,
  send: (raw: RawHttp2, most: number) => Promise<number>,
): Promise<void> {
  const { size } = field.order
  const lane = async (): Promise<void> => {
    while (field.sent < size && !field.over) {
      const raw = new RawHttp2(field)
      await begin(raw)
      while (!raw.gone && !raw.dismissed && field.sent < size && !field.over) {
        field.sent += await send(raw, size - field.sent)
        // As fast as the node takes it: all that was sent has been looked at when a ping behind it is answered.
        if (raw.socket.isPaused()) await field.turn()
        else await field.until(Promise.race([raw.ended, raw.answered()]))
      }
      raw.socket.resume()
      if (!raw.gone && !raw.dismissed) await field.until(Promise.race([raw.ended, raw.answered()]))
      raw.leave()
    }
  }
  await Promise.all(Array.from({ length: connections }, lane))
}
