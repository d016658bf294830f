import { describe, expect, it } from 'vitest'
import { FakeNode } from '../calls/fake-node.test-support.js'
import { answer, testApp } from './app.test-support.js'
import { guard, hostOf } from './guard.js'

const url = 'http://kv.example:8080/kv/k'
const body = 'v'
const octets = { 'content-type': 'application/octet-stream' }

describe('a name', () => {
  it.each([
    'http://127.0.0.1:8080/kv/k',
    'http://10.1.2.3/kv/k',
    'http://[::1]:8080/kv/k',
    'http://localhost:8080/kv/k',
    'http://LOCALHOST/kv/k',
    'http://app.localhost/kv/k',
    'http://kv.example:1/kv/k',
    'http://kv.example./kv/k',
  ])('of this node is answered: %s', async (own) => {
    expect((await testApp().app.request(own)).status).toBe(404)
  })

  it.each([
    'http://evil.example/kv/k',
    'http://kv.example.evil.example/kv/k',
    'http://xkv.example/kv/k',
    'http://localhost.evil.example/kv/k',
    'http://127.0.0.1.evil.example/kv/k',
  ])('that is made to point here is refused, for reads as for writes: %s', async (foreign) => {
    const node = new FakeNode()
    const { app } = testApp(node)
    for (const init of [{}, { method: 'PUT', headers: octets, body }]) {
      const response = await app.request(foreign, init)
      expect(response.status).toBe(403)
      expect(await answer(response)).toMatchObject({ code: 'permission-denied' })
    }
    expect(node.records.size).toBe(0)
  })

  it('that ends in a number and is no address is refused; the library lets it pass as far as here', async () => {
    const request = { url: 'http://local1.1/feed', method: 'GET', header: () => 'local1.1' }
    const passed = guard({ hostNames: () => [] })({ req: request } as never, async () => undefined)
    await expect(passed).rejects.toMatchObject({ status: 400, code: 'invalid-argument', field: 'host' })
  })

  it('is what is before the port', () => {
    expect(['h:1', 'H', '[::1]:1', '[::1]', '1.2.3.4:5'].map(hostOf)).toEqual(['h', 'h', '::1', '::1', '1.2.3.4'])
    expect(['', ':1', 'a b', 'user@h', 'h/x', '::1', '[h]', 'h:x'].map(hostOf)).toEqual(Array(8).fill(undefined))
  })
})

describe('a page', () => {
  const foreign: [why: string, headers: Record<string, string>][] = [
    ['another origin', { origin: 'https://evil.example' }],
    ['another port', { origin: 'http://kv.example:3000' }],
    ['a name that begins alike', { origin: 'http://kv.example:8080.evil.example' }],
    ['a sandbox', { origin: 'null' }],
    ['no origin, but the browser says so', { 'sec-fetch-site': 'cross-site' }],
    ['a page of the same site', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors' }],
  ]
  it.each(foreign)('of another site changes nothing: %s', async (_, headers) => {
    const node = new FakeNode()
    const { app } = testApp(node)
    for (const method of ['PUT', 'DELETE', 'POST']) {
      const response = await app.request(url, { method, headers: { ...octets, ...headers }, body })
      expect(response.status).toBe(403)
      expect(await answer(response)).toMatchObject({ code: 'permission-denied', outcome: 'not-applied' })
      expect(response.headers.get('access-control-allow-origin')).toBeNull()
    }
    expect(node.records.size).toBe(0)
  })

  it('of this node changes what it likes, and so do programs that are no browsers', async () => {
    const { app } = testApp()
    for (const headers of [{}, { origin: 'http://kv.example:8080', 'sec-fetch-site': 'same-origin' }]) {
      expect((await app.request(url, { method: 'PUT', headers: { ...octets, ...headers }, body })).status).toBe(200)
    }
  })

  it('of another site may link here, but not load from here', async () => {
    const { app } = testApp()
    const link = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }
    expect((await app.request('http://localhost/version', { headers: link })).status).toBe(200)
    const script = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }
    expect((await app.request('http://localhost/version', { headers: script })).status).toBe(403)
  })

  it('is told nothing by a preflight', async () => {
    const headers = { origin: 'https://evil.example', 'access-control-request-method': 'PUT' }
    const response = await testApp().app.request(url, { method: 'OPTIONS', headers })
    expect(response.status).toBe(204)
    expect(response.headers.get('allow')).toBe('DELETE, GET, HEAD, OPTIONS, PUT')
    expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
  })

  it('cannot be made of what is stored', async () => {
    const { app } = testApp()
    const page = '<script>alert(1)</script>'
    await app.request('/kv/k', { method: 'PUT', headers: octets, body: page })
    const response = await app.request('/kv/k', { headers: { accept: 'application/octet-stream' } })
    expect(await response.text()).toBe(page)
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
  })
})
