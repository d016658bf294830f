import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'

const { HTTP2_HEADER_PATH: path, HTTP2_HEADER_METHOD: method } = constants

/** A message as gRPC frames it. */
export function framed(message: Uint8Array, compressed: number = 0): Buffer {
  const prefix = Buffer.alloc(5, compressed)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

/** A message that says that it has `length` bytes, and of which only `sent` come. */
export function begun(length: number, sent: number): Buffer {
  return framed(Buffer.alloc(length)).subarray(0, 5 + sent)
}

/** A client that speaks HTTP/2 by itself, and so may break every rule of gRPC. */
export class RawHttp2 implements Disposable {
  readonly session: ClientHttp2Session
  closed = false

  /** `localAddress`: where it seems to come from. */
  constructor(address: string, localAddress: string = '127.0.0.1') {
    const [host, port] = address.split(':')
    const createConnection = (): Socket => connectTcp({ host, port: Number(port), localAddress })
    this.session = connect(`http://${address}`, { createConnection })
    this.session.on('error', () => undefined)
    this.session.on('close', () => {
      this.closed = true
    })
  }

  call(name: string, more: Record<string, string> = {}): ClientHttp2Stream {
    const headers = {
      [path]: `/kv.v1.Kv/${name}`,
      [method]: 'POST',
      'content-type': 'application/grpc',
      te: 'trailers',
    }
    const stream = this.session.request({ ...headers, ...more })
    stream.on('error', () => undefined)
    return stream
  }

  [Symbol.dispose](): void {
    this.session.destroy()
  }
}

/**
 * What a call ends with: the status of gRPC, or the code with which its stream was reset. It is told when Node has read what the
 * connection had: to close another call before that would fill the memory (see `GuardedStream.cut`).
 */
export async function endOf(stream: ClientHttp2Stream): Promise<{ status?: number; reset?: number }> {
  let told: number | undefined
  const see = (headers: Record<string, unknown>): void => {
    if (headers['grpc-status'] === undefined) return
    told = Number(headers['grpc-status'])
    // A caller that is told so in the middle of its message has nothing more to say.
    setImmediate(() => stream.close())
  }
  stream.on('response', see).on('trailers', see).resume()
  // Not by `once`, which would fail with the error that a reset is.
  await new Promise((resolve) => stream.once('close', () => setImmediate(resolve)))
  return told === undefined ? { reset: stream.rstCode ?? 0 } : { status: told }
}

function frame(type: number, flags: number, id: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(id, 5)
  return Buffer.concat([header, payload])
}

/** A connection of which every byte is the test's own. */
export class RawFrames implements Disposable {
  readonly socket: Socket
  closed = false

  /** `localAddress`: where it seems to come from. */
  constructor(address: string, localAddress: string = '127.0.0.1') {
    const [host, port] = address.split(':')
    this.socket = connectTcp({ host, port: Number(port), localAddress })
    this.socket.on('error', () => undefined).resume()
    this.socket.on('close', () => {
      this.closed = true
    })
    this.socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0, Buffer.alloc(0))]))
  }

  /** Begins a call of `/kv.v1.Kv/<name>`. */
  call(id: number, name: string): void {
    const headers = {
      ':method': 'POST',
      ':scheme': 'http',
      ':path': `/kv.v1.Kv/${name}`,
      ':authority': 'test',
      'content-type': 'application/grpc',
      te: 'trailers',
    }
    // HPACK: literals that are not indexed, all of them short.
    const block = Object.entries(headers).flatMap((header) => [
      0,
      ...header.flatMap((text) => [text.length, ...Buffer.from(text)]),
    ])
    this.socket.write(frame(1, 4, id, Buffer.from(block)))
  }

  data(id: number, bytes: Uint8Array, ends: boolean = false): void {
    this.socket.write(frame(0, ends ? 1 : 0, id, bytes))
  }

  /** Allows so many more bytes to come, on one call, or with 0 on all of them together. */
  allow(id: number, bytes: number): void {
    const payload = Buffer.alloc(4)
    payload.writeUInt32BE(bytes)
    this.socket.write(frame(8, 0, id, payload))
  }

  /** A frame that is longer than any may be. */
  breakProtocol(): void {
    this.socket.write(frame(0, 0, 1, Buffer.alloc(16_385)))
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}
