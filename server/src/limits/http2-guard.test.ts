import { once } from 'node:events'
import { constants } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { gzipSync } from 'node:zlib'
import { status } from '@grpc/grpc-js'
import { limits } from '@quorumkv/internal/base'
import { GetRequest, GetResponse, PutRequest, SessionRequest } from '@quorumkv/proto/kv/v1/kv'
import { describe, expect, it, vi } from 'vitest'
import { FakeNode } from '../calls/fake-node.test-support.js'
import { toGetResponse } from '../calls/messages.js'
import { eventually, openAccess, startServices, type TestServices } from '../calls/services.test-support.js'
import { begun, endOf, framed, RawFrames, RawHttp2 } from './raw-http2.test-support.js'

const getRequest = framed(GetRequest.encode({ key: Buffer.from('k'), consistency: 0 }).finish())

function startTuned(tuning: Parameters<typeof startServices>[2], node = new FakeNode()): Promise<TestServices> {
  return startServices(node, () => openAccess, { checkMs: 10, ...tuning })
}

describe('messages', () => {
  it('that are compressed are refused before anything of them is inflated, on each kind of call', async () => {
    await using services = await startTuned({})
    using raw = new RawHttp2(services.address)
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
    using raw = new RawHttp2(services.address)
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
    using raw = new RawHttp2(services.address)
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

describe('unfinished messages', () => {
  it('hold as many bytes as all may; with one more, the call is reset that has been at it for longest', async () => {
    await using services = await startTuned({ receivedBytesMax: 100_000 })
    using raw = new RawHttp2(services.address)
    const { guard } = services.host
    const oldest = raw.call('Put')
    oldest.write(begun(1_000_000, 39_995))
    await eventually('it has come', () => guard.receivedBytes === 40_000)
    const session = raw.call('Session')
    session.write(begun(1_000_000, 39_995))
    await eventually('it has come', () => guard.receivedBytes === 80_000)
    const put = raw.call('Put')
    put.write(begun(1_000_000, 19_995))
    await eventually('they hold all', () => guard.receivedBytes === 100_000)
    const get = raw.call('Get')
    get.end(getRequest.subarray(0, 0))
    await endOf(get)
    expect([oldest.closed, session.closed, put.closed, guard.peers.cut]).toEqual([false, false, false, 0])
    const reset = endOf(oldest)
    put.write(Buffer.alloc(1))
    expect(await reset).toEqual({ reset: constants.NGHTTP2_ENHANCE_YOUR_CALM })
    await eventually('what it held is let go', () => guard.receivedBytes === 60_001)
    expect([session.closed, put.closed, guard.peers.cut]).toEqual([false, false, 1])
    session.close(constants.NGHTTP2_CANCEL)
    await eventually('so is what its caller gives up', () => guard.receivedBytes === 20_001)
  })

  it('of the address that holds most make room, whoever has been at one for longest', async () => {
    await using services = await startTuned({ receivedBytesMax: 100_000 })
    using little = new RawHttp2(services.address, '127.0.0.2')
    using much = new RawHttp2(services.address, '127.0.0.3')
    const { guard } = services.host
    const oldest = little.call('Put')
    oldest.write(begun(1_000_000, 39_995))
    await eventually('it has come', () => guard.receivedBytes === 40_000)
    const [first, second] = [much.call('Put'), much.call('Session')]
    first.write(begun(1_000_000, 29_995))
    await eventually('it has come', () => guard.receivedBytes === 70_000)
    second.write(begun(1_000_000, 29_995))
    await eventually('they hold all', () => guard.receivedBytes === 100_000)
    expect(guard.peers.cut).toBe(0)
    const reset = endOf(first)
    oldest.write(Buffer.alloc(1))
    expect(await reset).toEqual({ reset: constants.NGHTTP2_ENHANCE_YOUR_CALM })
    await eventually('what it held is let go', () => guard.receivedBytes === 70_001)
    expect([oldest.closed, second.closed, guard.peers.cut]).toEqual([false, false, 1])
    await new Promise((resolve) => setImmediate(resolve))
    // Now the other holds more.
    const other = endOf(oldest)
    second.write(Buffer.alloc(9_999))
    await eventually('it has come', () => guard.receivedBytes === 80_000)
    oldest.write(Buffer.alloc(20_001))
    expect(await other).toEqual({ reset: constants.NGHTTP2_ENHANCE_YOUR_CALM })
    expect([second.closed, guard.peers.cut]).toEqual([false, 2])
  })

  it('have as long as they may, and end their calls then', async () => {
    await using services = await startTuned({ messageMs: 300 })
    using raw = new RawHttp2(services.address)
    const { guard } = services.host
    const quiet = raw.call('Session')
    quiet.write(framed(SessionRequest.encode({ observedHlc: 0n, operations: [], cancelled: [] }).finish()))
    const session = raw.call('Session')
    session.write(begun(1_000, 10))
    const put = raw.call('Put')
    await eventually('they have begun', () => guard.receivedBytes === 15)
    const begunMs = performance.now()
    // Both may end in one turn of the event loop.
    const cut = { reset: constants.NGHTTP2_ENHANCE_YOUR_CALM }
    expect(await Promise.all([session, put].map(endOf))).toEqual([cut, cut])
    expect(performance.now() - begunMs).toBeGreaterThan(200)
    expect([quiet.closed, guard.receivedBytes, guard.peers.cut]).toEqual([false, 0, 2])
  })

  it('have no less time for that as this side reads no more until the results are taken that wait for their client', async () => {
    const node = new FakeNode()
    const key = Buffer.from('k')
    await node.put(key, Buffer.alloc(1_000_000), { consistency: 'quorum', deadlineMs: Number.POSITIVE_INFINITY })
    await using services = await startTuned({ messageMs: 300 }, node)
    using raw = new RawHttp2(services.address)
    const { guard } = services.host
    const session = raw.call('Session')
    const bare = { timeoutMs: 60_000, stampAboveMs: 0n, stampLimitMs: 0n, traceparent: '' }
    const operations = Array.from({ length: 10 }, (_, id) => ({
      ...{ id, ...bare },
      request: { $case: 'get', value: { key, consistency: 0 } } as const,
    }))
    session.write(framed(SessionRequest.encode({ observedHlc: 0n, operations, cancelled: [] }).finish()))
    await eventually('results wait', () => guard.waitingBytes > 1_000_000)
    const message = framed(SessionRequest.encode({ observedHlc: 0n, operations: [], cancelled: [1, 2, 300] }).finish())
    // The library reads some ahead.
    session.write(Buffer.concat([...Array.from({ length: 40 }, () => message), message.subarray(0, 7)]))
    await eventually('a part has come', () => guard.receivedBytes === 7)
    session.write(message.subarray(7))
    await new Promise((resolve) => setTimeout(resolve, 600))
    expect([session.closed, guard.peers.cut, guard.receivedBytes]).toEqual([false, 0, 7])
    session.resume()
    await eventually('the rest is read then', () => guard.receivedBytes === 0)
    expect(guard.peers.cut).toBe(0)
  })

  it('hold nothing for longer where their connection breaks the protocol, and is read no more', async () => {
    await using services = await startTuned({ messageMs: 50, cutGraceMs: 50 })
    using raw = new RawFrames(services.address)
    const { guard } = services.host
    raw.call(1, 'Session')
    raw.data(1, begun(1_000, 10))
    await eventually('it has begun', () => guard.receivedBytes === 15)
    raw.breakProtocol()
    await eventually('it is closed', () => raw.closed)
    await eventually('what it held is let go', () => guard.receivedBytes === 0 && guard.gate.open === 0)
  })
})

describe('headers', () => {
  /** As HTTP/2 counts them: name, value and 32 bytes for each. */
  async function callWith(services: TestServices, bytes: number): Promise<{ status?: number; reset?: number }> {
    using raw = new RawHttp2(services.address)
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
  it('go on without a header that gRPC lets nobody send, and nobody finds it, or the token in it, in what the process writes', async () => {
    await using services = await startTuned({})
    using raw = new RawHttp2(services.address)
    const written = vi.spyOn(console, 'error').mockImplementation(() => undefined)
    for (const more of [{ authorization: 'Bearer qkv_a_token\u00e9' }, { 'a!b': 'c' }, { 'x-y': 'a\tb' }]) {
      const stream = raw.call('Get', more)
      stream.end(getRequest)
      expect(await endOf(stream)).toEqual({ status: status.OK })
    }
    expect(written.mock.calls).toEqual([])
    written.mockRestore()
  })

  it('that are not of gRPC do not stay when they are answered, also where they could send many messages', async () => {
    await using services = await startTuned({})
    using raw = new RawHttp2(services.address)
    const page = raw.call('Session', { 'content-type': 'text/plain' })
    expect(await endOf(page)).toEqual({ reset: constants.NGHTTP2_NO_ERROR })
    expect(page.sentHeaders['content-type']).toBe('text/plain')
    await eventually('nothing is left of it', () => services.host.guard.read().calls === 0)
  })

  it('of one connection run up to the limit, and one more is refused', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startTuned({}, node)
    using raw = new RawHttp2(services.address)
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
  /** A node that holds `k`, and how many bytes the answer with its value has. */
  async function holding(bytes: number): Promise<{ node: FakeNode; answer: number }> {
    const node = new FakeNode()
    const key = Buffer.from('k')
    const options = { consistency: 'quorum', deadlineMs: Number.POSITIVE_INFINITY } as const
    await node.put(key, Buffer.alloc(bytes), options)
    const answer = framed(GetResponse.encode(toGetResponse(await node.get(key, options))).finish()).length
    return { node, answer }
  }

  it('that takes nothing is cut off, and what waited for it is let go', async () => {
    const { node } = await holding(1_000_000)
    await using services = await startTuned({ readerStallMs: 200 }, node)
    using raw = new RawHttp2(services.address)
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

  it('makes as many bytes wait as all may; with one more, the one is cut off who has done so for longest', async () => {
    for (const [less, cut] of [
      [0, 0],
      [1, 1],
    ] as const) {
      const { node, answer } = await holding(1_000_000)
      await using services = await startTuned({ answerBytesMax: 3 * answer - less }, node)
      const { guard } = services.host
      const deaf: RawHttp2[] = []
      for (let i = 1; i <= 3; i++) {
        const raw = new RawHttp2(services.address)
        raw.call('Get').end(getRequest)
        deaf.push(raw)
        // The last one may have been too much by now.
        await eventually('its answer waits', () => guard.waitingBytes === i * answer || guard.peers.cut === 1)
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
      await eventually('it is cut off', () => guard.gate.open === 3 - cut)
      await eventually('what it held is let go', () => guard.waitingBytes === (3 - cut) * answer)
      await eventually('it knows', () => deaf[0]!.closed === (cut === 1))
      expect([guard.peers.cut, deaf[1]!.closed, deaf[2]!.closed]).toEqual([cut, false, false])
      for (const raw of deaf) raw[Symbol.dispose]()
    }
  })

  it('makes room where its address makes most wait, though another has done so for longer', async () => {
    const { node, answer } = await holding(1_000_000)
    await using services = await startTuned({ answerBytesMax: 3 * answer - 1 }, node)
    const { guard } = services.host
    const deaf: RawHttp2[] = []
    for (const [i, address] of ['127.0.0.2', '127.0.0.3', '127.0.0.3'].entries()) {
      const raw = new RawHttp2(services.address, address)
      raw.call('Get').end(getRequest)
      deaf.push(raw)
      await eventually('its answer waits', () => guard.waitingBytes === (i + 1) * answer || guard.peers.cut === 1)
    }
    await eventually('it knows', () => deaf[1]!.closed)
    expect([deaf[0]!.closed, deaf[2]!.closed, guard.peers.cut]).toEqual([false, false, 1])
    for (const raw of deaf) raw[Symbol.dispose]()
  })

  it('is answered in what is read at one time until answers are too many, and again when somebody has been cut off', async () => {
    const { node, answer } = await holding(1_000_000)
    await using services = await startTuned({ answerBytesMax: 3 * answer }, node)
    using raw = new RawHttp2(services.address)
    const { guard } = services.host
    let refused = 0
    for (let i = 0; i < 20; i++) {
      const call = raw.call('Get')
      call.on('response', (headers) => {
        if (Number(headers['grpc-status']) === status.RESOURCE_EXHAUSTED) refused++
      })
      call.end(getRequest)
    }
    // One is made that does not fit any more.
    await eventually('the others are refused', () => refused === 20 - 4)
    await eventually('its connection makes room', () => raw.closed)
    await eventually('what it held is let go', () => guard.waitingBytes === 0 && guard.peers.cut === 1)
    using other = new RawHttp2(services.address)
    const later = other.call('Get')
    later.end(getRequest)
    expect(await endOf(later)).toEqual({ status: status.OK })
  })
})

describe('connections', () => {
  it('that are idle make room for new ones, the longest idle first; those with calls stay', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startTuned({ connectionsMax: 3 }, node)
    using busy = new RawHttp2(services.address)
    const runs = busy.call('Get')
    runs.end(getRequest)
    await eventually('it runs', () => node.held?.length === 1)
    using older = new RawHttp2(services.address)
    await once(older.session, 'remoteSettings')
    using newer = new RawHttp2(services.address)
    await once(newer.session, 'remoteSettings')
    using another = new RawHttp2(services.address)
    another.call('Get').end(getRequest)
    await eventually('the new one is served', () => node.held?.length === 2)
    await eventually('the oldest made room', () => older.closed)
    newer.call('Get').end(getRequest)
    await eventually('the newer still stands', () => node.held?.length === 3)
    using tooMany = new RawHttp2(services.address)
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
    using raw = new RawHttp2(services.address)
    const get = raw.call('Get')
    get.end(getRequest)
    expect(await endOf(get)).toEqual({ status: status.OK })
    half.destroy()
  })
})
