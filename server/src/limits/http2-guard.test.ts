import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { gzipSync } from 'node:zlib'
import { status } from '@grpc/grpc-js'
import { limits } from '@quorumkv/internal/base'
import { Consistency, GetRequest, PutRequest, SessionRequest } from '@quorumkv/proto/kv/v1/kv'
import { describe, expect, it } from 'vitest'
import { FakeNode } from '../fake-node.test-support.js'
import { eventually, openAccess, startServices, type TestServices } from '../services.test-support.js'

const { HTTP2_HEADER_PATH: path, HTTP2_HEADER_METHOD: method } = constants

/** A message as gRPC frames it. */
function framed(message: Uint8Array, compressed = 0): Buffer {
  const prefix = Buffer.alloc(5, compressed)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

/** A client that speaks HTTP/2 by itself, and so may break every rule of gRPC. */
class Raw implements Disposable {
  readonly session: ClientHttp2Session
  closed = false

  constructor(address: string) {
    this.session = connect(`http://${address}`)
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

/** What a call ends with: the status of gRPC, or the code with which its stream was reset. */
async function endOf(stream: ClientHttp2Stream): Promise<{ status?: number; reset?: number }> {
  let told: number | undefined
  const see = (headers: Record<string, unknown>): void => {
    if (headers['grpc-status'] === undefined) return
    told = Number(headers['grpc-status'])
    // A caller that is told so in the middle of its message has nothing more to say.
    stream.close()
  }
  stream.on('response', see).on('trailers', see).resume()
  // Not by `once`, which would fail with the error that a reset is.
  await new Promise((resolve) => stream.once('close', resolve))
  return told === undefined ? { reset: stream.rstCode ?? 0 } : { status: told }
}

const getRequest = framed(GetRequest.encode({ key: Buffer.from('k'), consistency: 0 }).finish())

function startTuned(tuning: Parameters<typeof startServices>[2], node = new FakeNode()): Promise<TestServices> {
  return startServices(node, () => openAccess, { checkMs: 10, ...tuning })
}

describe('messages', () => {
  it('that are compressed are refused before anything of them is inflated, on each kind of call', async () => {
    await using services = await startTuned({})
    using raw = new Raw(services.address)
    const bomb = framed(gzipSync(Buffer.alloc(4_000_000)), 1)
    for (const name of ['Get', 'Scan', 'Session']) {
      for (const encoding of ['gzip', 'deflate', 'br', '']) {
        const stream = raw.call(name, { 'grpc-encoding': encoding })
        stream.end(bomb)
        expect([name, encoding, await endOf(stream)]).toEqual([name, encoding, { status: status.UNIMPLEMENTED }])
      }
    }
    const plain = raw.call('Get', { 'grpc-encoding': 'identity' })
    plain.end(getRequest)
    expect(await endOf(plain)).toEqual({ status: status.OK })
    expect(services.host.guard.receivedBytes).toBe(0)
  })

  it('are taken up to the limit of one, and refused by their length beyond it before they have come', async () => {
    await using services = await startTuned({})
    using raw = new Raw(services.address)
    const sizeMax = limits.messageBytesMax + 65_536
    for (const [size, ends] of [
      [sizeMax, status.INVALID_ARGUMENT],
      [sizeMax + 1, status.RESOURCE_EXHAUSTED],
      [0xff_ff_ff_ff, status.RESOURCE_EXHAUSTED],
    ] as const) {
      const put = raw.call('Put')
      const head = Buffer.from(
        PutRequest.encode({
          key: Buffer.from('k'),
          value: Buffer.alloc(0),
          consistency: 0,
          returnPrevious: false,
        }).finish(),
      )
      const prefix = Buffer.alloc(5)
      prefix.writeUInt32BE(size, 1)
      put.write(prefix)
      if (size === sizeMax) {
        // Field 2, the value, fills what is left.
        const length = size - head.length - 5
        const tag = Buffer.from([
          0x12,
          (length & 0x7f) | 0x80,
          ((length >> 7) & 0x7f) | 0x80,
          ((length >> 14) & 0x7f) | 0x80,
          length >> 21,
        ])
        put.end(Buffer.concat([head, tag, Buffer.alloc(length)]))
      }
      expect([size, await endOf(put)]).toEqual([size, { status: ends }])
    }
  })

  it('of a session that are complete hold nothing, however they are cut into pieces', async () => {
    await using services = await startTuned({})
    using raw = new Raw(services.address)
    const session = raw.call('Session')
    session.resume()
    const empty = framed(SessionRequest.encode({ observedHlc: 0n, operations: [], cancelled: [] }).finish())
    const some = framed(SessionRequest.encode({ observedHlc: 0n, operations: [], cancelled: [1, 2, 300] }).finish())
    const bytes = Buffer.concat([empty, some, some, empty, some])
    for (let at = 0; at < bytes.length; at += 3) {
      session.write(bytes.subarray(at, at + 3))
      await new Promise((resolve) => setImmediate(resolve))
    }
    session.write(some.subarray(0, 7))
    await eventually('the part has come', () => services.host.guard.receivedBytes === 7)
    session.write(some.subarray(7))
    await eventually('the rest has come', () => services.host.guard.receivedBytes === 0)
  })
})

describe('headers', () => {
  /** As HTTP/2 counts them: name, value and 32 bytes for each. */
  async function callWith(services: TestServices, bytes: number): Promise<{ status?: number; reset?: number }> {
    using raw = new Raw(services.address)
    const fixed: Record<string, string> = {
      ':method': 'POST',
      ':path': '/kv.v1.Kv/Get',
      ':scheme': 'http',
      ':authority': services.address,
      'content-type': 'application/grpc',
      te: 'trailers',
    }
    const counted = Object.entries(fixed).reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0)
    const padding = bytes - counted - 'padding'.length - 32
    const stream = raw.call('Get', { padding: 'x'.repeat(padding) })
    stream.end(getRequest)
    return await endOf(stream)
  }

  it('are taken up to the limit, and a call with one byte more is refused', async () => {
    await using services = await startTuned({})
    expect(await callWith(services, limits.callHeaderBytesMax)).toEqual({ status: status.OK })
    expect(await callWith(services, limits.callHeaderBytesMax + 1)).toEqual({ status: status.RESOURCE_EXHAUSTED })
  })
})

describe('calls', () => {
  it('of one connection run up to the limit, and one more is refused', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startTuned({}, node)
    using raw = new Raw(services.address)
    await once(raw.session, 'remoteSettings')
    expect(raw.session.remoteSettings.maxConcurrentStreams).toBe(limits.connectionStreamsMax)
    for (let i = 0; i < limits.connectionStreamsMax; i++) raw.call('Get').end(getRequest)
    await eventually('they run', () => node.held?.length === limits.connectionStreamsMax)
    // The client of Node does as it is told, and waits with the next.
    raw.call('Get').end(getRequest)
    await new Promise((resolve) => raw.session.ping(() => resolve(undefined)))
    expect(node.held).toHaveLength(limits.connectionStreamsMax)
    node.held[0]!.release()
    await eventually('the next runs', () => node.held?.length === limits.connectionStreamsMax + 1)
  })
})

describe('a reader', () => {
  it('that takes nothing is cut off, and what waited for it is let go', async () => {
    const node = new FakeNode()
    await using services = await startTuned({ readerStallMs: 200 }, node)
    await new Promise((resolve, reject) => {
      const request = {
        key: Buffer.from('k'),
        value: Buffer.alloc(1_000_000),
        consistency: Consistency.QUORUM,
        returnPrevious: false,
      }
      services.kv.put(request, (error) => (error === null ? resolve(undefined) : reject(error)))
    })
    using raw = new Raw(services.address)
    const deaf = raw.call('Get')
    deaf.end(getRequest)
    await eventually('it is cut off', () => services.host.guard.peers.cut === 1)
    await eventually('it knows', () => deaf.closed)
    expect(deaf.rstCode).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    const reads = raw.call('Get')
    reads.end(getRequest)
    expect(await endOf(reads)).toEqual({ status: status.OK })
    expect(services.lines).toMatchObject([{ message: 'a call was cut off' }])
  })
})

describe('connections', () => {
  it('that are idle make room for new ones, the longest idle first; those with calls stay', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startTuned({ connectionsMax: 3 }, node)
    using busy = new Raw(services.address)
    const runs = busy.call('Get')
    runs.end(getRequest)
    await eventually('it runs', () => node.held?.length === 1)
    using older = new Raw(services.address)
    await once(older.session, 'remoteSettings')
    using newer = new Raw(services.address)
    await once(newer.session, 'remoteSettings')
    using another = new Raw(services.address)
    another.call('Get').end(getRequest)
    await eventually('the new one is served', () => node.held?.length === 2)
    await eventually('the oldest made room', () => older.closed)
    newer.call('Get').end(getRequest)
    await eventually('the newer still stands', () => node.held?.length === 3)
    using tooMany = new Raw(services.address)
    await eventually('nobody is idle now, and so it is refused', () => tooMany.closed)
    expect([busy.closed, newer.closed, another.closed, services.host.guard.gate.refused]).toEqual([
      false,
      false,
      false,
      1,
    ])
  })

  it('that never say what they want hold a place only until another wants it', async () => {
    await using services = await startTuned({ connectionsMax: 1 })
    const half = connectTcp(Number(services.address.split(':')[1]), '127.0.0.1')
    half.on('error', () => undefined).write('PRI * HTTP/2')
    await once(half, 'connect')
    await eventually('it is there', () => services.host.guard.gate.open === 1)
    using raw = new Raw(services.address)
    const get = raw.call('Get')
    get.end(getRequest)
    expect(await endOf(get)).toEqual({ status: status.OK })
    half.destroy()
  })
})
