import { credentials, Metadata, setLogger } from '@grpc/grpc-js'
import { limits } from '@quorumkv/internal/base'
import type { SimRandom } from '@quorumkv/internal/env-sim'
import { GetRequest, type GetResponse, KvClient } from '@quorumkv/proto/kv/v1/kv'
import { newToken } from '@quorumkv/proto/tokens'
import { demandingAccess, grantOf, TestAuthFile } from '../../../server/src/access/access.test-support.js'
import { FakeNode, fakeTopology } from '../../../server/src/calls/fake-node.test-support.js'
import { reply, startServices } from '../../../server/src/calls/services.test-support.js'
import { clientMessages } from '../corpus.js'
import { LiveNode } from '../live-node.js'
import { concat, mutate, mutateText } from '../mutate.js'
import { Fault, type Target } from '../target.js'
import { exchange } from './http.js'

/*
 * HTTP/2 (RFC 9113) as nobody's library would send it: frames that are well-formed, and whose order, streams, lengths and
 * headers are not. Headers are literals (RFC 7541, 6.2.2), so that they can hold any bytes.
 */

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const types = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goAway: 7,
  window: 8,
  more: 9,
}
const [endStream, endHeaders] = [1, 4]

interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Uint8Array
}

/** `lie`: the length that its header tells. */
function encoded({ type, flags, stream, payload }: Frame, lie: number = payload.length): Uint8Array {
  const header = new Uint8Array(9)
  const view = new DataView(header.buffer)
  view.setUint32(0, (lie << 8) | (type & 0xff))
  view.setUint8(4, flags)
  view.setUint32(5, stream)
  return concat(header, payload)
}

function hpackLength(bytes: number): number[] {
  const prefix: number[] = [Math.min(bytes, 127)]
  for (let rest = bytes - 127; rest >= 0; rest = rest < 128 ? -1 : rest >>> 7)
    prefix.push((rest & 0x7f) | (rest < 128 ? 0 : 0x80))
  return prefix
}

function headerBlock(headers: readonly (readonly [name: Uint8Array, value: Uint8Array])[]): Uint8Array {
  const text = (bytes: Uint8Array): Uint8Array => concat(Uint8Array.from(hpackLength(bytes.length)), bytes)
  return concat(...headers.flatMap(([name, value]) => [Uint8Array.of(0), text(name), text(value)]))
}

/** A message as gRPC frames it. */
function framed(message: Uint8Array): Uint8Array {
  const prefix = new Uint8Array(5)
  new DataView(prefix.buffer).setUint32(1, message.length)
  return concat(prefix, message)
}

const headersOf = (path: string): (readonly [Uint8Array, Uint8Array])[] =>
  Object.entries({
    ':method': 'POST',
    ':scheme': 'http',
    ':path': path,
    ':authority': 'localhost',
    te: 'trailers',
    'content-type': 'application/grpc',
  }).map(([name, value]) => [Buffer.from(name), Buffer.from(value)] as const)

function callFrames(stream: number, path: string, message: Uint8Array): Frame[] {
  const block = headerBlock(headersOf(path))
  return [
    { type: types.headers, flags: endHeaders, stream, payload: block },
    { type: types.data, flags: endStream, stream, payload: framed(message) },
  ]
}

