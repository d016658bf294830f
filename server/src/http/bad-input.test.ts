import { limits } from '@quorumkv/internal/base'
import { describe, expect, it } from 'vitest'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import { answer, testApp } from './app.test-support.js'

interface BadInput {
  readonly method: string
  readonly path: string
  readonly field: string
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array<ArrayBuffer>
}

const json = { 'content-type': 'application/json' }
const octets = { 'content-type': 'application/octet-stream' }
const good = { headers: octets, body: 'v' }
const forBody = (method: string): Pick<BadInput, 'headers' | 'body'> => (method === 'PUT' ? good : {})

const longest = 'k'.repeat(limits.keyBytesMax)
const badKeys = ['', `${longest}k`, '%', '%a', '%zz', 'a%2', 'a%2g', '%%41']
const badNumbers = ['', '-1', '1.5', '1e3', '0x10', ' 1', 'NaN', '1,2', '9999999999999999']
const badChoices = ['', 'Quorum', 'two', 'quorum,one']

/** Every parameter of a route that names a key, with everything that it may not be. */
function* badQueries(method: string, path: string): Generator<BadInput> {
  const at = (query: string, field: string): BadInput => ({
    method,
    path: `${path}?${query}`,
    field,
    ...forBody(method),
  })
  const numbers = method === 'PUT' ? ['timeoutMs', 'ttlMs'] : ['timeoutMs']
  const maxima: Record<string, number> = { timeoutMs: limits.requestTimeoutMsMax, ttlMs: limits.ttlMsMax }
  for (const name of numbers) {
    for (const value of [...badNumbers, '0', String(maxima[name]! + 1)]) yield at(`${name}=${value}`, name)
    yield at(`${name}=1&${name}=2`, name)
  }
  for (const value of badChoices) yield at(`consistency=${value}`, 'consistency')
  yield at('consistency=one&consistency=all', 'consistency')
  if (path !== '/kv') yield at('keyEncoding=hex', 'keyEncoding')
  for (const name of ['ttl', 'TTLMS', 'consistancy', '__proto__', 'x']) yield at(`${name}=1`, name)
  if (method !== 'PUT') yield at('ttlMs=1', 'ttlMs')
}

