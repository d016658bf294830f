import { limits } from '@quorumkv/internal/base'
import { newToken } from '@quorumkv/proto/tokens'
import { describe, expect, test } from 'vitest'
import { httpTable } from '../access/table.js'
import { testClock } from '../calls/services.test-support.js'
import { GuardedApp, samples } from './access.test-support.js'
import { testApp } from './app.test-support.js'
import { Logins } from './logins.js'

const json = { 'content-type': 'application/json' }

describe('who signs in', () => {
  test('gets a cookie that scripts cannot see, other sites do not send, and that is no token', async () => {
    using app = new GuardedApp()
    const response = await app.login(app.tokens.reader)
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({
      authentication: true,
      by: 'login',
      principal: { name: 'reader', role: 'read', prefixes: [{ prefix: 'app/' }] },
    })
    const cookie = response.headers.get('set-cookie')!
    expect(cookie).toMatch(/^kv-login-8080=[A-Za-z0-9_-]{43}; Path=\/; HttpOnly; SameSite=Strict$/)
    expect(cookie).not.toContain(app.tokens.reader.slice(-43))
    expect(response.headers.get('cache-control')).toBe('no-store')
    const behindProxy = await app.login(app.tokens.reader, { origin: 'https://kv.example:8080' })
    expect(behindProxy.headers.get('set-cookie')).toMatch(
      /^__Host-kv-login-8080=\S{43}; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
    )
  })

  test('may do with the cookie what is theirs, until they sign out; two ports of a host are two logins', async () => {
    using app = new GuardedApp()
    const cookie = await app.cookie('reader')
    const others = `kv-login-8081=${cookie.split('=')[1]}; x=y`
    expect((await app.request('/kv/app%2F1', {}, { cookie: `x=y; ${cookie}` })).status).toBe(404)
    expect((await app.request('/kv/other', {}, { cookie })).status).toBe(403)
    expect((await app.request('/kv/app%2F1', { method: 'DELETE' }, { cookie })).status).toBe(403)
    expect((await app.request('/version', {}, { cookie: others })).status).toBe(401)
    const secure = `__Host-${cookie}`
    expect((await app.request('/version', {}, { cookie: secure })).status).toBe(200)
    expect(await (await app.request('/whoami', {}, { cookie })).json()).toMatchObject({ by: 'login' })
    const out = await app.request('/logout', { method: 'POST' }, { cookie })
    expect(out.status).toBe(204)
    expect(out.headers.getSetCookie().every((each) => each.includes('Max-Age=0'))).toBe(true)
    expect((await app.request('/version', {}, { cookie })).status).toBe(401)
    expect(await (await app.request('/whoami', {}, { cookie })).json()).toMatchObject({ principal: null })
    expect((await app.request('/logout', { method: 'POST' }, { cookie })).status).toBe(204)
    const told = app.told.lines.filter(({ message }) => message === 'allowed').map(({ facts }) => facts)
    expect(told.map(({ action, who }) => `${action} ${who}`)).toEqual(['POST /login reader', 'POST /logout reader'])
  })

  test('needs a token that is good, in JSON and nothing else; what was sent is told nowhere', async () => {
    using app = new GuardedApp()
    const bad = newToken('reader')
    expect((await app.login(bad)).status).toBe(401)
    expect((await app.login('')).status).toBe(401)
    expect((await app.login(app.tokens.expired)).status).toBe(401)
    const post = (headers: Record<string, string>, body: string): Promise<Response> =>
      app.request('/login', { method: 'POST', body }, headers)
    const text = JSON.stringify({ token: app.tokens.reader })
    for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data; boundary=x']) {
      expect((await post({ 'content-type': type }, text)).status).toBe(415)
    }
    expect((await post({}, text)).status).toBe(415)
    expect((await post(json, `${text}x`)).status).toBe(400)
    expect((await post(json, JSON.stringify({ token: 1 }))).status).toBe(400)
    expect((await post(json, JSON.stringify({ token: bad, more: bad }))).status).toBe(400)
    expect((await post(json, JSON.stringify({ token: bad.repeat(30) }))).status).toBe(413)
    expect(JSON.stringify(app.told.lines)).not.toMatch(/qkv_[a-z]|[A-Za-z0-9_-]{43}/)
    expect(app.told.lines.map(({ message }) => message)).toEqual(['refused', 'refused', 'refused'])
    expect((await testApp().app.request('/login', { method: 'POST', body: text, headers: json })).status).toBe(400)
  })

  test('is nobody once the principal is revoked, and the feed that they read ends', async () => {
    using app = new GuardedApp()
    const cookie = await app.cookie('revoked')
    const streams = [
      await app.request('/feed', {}, { cookie }),
      await app.as('revoked', '/feed'),
      await app.as('reader', '/feed'),
    ].map(({ body }) => body!.getReader())
    for (const reader of streams) await reader.read()
    app.revoke('revoked')
    const ended = async (i: number): Promise<void> => {
      for (;;) if ((await streams[i]!.read()).done) return
    }
    await ended(0)
    await ended(1)
    expect((await app.request('/version', {}, { cookie })).status).toBe(401)
    const last = await app.cookie('reader')
    const stream = (await app.request('/feed', {}, { cookie: last })).body!.getReader()
    await stream.read()
    await app.request('/logout', { method: 'POST' }, { cookie: last })
    for (;;) if ((await stream.read()).done) break
    await streams[2]!.cancel()
  })

  test('too many times is signed out where that was longest ago; after some hours everywhere', () => {
    const timers: { delayMs: number; fire: () => void }[] = []
    const clock = {
      ...testClock,
      setTimer: (delayMs: number, fire: () => void) => {
        const timer = { delayMs, fire }
        timers.push(timer)
        return { cancel: () => void timers.splice(timers.indexOf(timer), 1) }
      },
    }
    const logins = new Logins(clock)
    using app = new GuardedApp()
    const principal = app.told.services.access.identify(`Bearer ${app.tokens.reader}`)
    const handles = Array.from({ length: limits.loginsOfOneMax + 3 }, () => logins.open(principal))
    expect(logins.size).toBe(limits.loginsOfOneMax)
    expect(timers).toHaveLength(limits.loginsOfOneMax)
    expect(handles.map((handle) => logins.find(handle) !== undefined).indexOf(true)).toBe(3)
    const login = logins.find(handles[3]!)!
    expect(timers[0]!.delayMs).toBe(limits.loginMs)
    timers[0]!.fire()
    expect(login.over).toBe(true)
    expect(logins.find(handles[3]!)).toBeUndefined()
    logins.closeAll()
    expect([logins.size, timers.length]).toEqual([0, 0])
  })
})

