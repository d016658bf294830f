import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { OpenAPIHono } from '@hono/zod-openapi'
import { limits } from '@quorumkv/internal/base'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakeNode } from '../calls/fake-node.test-support.js'
import { answer, testApp } from './app.test-support.js'
import { dashboardPolicy, mountDashboardRoutes } from './dashboard-routes.js'
import type { HttpApp, HttpEnv } from './http-parts.js'

describe('the page', () => {
  let folder: string
  let app: HttpApp

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'quorumkv-page-'))
    mkdirSync(join(folder, 'assets'))
    writeFileSync(join(folder, 'index.html'), '<!doctype html><p>page')
    writeFileSync(join(folder, 'assets', 'index-abc.js'), 'const a = 1\n'.repeat(100))
    app = new OpenAPIHono<HttpEnv>()
    mountDashboardRoutes(app, folder)
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('may run and load nothing but its own files, and is asked for anew each time', async () => {
    const response = await app.request('/')
    expect(await response.text()).toBe('<!doctype html><p>page')
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': dashboardPolicy,
      'cache-control': 'no-cache',
    })
    for (const word of ['unsafe', '*', 'http:']) expect(dashboardPolicy).not.toContain(word)
  })

  it('has files that are kept for good, since their names tell what is in them', async () => {
    const response = await app.request('/assets/index-abc.js')
    expect(response.headers.get('cache-control')).toContain('immutable')
    expect(response.headers.get('content-type')).toContain('text/javascript')
  })

  it('is compressed for who takes that', async () => {
    const plain = Buffer.from(await (await app.request('/assets/index-abc.js')).arrayBuffer())
    const response = await app.request('/assets/index-abc.js', { headers: { 'accept-encoding': 'br, gzip' } })
    expect(response.headers.get('content-encoding')).toBe('gzip')
    expect(gunzipSync(await response.arrayBuffer())).toEqual(plain)
    const refused = await app.request('/assets/index-abc.js', { headers: { 'accept-encoding': 'gzip;q=0' } })
    expect(refused.headers.get('content-encoding')).toBeNull()
  })

  it('is not sent again to who has it', async () => {
    const etag = (await app.request('/')).headers.get('etag')!
    const response = await app.request('/', { headers: { 'if-none-match': `W/"x", ${etag}` } })
    expect([response.status, await response.text()]).toEqual([304, ''])
  })

  it('is made of its own files only', async () => {
    for (const path of ['/assets/../index.html/x', '/assets/%2e%2e/%2e%2e/etc/passwd', '/assets/other.js']) {
      expect((await app.request(path)).status).toBe(404)
    }
  })

  it('that was not built says so', async () => {
    const bare: HttpApp = new OpenAPIHono<HttpEnv>()
    mountDashboardRoutes(bare, join(folder, 'nowhere'))
    const response = await bare.request('/')
    expect([response.status, await response.text()]).toEqual([404, expect.stringContaining('npm run build')])
  })
})

describe('the feed', () => {
  it('is a stream of events that no proxy gathers', async () => {
    const { app, bugs } = testApp()
    const response = await app.request('/feed')
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    const reader = response.body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('retry: 1000\n\n')
    expect(new TextDecoder().decode((await reader.read()).value)).toMatch(/^id: [0-9a-f]+-1\nevent: snapshot\ndata: \{/)
    await reader.cancel()
    expect(bugs).toEqual([])
  })

  it('refuses more pages than it can serve', async () => {
    const { app } = testApp()
    const open = await Promise.all(Array.from({ length: limits.feedStreamsMax }, () => app.request('/feed')))
    const refused = await app.request('/feed')
    expect([refused.status, (await answer(refused)).code]).toEqual([429, 'overloaded'])
    await Promise.all(open.map((response) => response.body!.cancel()))
    const again = await app.request('/feed')
    expect(again.status).toBe(200)
    await again.body!.cancel()
  })

  it('opens no stream for who asks for its headers alone', async () => {
    const { app } = testApp()
    for (let i = 0; i <= limits.feedStreamsMax; i++) {
      const response = await app.request('/feed', { method: 'HEAD' })
      expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8'])
    }
    const page = await app.request('/feed')
    expect(page.status).toBe(200)
    await page.body!.cancel()
  })

  it('ends when the node stops', async () => {
    const stopping = new AbortController()
    const { app } = testApp(new FakeNode(), { stopping: stopping.signal })
    const response = await app.request('/feed')
    stopping.abort()
    const reader = response.body!.getReader()
    expect((await reader.read()).done).toBe(true)
    expect((await app.request('/feed')).status).toBe(503)
  })
})

describe('locate', () => {
  it('tells what the owners hold of a key, and no value', async () => {
    const node = new FakeNode()
    const { app } = testApp(node)
    await node.put(Buffer.from('k'), Buffer.from('secret'), {
      consistency: 'quorum',
      deadlineMs: 0,
      cancellation: undefined,
    })
    const text = await (await app.request('/locate/k')).text()
    expect(JSON.parse(text)).toMatchObject({
      slot: expect.any(Number),
      holdings: [{ nodeId: 'fake', answered: true, found: true, tombstone: false, valueBytes: 6, expiresAtMs: 0 }],
    })
    expect(text).not.toContain('secret')
    expect(JSON.parse(await (await app.request('/locate/none')).text()).holdings[0]).toMatchObject({
      found: false,
      version: '',
    })
  })

  it('takes a key as base64url, and refuses what is none', async () => {
    const { app, bugs } = testApp()
    const [plain, encoded] = await Promise.all([
      answer(app.request('/locate/abc')),
      answer(app.request(`/locate/${Buffer.from('abc').toString('base64url')}?keyEncoding=base64url`)),
    ])
    expect(encoded).toEqual(plain)
    const long = await app.request(`/locate/${'k'.repeat(limits.keyBytesMax + 1)}`)
    expect([long.status, (await answer(long)).field]).toEqual([400, 'key'])
    expect((await app.request('/locate/%zz')).status).toBe(400)
    expect((await app.request('/locate/k?keyEncoding=hex')).status).toBe(400)
    expect(bugs).toEqual([])
  })
})
