import { newToken } from '@quorumkv/proto/tokens'
import { describe, expect, test } from 'vitest'
import { httpTable, ruleOfRoute } from '../access/table.js'
import { GuardedApp, samples } from './access.test-support.js'
import { checkTable } from './admission.js'
import { answer, testApp } from './app.test-support.js'

const cover = { read: ['reader', 'writer', 'admin'], write: ['writer', 'admin'], admin: ['admin'] } as const

/** The status that keeps somebody out; 0: none does. By the rule of the route, and by nothing else. */
function expected(route: string, who: string): number {
  const { permission, perKey } = httpTable[route]!
  if (permission === 'open' || permission === 'peer') return 0
  if (who === 'file') return 0
  // Without a key there is none that could be somebody else's.
  if (who === 'elsewhere') return perKey && !route.endsWith('/') ? 403 : 0
  if (!['reader', 'writer', 'admin'].includes(who)) return 401
  return (cover[permission] as readonly string[]).includes(who) ? 0 : 403
}

/** Files have no other names until the page is built. */
function routesOf({ told }: GuardedApp): Set<string> {
  const routes = told.app.routes.filter(({ method }) => method !== 'ALL')
  const names = routes.map(({ method, path }) => `${method} ${path.startsWith('/assets/') ? '/assets/*' : path}`)
  return new Set([...names, 'GET /favicon.svg', 'GET /assets/*'])
}

test('every route with no, malformed, wrong, revoked, expired, low, misplaced and right credentials is as the table says', async () => {
  using app = new GuardedApp()
  const { tokens } = app
  expect((await app.as('revoked', '/version')).status).toBe(200)
  app.revoke('revoked')
  const shown: Record<string, string | undefined> = {
    none: undefined,
    malformed: 'Bearer',
    'no token': 'Bearer something',
    basic: `Basic ${Buffer.from(`reader:${tokens.reader}`).toString('base64')}`,
    'two tokens': `Bearer ${tokens.reader} ${tokens.reader}`,
    wrong: `Bearer ${newToken('reader')}`,
    "another's name": `Bearer ${tokens.reader.replace('reader', 'admin')}`,
    longer: `Bearer ${tokens.reader}x`,
    stranger: `Bearer ${tokens.stranger}`,
    revoked: `Bearer ${tokens.revoked}`,
    expired: `Bearer ${tokens.expired}`,
    reader: `Bearer ${tokens.reader}`,
    writer: `Bearer ${tokens.writer}`,
    admin: `Bearer ${tokens.admin}`,
    elsewhere: `Bearer ${tokens.elsewhere}`,
    file: `Bearer ${app.file.token}`,
  }
  expect([...routesOf(app)].sort()).toEqual(Object.keys(httpTable).sort())
  const seen: string[] = []
  const wanted: string[] = []
  for (const route of Object.keys(httpTable)) {
    // What they make of credentials is looked at below.
    if (route === 'GET /whoami' || route === 'POST /login') continue
    const sample = samples[route]
    expect(sample, `a sample request for ${route}`).toBeDefined()
    for (const [who, authorization] of Object.entries(shown)) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization }
      const response = await app.request(sample!.path, sample!.init, headers)
      const { status } = response
      if (status === 401) expect(response.headers.get('www-authenticate')).toMatch(/^Bearer /)
      if (status === 401 || status === 403) {
        expect(await answer(response)).toMatchObject({
          code: status === 401 ? 'unauthenticated' : 'permission-denied',
          retryable: false,
        })
      } else await response.body?.cancel()
      seen.push(`${route} ${who}: ${status === 401 || status === 403 ? status : 0}`)
      wanted.push(`${route} ${who}: ${expected(route, who)}`)
    }
  }
  expect(seen).toEqual(wanted)
  expect(app.told.bugs).toEqual([])
  const logged = JSON.stringify(app.told.lines)
  for (const token of [...Object.values(tokens), app.file.token]) expect(logged).not.toContain(token.slice(-43))
})

test('a route that nobody has thought about keeps the node from starting', () => {
  for (const path of ['/forgotten', '/kv/:key/history', '/constructor']) {
    const { app } = testApp()
    app.get(path, (c) => c.text('x'))
    expect(() => checkTable(app, false)).toThrowError(expect.objectContaining({ reason: 'bug' }))
  }
  expect(() => ruleOfRoute('PATCH', '/kv/:key', false)).toThrow('is served')
})