/** What a page of another site can make a browser send. */
const foreign: readonly [why: string, headers: Record<string, string>][] = [
  ['another origin', { origin: 'https://evil.example', 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'cross-site' }],
  ['a sandbox', { origin: 'null', 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'cross-site' }],
  ['another port', { origin: 'http://kv.example:3000', 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'same-site' }],
]

describe('every route, with the cookie of somebody who may do everything,', () => {
  test('is closed to pages of other sites, and under foreign names', async () => {
    using app = new GuardedApp()
    const cookie = /^[^;]+/.exec((await app.login(app.file.token)).headers.get('set-cookie')!)![0]
    for (const route of Object.keys(httpTable)) {
      const { path, init } = samples[route]!
      for (const [why, headers] of foreign) {
        const response = await app.request(path, init, { cookie, ...headers })
        expect(response.status, `${route}: ${why}`).toBe(403)
        expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
        expect(response.headers.get('set-cookie')).toBeNull()
      }
      const rebound = { ...init, headers: { ...(init?.headers as object), cookie } }
      const response = await app.told.app.request(`http://evil.example:8080${path}`, rebound)
      expect(response.status, `${route}: a foreign name`).toBe(403)
    }
    expect(app.node.records.size).toBe(0)
    expect((await app.request('/version', {}, { cookie })).status).toBe(200)
  })

  test('takes nothing from a form', async () => {
    using app = new GuardedApp()
    const cookie = /^[^;]+/.exec((await app.login(app.file.token)).headers.get('set-cookie')!)![0]
    const form = {
      cookie,
      origin: 'https://evil.example',
      'sec-fetch-site': 'cross-site',
      'sec-fetch-mode': 'navigate',
      'content-type': 'application/x-www-form-urlencoded',
    }
    for (const route of Object.keys(httpTable)) {
      const { path } = samples[route]!
      const response = await app.request(path, { method: 'POST', body: 'value=1' }, form)
      expect(response.status, route).toBe(403)
    }
    expect(app.node.records.size).toBe(0)
  })

  test('answers as what it is, and lets nobody put it into a page of theirs', async () => {
    using app = new GuardedApp()
    for (const route of Object.keys(httpTable)) {
      const { path, init } = samples[route]!
      const response = await app.request(path, init, { authorization: `Bearer ${app.file.token}` })
      expect(response.headers.get('x-content-type-options'), route).toBe('nosniff')
      expect(response.headers.get('content-security-policy'), route).toContain("frame-ancestors 'none'")
      expect(response.headers.get('cross-origin-resource-policy'), route).toBe('same-origin')
      await response.body?.cancel()
    }
  })
})