/** Frames that are none of a call: of each kind one that a server must bear, and one that it must not. */
const others: readonly Frame[] = [
  { type: types.settings, flags: 0, stream: 0, payload: Uint8Array.of(0, 4, 0, 0, 0, 0) },
  { type: types.settings, flags: 0, stream: 0, payload: Uint8Array.of(0, 4, 0xff, 0xff, 0xff, 0xff) },
  { type: types.settings, flags: 0, stream: 0, payload: Uint8Array.of(0, 5, 0, 0, 0, 1, 0, 1, 0xff, 0xff, 0xff, 0xff) },
  { type: types.settings, flags: 1, stream: 0, payload: Uint8Array.of(1) },
  { type: types.ping, flags: 0, stream: 0, payload: new Uint8Array(8) },
  { type: types.ping, flags: 1, stream: 1, payload: new Uint8Array(7) },
  { type: types.window, flags: 0, stream: 0, payload: Uint8Array.of(0x7f, 0xff, 0xff, 0xff) },
  { type: types.window, flags: 0, stream: 1, payload: new Uint8Array(4) },
  { type: types.reset, flags: 0, stream: 1, payload: Uint8Array.of(0, 0, 0, 8) },
  { type: types.priority, flags: 0, stream: 3, payload: Uint8Array.of(0x80, 0, 0, 3, 255) },
  { type: types.goAway, flags: 0, stream: 0, payload: new Uint8Array(8) },
  { type: types.push, flags: endHeaders, stream: 1, payload: Uint8Array.of(0, 0, 0, 2, 0x82) },
  { type: types.more, flags: endHeaders, stream: 1, payload: Uint8Array.of(0x82) },
  { type: types.headers, flags: 0, stream: 5, payload: Uint8Array.of(0x3f, 0xff, 0xff, 0xff, 0xff, 0x0f) },
  { type: types.headers, flags: 0x2c, stream: 7, payload: Uint8Array.of(255, 0, 0, 0, 7, 1, 0x82, 0x86, 0x84) },
  { type: types.data, flags: 0x8, stream: 1, payload: Uint8Array.of(9, 0, 0) },
  { type: 0xfa, flags: 0xff, stream: 0x7fffffff, payload: new Uint8Array(40) },
]

function changed(random: SimRandom, given: readonly Frame[]): Uint8Array {
  const frames = given.map((frame) => encoded(frame))
  for (let times = 1 + random.below(4); times > 0; times--) {
    const at = random.below(given.length)
    const frame = given[at]!
    const put = (bytes: Uint8Array, remove: number, index: number = at): void =>
      void frames.splice(index, remove, bytes)
    switch (random.below(8)) {
      case 0:
        put(encoded({ ...frame, flags: random.below(256) }), 1)
        break
      case 1:
        put(encoded({ ...frame, stream: random.pick([0, 1, 2, 3, 5, 0x7fffffff, 0x80000001, 0xffffffff]) }), 1)
        break
      case 2:
        put(encoded({ ...frame, type: random.below(12) }), 1)
        break
      case 3:
        put(encoded(frame, random.pick([0, frame.payload.length - 1, frame.payload.length + 1, 16_385, 0xffffff])), 1)
        break
      case 4:
        put(encoded({ ...frame, payload: mutate(random, [frame.payload]) }), 1)
        break
      case 5:
        // As often as one that makes a server work for nothing would.
        put(concat(...Array.from({ length: 1 + random.below(60) }, () => encoded(random.pick(others)))), 0)
        break
      case 6:
        put(concat(...Array.from({ length: 1 + random.below(200) }, () => encoded(frame))), 1)
        break
      default:
        put(encoded(random.pick(others)), 0, random.below(frames.length + 1))
    }
  }
  return concat(preface, ...frames)
}

/** Whether a server has sent the headers of an answer, and not only what belongs to the connection. */
function isAnswered(answer: Buffer): boolean {
  for (let at = 0; at + 9 <= answer.length; at += 9 + answer.readUIntBE(at, 3))
    if (answer[at + 3] === types.headers) return true
  return false
}

/** A server of HTTP/2 says something at once; its answer comes so long after that at most. */
const answerMs = 20

const ownConnection = { 'grpc.use_local_subchannel_pool': 1 }

/** More than this are there only where those that are over stay. */
const connectionsMax = 300
/** As long as the keepalive takes, and a little longer. */
const endMsMax = limits.keepaliveTimeMs + limits.keepaliveTimeoutMs + 5_000

/**
 * Node says goodbye to a client that has broken the rules of HTTP/2 and reads nothing more from it, not even that it has gone. What is
 * left of the connection is found by the keepalive, and must be.
 */