test('who may not use a key learns nothing of it: neither that it is there, nor that it could be', async () => {
  using app = new GuardedApp()
  const put = { method: 'PUT', body: 'v', headers: { 'content-type': 'application/octet-stream' } }
  expect((await app.as('elsewhere', '/kv/other%2Fx', put)).status).toBe(200)
  const told = async (path: string, init?: RequestInit): Promise<unknown> => {
    const { requestId: _, ...problem } = await answer(app.as('reader', path, init))
    return problem
  }
  for (const init of [{}, { method: 'DELETE' }, put]) {
    expect(await told('/kv/other%2Fx', init)).toEqual(await told('/kv/other%2Fy', init))
  }
  expect(await told('/locate/other%2Fx')).toEqual(await told('/locate/other%2Fy'))
  expect(await told('/kv?prefix=other%2F')).toEqual(await told('/kv?prefix=nothing'))
  // A prefix of one's own prefix covers more than that.
  for (const path of ['/kv', '/kv?prefix=', '/kv?prefix=app', '/kv?prefix=app%2Fx&prefix=']) {
    const { status } = await app.as('reader', path)
    expect([400, 403]).toContain(status)
  }
  expect((await app.as('reader', '/kv?prefix=app%2F')).status).toBe(200)
  expect((await app.as('reader', '/kv/YXBwL2tleQ?keyEncoding=base64url')).status).toBe(404)
  expect((await app.as('reader', '/kv/b3RoZXIveA?keyEncoding=base64url')).status).toBe(403)
  expect(app.node.records.size).toBe(1)
})

test('/metrics is open where that was asked for, and nothing else is', async () => {
  using app = new GuardedApp({ metricsOpen: true })
  expect((await app.request('/metrics')).status).toBe(200)
  expect((await app.request('/version')).status).toBe(401)
})

test('/openapi.json says of each route what it takes', async () => {
  using app = new GuardedApp()
  const document = (await (await app.as('reader', '/openapi.json')).json()) as {
    paths: Record<string, Record<string, { security: unknown[]; description?: string; responses: object }>>
    components: { securitySchemes: object }
  }
  expect(Object.keys(document.components.securitySchemes)).toEqual(['token', 'login', 'certificate'])
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, { security, description, responses }] of Object.entries(operations)) {
      const { permission } = httpTable[`${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`]!
      expect(security).toHaveLength(permission === 'open' ? 0 : 3)
      if (permission === 'open') continue
      expect(description).toContain(permission)
      expect(Object.keys(responses)).toContain('401')
    }
  }
})

describe('the audit log', () => {
  test('tells who was refused what, from where and why, and of keys and tokens nothing', async () => {
    using app = new GuardedApp()
    await app.as('reader', '/kv/app%2Fsecret-key', { method: 'PUT', body: 'v' })
    await app.as('reader', '/kv/other%2Fsecret-key')
    await app.request('/kv/app%2Fsecret-key')
    await app.request('/kv/app%2Fsecret-key', { method: 'DELETE' }, { origin: 'https://evil.example' })
    const audited = app.told.lines.filter(({ facts }) => facts['log'] === 'audit')
    expect(audited.map(({ message, facts: { action, who, outcome } }) => [message, action, who, outcome])).toEqual([
      ['refused', 'PUT /kv/:key', 'reader', 'permission-denied'],
      ['refused', 'GET /kv/:key', 'reader', 'permission-denied'],
      ['refused', 'GET /kv/:key', '', 'unauthenticated'],
      ['refused', 'DELETE /kv/:key', '', 'permission-denied'],
    ])
    expect(JSON.stringify(audited)).not.toMatch(/secret-key|qkv_/)
  })

  test('is not filled by those who are refused, known or not', async () => {
    using app = new GuardedApp()
    const beganMs = Date.now()
    for (let i = 0; i < 100; i++) {
      await app.request('/version')
      await app.as('reader', '/kv/other%2Fx')
    }
    const refused = app.told.lines.filter(({ message }) => message === 'refused')
    // 20 of either in each second that was touched.
    const seconds = 1 + Math.ceil((Date.now() - beganMs) / 1_000)
    expect(refused.length).toBeGreaterThanOrEqual(40)
    expect(refused.length).toBeLessThanOrEqual(Math.min(40 * seconds, 160))
  })
})
