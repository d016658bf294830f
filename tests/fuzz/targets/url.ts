import { samples } from '../../../server/src/http/access.test-support.js'
import { LiveNode } from '../live-node.js'
import { mutateText } from '../mutate.js'
import { Fault, type Target } from '../target.js'
import { exchange } from './http.js'

/** Every route as tests of permissions ask for it, and the ways in which a URL can name a key, a prefix or a cursor. */
const lines = [
  ...Object.entries(samples).map(([route, { path }]) => `${route.split(' ')[0]} ${path}`),
  ...[
    '/partition/user%3A1',
    '/partition/a%2Fb?keyEncoding=',
    '/partition/YS9i?keyEncoding=base64url',
    '/partition/%ff',
  ],
  ...['/partition/%2e%2e', '/partition/..%2f..%2fetc', '/partition/%25%32%35', '/partition/"<>`{}|^', '/partition/a'],
  ...['/locate/user%3A1', '/locate/%00', '/locate/%C0%AF?x=1', '/kv/case%201?consistency=one&timeoutMs=500'],
  ...['/kv?prefix=case%20&limit=2&keysOnly=true', '/kv?prefix=h+o&cursor=AgAAAAAAAA', '/kv?limit=0', '/assets/x.js'],
].map((line) => (line.startsWith('/') ? `GET ${line}` : line))
const changes = [
  'PUT /kv/case%201?ttlMs=60000',
  'PUT /kv/Y2FzZQ?keyEncoding=base64url',
  'DELETE /kv/case%202',
  'POST /kv/a',
]
const words = [
  ...['%', '%00', '%0a', '%2e', '%2E%2e', '%2f', '%5c', '%25', '%C0%80', '%ed%a0%80', '%f4%90%80%80', '%ff', '%u0041'],
  ...[
    '..',
    '/../',
    '/./',
    '//',
    '\\',
    '\t',
    '\0',
    '?',
    '#',
    '&',
    '=',
    '+',
    ';',
    '@',
    ':',
    'http://localhost',
    '\u00e9',
  ],
]

/** What the last part of a path is the percent-encoding of; undefined: of nothing that could be told from this side. */
function keyIn(target: string): Buffer | undefined {
  const match = /^\/partition\/([^/?#\\]*)(?:[?#].*)?$/s.exec(target)
  const segment = match?.[1]
  if (segment === undefined || target.includes('keyEncoding')) return undefined
  // Browsers and libraries take these for a way up, and drop these.
  if (/^(?:\.|%2e){1,2}$/i.test(segment) || /[\t\r\n]/.test(segment)) return undefined
  if (/%(?![0-9a-f]{2})/i.test(segment)) return undefined
  const decoded = segment.replace(/%([0-9a-f]{2})/gi, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
  return Buffer.from(decoded, 'latin1')
}

/** The body of an answer that is whole; undefined: it is none, or in pieces. */
function bodyOf(answer: string): string | undefined {
  const at = answer.indexOf('\r\n\r\n')
  if (at < 0 || /^transfer-encoding:/im.test(answer.slice(0, at))) return undefined
  return answer.slice(at + 4)
}

/** Paths and queries of all routes over a connection, as they stand there. A key that is answered for is the one that was asked for. */
export const restUrl: Target = {
  name: 'rest-url',
  share: 9,
  keptBytesPerCase: 2_000,
  atOnce: 32,
  async open() {
    const live = await LiveNode.start()
    const corpus = [...lines, ...changes].map((line) => Buffer.from(line))
    return {
      make: (random) => mutateText(random, corpus, words),
      run: async (input) => {
        const line = Buffer.from(input).toString('latin1')
        const rest = 'HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\nv'
        const request = Buffer.from(
          `${line} ${line.startsWith('PUT ') ? rest : rest.replace('1\r\n\r\nv', '0\r\n\r\n')}`,
          'latin1',
        )
        const answer = (await exchange(live.httpPort, request)).toString('latin1')
        live.checkAlive()
        if (/^HTTP\/1\.1 500 /m.test(answer)) throw new Fault('answered as an internal error')
        const isTaken = answer.startsWith('HTTP/1.1 200 ')
        const key = line.startsWith('GET /partition/') && isTaken ? keyIn(line.slice(4)) : undefined
        const body = key === undefined ? undefined : bodyOf(answer)
        if (key !== undefined && body !== undefined) checkKey(key, body)
        return isTaken ? 'taken' : 'refused'
      },
      settle: () => live.check((key) => !key.startsWith('honest')),
      close: () => live[Symbol.asyncDispose](),
    }
  },
}

function checkKey(asked: Buffer, body: string): void {
  const told = JSON.parse(Buffer.from(body, 'latin1').toString('utf8')) as { key?: string; keyBase64?: string }
  const key = told.key === undefined ? Buffer.from(told.keyBase64 ?? '', 'base64') : Buffer.from(told.key)
  if (!key.equals(asked)) throw new Fault(`asked for ${asked.toString('hex')}, answered for ${key.toString('hex')}`)
}
