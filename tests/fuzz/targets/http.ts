import { connect } from 'node:net'
import { nodeFeed } from '../../../server/src/feed/node-feed.js'
import { createHttpApp } from '../../../server/src/http/http-app.js'
import { LiveNode } from '../live-node.js'
import { mutateText } from '../mutate.js'
import { Fault, type Target } from '../target.js'

/** What may be changed by requests begins with this, and nothing honest does. */
const isHonest = (key: string): boolean => key.startsWith('honest')

const json = '{"value":"text"}'
const bytesType = 'application/octet-stream'

/** Requests as clients send them; each asks the server to close, or its end is what a client sends next. */
const requests = [
  'GET /kv/http%2D1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
  `PUT /kv/http-1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`,
  `PUT /kv/http-2?consistency=one&ttlMs=500 HTTP/1.1\r\nHost: [::1]:5\r\nContent-Type: ${bytesType}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nvalue\r\n3;x=y\r\nabc\r\n0\r\nTrailer: t\r\n\r\n`,
  `PUT /kv/http-3 HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nvalue`,
  'DELETE /kv/aHR0cC00?keyEncoding=base64url HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: abc\r\n\r\n',
  'GET /kv?prefix=h&limit=5&cursor=AgAAAAAAAA HTTP/1.1\r\nHost: localhost\r\nAccept: application/json;q=0.5, */*\r\n\r\nGET /livez HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET http://localhost/cluster HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n\r\n',
  'CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'GET /metrics HTTP/1.0\r\n\r\n',
  'GET /feed HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 5\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n',
  'HEAD /openapi.json HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: "x", W/"y"\r\nAccept-Encoding: gzip\r\n\r\n',
  'POST /cluster/decommission HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
]

/** So long a client waits for the first byte of an answer, and then for more: some inputs want more bytes, some answers never end. */
const firstByteMs = 200
const nextByteMs = 5

/** Sends bytes over a connection of their own. Resolves with what came back. */
export function exchange(
  port: number,
  input: Uint8Array,
  waitMs: number = firstByteMs,
  nextMs: number = nextByteMs,
): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const socket = connect({ port, host: '127.0.0.1' })
    socket.setTimeout(waitMs, () => socket.destroy())
    socket.on('data', (chunk) => {
      chunks.push(chunk)
      socket.setTimeout(nextMs)
    })
    socket.on('end', () => socket.destroy())
    // A reset is an answer as well.
    socket.on('error', () => socket.destroy())
    socket.on('close', () => resolve(Buffer.concat(chunks)))
    socket.write(input)
  })
}

const words = [
  ...[
    '\r\n',
    '\n',
    '\0',
    ' : ',
    'Transfer-Encoding: chunked\r\n',
    'Content-Length: 99999999999999999999\r\n',
    'Content-Length: -1\r\n',
  ],
  ...[
    'Host: \r\n',
    'Host: a\r\n',
    'Expect: x\r\n',
    '%',
    '%00',
    '/../',
    '//',
    '?',
    '#',
    '\u00e9',
    'HTTP/2.0',
    'FFFFFFFFFFFFFFFFF\r\n',
  ],
]

/** Bytes to the listener of a whole node. */
export const httpBytes: Target = {
  name: 'http-bytes',
  share: 8,
  keptBytesPerCase: 2_000,
  atOnce: 32,
  async open() {
    const live = await LiveNode.start()
    for (const request of requests) await exchange(live.httpPort, Buffer.from(request), 1_000)
    const corpus = requests.map((request) => Buffer.from(request))
    return {
      make: (random) => mutateText(random, corpus, words),
      run: async (input) => {
        const answer = (await exchange(live.httpPort, input)).toString('latin1')
        live.checkAlive()
        if (/^HTTP\/1\.1 500 /m.test(answer)) throw new Fault('answered as an internal error')
        return /^HTTP\/1\.1 2\d\d /m.test(answer) ? 'taken' : 'refused'
      },
      settle: () => live.check((key) => !isHonest(key)),
      close: () => live[Symbol.asyncDispose](),
    }
  },
}