function* badRequests(): Generator<BadInput> {
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
    for (const key of badKeys) yield { method, path: `/kv/${key}`, field: 'key', ...forBody(method) }
    for (const key of ['a', 'a%2B%2F', '%ff', 'YQ===', '']) {
      yield { method, path: `/kv/${key}?keyEncoding=base64url`, field: 'key', ...forBody(method) }
    }
    yield* badQueries(method, '/kv/k')
  }
  for (const key of badKeys) yield { method: 'GET', path: `/partition/${key}`, field: 'key' }
  yield { method: 'GET', path: '/partition/k?consistency=one', field: 'consistency' }

  yield* badQueries('GET', '/kv')
  for (const value of [...badNumbers, '0', String(limits.scanPageEntriesMax + 1)]) {
    yield { method: 'GET', path: `/kv?limit=${value}`, field: 'limit' }
  }
  for (const value of ['1', 'yes', '']) yield { method: 'GET', path: `/kv?keysOnly=${value}`, field: 'keysOnly' }
  for (const value of ['%', '%g0', `${longest}k`]) yield { method: 'GET', path: `/kv?prefix=${value}`, field: 'prefix' }
  for (const value of ['a', 'a/b=', '*']) yield { method: 'GET', path: `/kv?cursor=${value}`, field: 'cursor' }
  for (const name of ['prefix', 'limit', 'cursor']) {
    yield { method: 'GET', path: `/kv?${name}=10&${name}=11`, field: name }
  }

  const put = { method: 'PUT', path: '/kv/k' }
  const bodies: [body: string | Uint8Array<ArrayBuffer>, field: string][] = [
    ['', 'body'],
    ['{', 'body'],
    ['"text"', 'body'],
    ['null', 'body'],
    ['[]', 'body'],
    ['{}', 'body'],
    ['{"value":1}', 'value'],
    ['{"value":null}', 'value'],
    ['{"value":"a","valueBase64":"YQ=="}', 'body'],
    ['{"value":"a","ttlMs":5}', 'ttlMs'],
    ['{"valueBase64":"%%%%"}', 'valueBase64'],
    ['{"valueBase64":"YQ=a"}', 'valueBase64'],
    ['{"valueBase64":"_-8="}', 'valueBase64'],
    ['{"valueBase64":5}', 'valueBase64'],
    ['{"value":"\\ud800"}', 'value'],
    [Uint8Array.from([...Buffer.from('{"value":"'), 0xff, ...Buffer.from('"}')]), 'body'],
  ]
  for (const [body, field] of bodies) yield { ...put, headers: json, body, field }
  const types = [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
  ]
  for (const type of [
    ...types,
    'application/json; charset=latin1',
    'application/jsonx',
    '',
    'application/problem+json',
  ]) {
    yield { ...put, headers: { 'content-type': type }, body: '{"value":"a"}', field: 'content-type', status: 415 }
  }
  yield {
    ...put,
    headers: { ...octets, 'content-encoding': 'gzip' },
    body: 'x',
    field: 'content-encoding',
    status: 415,
  }
  for (const condition of ['if-match', 'if-none-match', 'if-unmodified-since']) {
    for (const method of ['PUT', 'DELETE']) {
      yield { method, path: '/kv/k', ...forBody(method), headers: { ...octets, [condition]: '*' }, field: condition }
    }
  }

  for (const method of ['POST', 'PATCH', 'PROPFIND']) yield { method, path: '/kv/k', field: 'method', status: 405 }
  for (const path of ['/kv', '/livez', '/cluster', '/openapi.json']) {
    yield { method: 'PUT', path, ...good, field: 'method', status: 405 }
  }
  for (const path of ['/nothing', '/kv/a/b', '/kv/a/', '/KV/a', '//kv/a']) {
    yield { method: 'GET', path, field: 'path', status: 404 }
  }
}

const cases = [...badRequests()]

describe(`each of ${cases.length} bad requests`, () => {
  it('is refused by name, changes nothing, and is no bug', async () => {
    const node = new FakeNode()
    node.topology = fakeTopology(1)
    node.useTables()
    // What comes as far as the node was not refused, and is told as a bug.
    node.failure = new Error('the node was asked')
    const { app, bugs } = testApp(node)
    for (const { method, path, field, status = 400, headers = {}, body } of cases) {
      const request = new Request(`http://localhost${path}`, {
        method,
        headers,
        ...(body === undefined ? {} : { body }),
      })
      const response = await app.request(request)
      const what = `${method} ${path} ${JSON.stringify(headers)} ${String(body)}`
      expect([response.status, what]).toEqual([status, what])
      expect([response.headers.get('content-type'), what]).toEqual(['application/problem+json', what])
      if (method !== 'HEAD') {
        const { code, outcome, retryable, ...problem } = await answer(response)
        expect([code, problem.field, what]).toEqual(['invalid-argument', field, what])
        expect([outcome, retryable]).toEqual([method === 'GET' ? undefined : 'not-applied', false])
        expect([problem.detail?.startsWith(`${field}: `), what]).toEqual([true, what])
      }
      if (status === 405) expect(response.headers.get('allow')).toMatch(/GET/)
      expect([bugs, what]).toEqual([[], what])
    }
  })
})

describe('what is at the edge of bad', () => {
  it.each([
    `/kv/${longest}?timeoutMs=${limits.requestTimeoutMsMax}`,
    '/kv/k?timeoutMs=1',
    '/kv/k?consistency=one',
    `/kv?prefix=${longest}&limit=${limits.scanPageEntriesMax}`,
    '/kv?prefix=&cursor=',
    '/kv?limit=1',
  ])('%s is accepted', async (path) => {
    expect((await testApp().app.request(path)).status).toBe(path.startsWith('/kv?') ? 200 : 404)
  })
})