async function connectionsEnd(live: LiveNode): Promise<void> {
  const startedMs = performance.now()
  while ((await live.grpcConnections()) > connectionsMax) {
    if (performance.now() - startedMs > endMsMax) throw new Fault('connections that are over have stayed')
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** Frames to the port of gRPC. A connection may die of them; the node does not, and serves the next one. */
export const http2Frames: Target = {
  name: 'http2-frames',
  share: 6,
  keptBytesPerCase: 2_000,
  atOnce: 32,
  async open() {
    const live = await LiveNode.start()
    const settings = others[0]!
    const messages = clientMessages()
    const calls = [
      ...messages.slice(0, 6).map((message) => callFrames(1, '/kv.v1.Kv/Session', message)),
      callFrames(1, '/kv.v1.Kv/Get', messages[8]!),
      callFrames(1, '/kv.v1.Kv/Put', messages[9]!),
      [...callFrames(1, '/kv.v1.Kv/Scan', messages[10]!), ...callFrames(3, '/kv.v1.Kv/Get', messages[8]!)],
      callFrames(1, '/kv.peer.v1.Peer/Exchange', new Uint8Array(3)),
      callFrames(1, '/no/such', new Uint8Array(0)),
    ].map((frames) => [settings, ...frames])
    return {
      make: (random) => {
        const frames = random.pick(calls)
        return random.chance(0.05) ? concat(preface, ...frames.map((frame) => encoded(frame))) : changed(random, frames)
      },
      run: async (input) => {
        const answer = await exchange(live.grpcPort, input, 200, answerMs)
        live.checkAlive()
        return isAnswered(answer) ? 'taken' : 'refused'
      },
      settle: async () => {
        await live.check((key) => !key.startsWith('honest'))
        await connectionsEnd(live)
        const client = new KvClient(`127.0.0.1:${live.grpcPort}`, credentials.createInsecure(), ownConnection)
        const deadline = Date.now() + 10_000
        const key = Buffer.from('honest 1')
        const { found } = await reply<GetResponse>((callback) =>
          client.get({ key, consistency: 0 }, new Metadata(), { deadline }, callback),
        )
        client.close()
        if (!found) throw new Fault('a new connection is not served')
      },
      close: () => live[Symbol.asyncDispose](),
    }
  },
}

/** The headers of an input, a line each: name and value with a tab between them, any bytes. */
function headersIn(input: Uint8Array): (readonly [Uint8Array, Uint8Array])[] {
  const lines = Buffer.from(input).toString('latin1').split('\n')
  return lines.map((line) => {
    const at = line.indexOf('\t')
    const parts = at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)]
    return parts.map((part) => Buffer.from(part, 'latin1')) as [Buffer, Buffer]
  })
}

/** A node that remembers which keys it was asked for. */
class ReachedNode extends FakeNode {
  readonly #reached: Set<string>

  constructor(reached: Set<string>) {
    super()
    this.#reached = reached
  }

  override get(...[key, options]: Parameters<FakeNode['get']>): ReturnType<FakeNode['get']> {
    this.#reached.add(Buffer.from(key).toString())
    return super.get(key, options)
  }
}

/**
 * Metadata of a call to a node that asks who calls. A call reaches the node only where its headers hold a token that is one; `@root`
 * and so on stand for tokens, which are new in every run.
 */