/** A request in parts. */
export interface Parts {
  readonly method: string
  readonly path: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Uint8Array | undefined
}

/** What an input says: method, path with query, and headers, a line each, and then the body. */
export function partsOf(input: Uint8Array): Parts {
  const bytes = Buffer.from(input)
  const end = bytes.indexOf('\n\n')
  const [method = '', path = '', ...headers] = bytes.toString('latin1', 0, end < 0 ? bytes.length : end).split('\n')
  return {
    method,
    path,
    headers: headers.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const),
    body: end < 0 || method === 'GET' || method === 'HEAD' ? undefined : bytes.subarray(end + 2),
  }
}

/** The request, or undefined where it is none that a server could have got. */
export function requestOf({ method, path, headers, body }: Parts): Request | undefined {
  try {
    const init = {
      method,
      headers: headers.map(([name, value]): [string, string] => [name, value]),
      body: body ?? null,
    }
    return new Request(`http://localhost${path.startsWith('/') ? '' : '/'}${path}`, init)
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}

/** Requests to the application as the library hands them over, which gets further than bytes do. */
export const httpApp: Target = {
  name: 'http-app',
  share: 24,
  keptBytesPerCase: 2_000,
  async open() {
    const live = await LiveNode.start()
    const feed = nodeFeed(live.context, 0)
    const app = createHttpApp({
      services: live.context,
      hostNames: () => [],
      stopping: new AbortController().signal,
      feed,
      metricsOpen: false,
    })
    const corpus = [
      'GET\n/kv/http%2D1?consistency=one&timeoutMs=500\naccept:application/octet-stream\nif-none-match:"x"',
      `PUT\n/kv/http-1?ttlMs=60000\ncontent-type:application/json\n\n${json}`,
      'PUT\n/kv/http-1\ncontent-type:application/json; charset=utf-8\n\n{"valueBase64":"AAEC"}',
      `PUT\n/kv/aHR0cA?keyEncoding=base64url\ncontent-type:${bytesType}\ncontent-length:5\n\nvalue`,
      'DELETE\n/kv/http-1?consistency=all\norigin:http://localhost',
      'GET\n/kv?prefix=h%6f&limit=3&cursor=AgAAAAAAAA&keysOnly=true\nsec-fetch-site:none',
      ...['/cluster', '/metrics', '/openapi.json', '/livez', '/readyz', '/routing_table', '/locate/a', '/', '/x'].map(
        (path) => `GET\n${path}\nhost:localhost`,
      ),
      'POST\n/cluster/x\ncontent-type:application/json\n\n{"id":"nobody","dryRun":true}',
    ].map((text) => Buffer.from(text))
    return {
      make: (random) =>
        mutateText(random, corpus, [
          '%',
          '%00',
          '%ff',
          '"',
          '\\ud800',
          '&',
          '=',
          '?',
          '9'.repeat(40),
          'e9',
          'NaN',
          '\n',
        ]),
      run: async (input) => {
        const parts = partsOf(input)
        const request = requestOf(parts)
        if (request === undefined) return 'refused'
        const before = live.digest
        const response = await app.request(request)
        // Streams, which never end, are not read.
        if (response.headers.get('content-type')?.startsWith('text/event-stream')) await response.body?.cancel()
        else await response.arrayBuffer()
        live.checkAlive()
        const { status } = response
        if (status === 500) throw new Fault('answered as an internal error')
        const isTaken = status < 300
        if (!isTaken && status !== 504 && live.digest !== before)
          throw new Fault(`something is stored, and answered with ${status}`)
        return isTaken ? 'taken' : 'refused'
      },
      settle: () => live.check((key) => !isHonest(key)),
      close: async () => {
        feed.close()
        await live[Symbol.asyncDispose]()
      },
    }
  },
}