export const grpcMetadata: Target = {
  name: 'grpc-metadata',
  share: 6,
  keptBytesPerCase: 2_000,
  atOnce: 32,
  async open() {
    const file = new TestAuthFile()
    const tokens = {
      root: file.token,
      reader: newToken('reader'),
      elsewhere: newToken('elsewhere'),
      stranger: newToken('root'),
    }
    const reached = new Set<string>()
    const node = new ReachedNode(reached)
    const grants = [
      grantOf(tokens.elsewhere, 'elsewhere', 'admin', ['other/']),
      grantOf(tokens.reader, 'reader', 'read'),
    ]
    node.topology = { ...fakeTopology(3), featureLevel: 2, access: { revision: 1, grants } }
    const services = await startServices(node, demandingAccess(file))
    // What the library writes by itself is read by whoever reads what the process writes.
    const said: unknown[] = []
    setLogger({ ...console, error: (line: unknown) => void said.push(line) })
    const port = Number(/\d+$/.exec(services.address)![0])
    const honest = ['te\ttrailers', 'content-type\tapplication/grpc']
    const corpus = [
      ['authorization\tBearer @root'],
      ['authorization\tBearer @reader', 'kv-request-id\tabc', `traceparent\t00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`],
      ['authorization\tbearer @elsewhere', 'grpc-timeout\t100m'],
      ['authorization\tBearer @stranger', 'authorization\tBearer @reader'],
      ['authorization\tQuorumKV-Node n1 1700000000000 x', 'grpc-encoding\tgzip', 'user-agent\ta'],
      ['x-bin\tAAEC', 'cookie\ta=b', 'grpc-accept-encoding\tidentity,deflate', 'grpc-timeout\t99999999H'],
      ['kv-node\tn1', 'kv-cluster\tc', `kv-nonce\t${'A'.repeat(43)}`],
    ].map((lines) => Buffer.from([...honest, ...lines].join('\n')))
    const words = [
      '\n',
      '\t',
      '\0',
      '\r\n',
      ':',
      'Authorization\t',
      'authorization-bin\t',
      '@root',
      ' ',
      'grpc-timeout\t-1S',
      'x'.repeat(9_000),
    ]
    let calls = 0
    return {
      make: (random) => mutateText(random, corpus, words),
      run: async (input) => {
        let text = Buffer.from(input).toString('latin1')
        for (const [name, token] of Object.entries(tokens)) text = text.replaceAll(`@${name}`, token)
        const key = `call ${calls++}`
        const path = headersOf('/kv.v1.Kv/Get').slice(0, 4)
        const block = headerBlock([...path, ...headersIn(Buffer.from(text, 'latin1'))])
        const message = GetRequest.encode({ key: Buffer.from(key), consistency: 0 }).finish()
        // A block of more than a frame may hold goes on in others.
        const pieces = Array.from({ length: Math.max(1, Math.ceil(block.length / 16_384)) }, (_, i) =>
          block.subarray(i * 16_384, (i + 1) * 16_384),
        )
        const frames = pieces.map((payload, i): Frame => {
          return {
            type: i === 0 ? types.headers : types.more,
            flags: i === pieces.length - 1 ? endHeaders : 0,
            stream: 1,
            payload,
          }
        })
        const data: Frame = { type: types.data, flags: endStream, stream: 1, payload: framed(message) }
        await exchange(
          port,
          concat(preface, ...[others[0]!, ...frames, data].map((frame) => encoded(frame))),
          200,
          answerMs,
        )
        const [bug] = services.bugs.splice(0)
        if (bug !== undefined) throw bug
        const told = JSON.stringify([services.lines.splice(0), said.splice(0)])
        for (const token of Object.values(tokens)) if (told.includes(token)) throw new Fault('the log tells a token')
        if (!reached.delete(key)) return 'refused'
        const shows = [tokens.root, tokens.reader].some((token) =>
          new RegExp(`^authorization\tbearer +${token}`, 'im').test(text),
        )
        if (!shows) throw new Fault('a call without a token has reached the node')
        return 'taken'
      },
      settle: async () => {
        // Nobody's, and so refused: but answered.
        const code = await reply((callback) =>
          services.kv.get({ key: Buffer.from('k'), consistency: 0 }, callback),
        ).catch((error) => error.code)
        if (code !== 16) throw new Fault(`a new call is answered with ${code}`)
      },
      close: async () => {
        setLogger(console)
        await services[Symbol.asyncDispose]()
        file[Symbol.dispose]()
      },
    }
  },
}
