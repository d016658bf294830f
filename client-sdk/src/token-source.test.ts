import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { KvClient } from './index.js'
import { limits } from './limits.js'
import { resolveOptions } from './options.js'
import { Connection } from './session/connection.js'
import { FakeCluster } from './session/fake-server.test-support.js'
import { rejection, until } from './session/sockets.test-support.js'
import { TokenSource } from './token-source.js'

let directory: string
let path: string
const ends: (() => unknown)[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kv-token-'))
  path = join(directory, 'token')
})

afterEach(async () => {
  vi.useRealTimers()
  vi.unstubAllEnvs()
  for (const end of ends.splice(0).reverse()) await end()
  rmSync(directory, { recursive: true })
})

const invalid = (field: string) => expect.objectContaining({ code: 'invalid-argument', field })

describe('where a token comes from', () => {
  test('a file, of which the white space at the end is no part', async () => {
    writeFileSync(path, 'first\n')
    const source = TokenSource.of({ tokenFile: path })!
    expect(source.header).toBeUndefined()
    await Promise.all([source.ready(), source.ready()])
    expect(source.header).toBe('Bearer first')
  })

  test('the environment, unless something else is given; nothing there is nothing', () => {
    vi.stubEnv('KV_TOKEN', 'of-the-environment')
    expect(TokenSource.of({})!.header).toBe('Bearer of-the-environment')
    expect(TokenSource.of({ token: 'given' })!.header).toBe('Bearer given')
    vi.stubEnv('KV_TOKEN', '')
    expect(TokenSource.of({})).toBeUndefined()
  })

  test.each([
    [{ token: 'a', tokenFile: 'b' }, 'token'],
    [{ token: 'two words' }, 'token'],
    [{ token: 7 }, 'token'],
    [{ tokenFile: '' }, 'tokenFile'],
    [{ tokenFile: 7 }, 'tokenFile'],
  ])('%j is refused', (options, field) => {
    expect(() => TokenSource.of(options as never)).toThrow(invalid(field))
  })

  test('a file that is not there, or holds no token, says so without what it holds, and is read again', async () => {
    const source = TokenSource.of({ tokenFile: path })!
    expect(await rejection(source.ready())).toMatchObject({ code: 'unauthenticated' })
    writeFileSync(path, 'secret words')
    const error = await rejection(source.ready())
    expect(error).toMatchObject({ code: 'unauthenticated' })
    expect(inspect(error)).not.toContain('secret words')
    writeFileSync(path, 'good')
    await source.ready()
    expect(source.header).toBe('Bearer good')
  })
})

describe('a token that nodes do not take', () => {
  test('is asked for again, once for all who were refused with it', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    let asked = 0
    const source = TokenSource.of({ token: () => `token-${++asked}` })!
    await source.ready()
    vi.advanceTimersByTime(limits.tokenRenewMsMin)
    expect(source.renew(0)).toBe(true)
    await source.ready()
    // Who was refused with the first comes late, and is told of the second.
    expect(source.renew(0)).toBe(true)
    await source.ready()
    expect([source.header, asked, source.generation]).toEqual(['Bearer token-2', 2, 1])
  })

  test('is not asked for again at once: where the new one is no better there is an end', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const source = TokenSource.of({ token: () => 'always-the-same' })!
    await source.ready()
    expect(source.renew(0)).toBe(false)
    vi.advanceTimersByTime(limits.tokenRenewMsMin)
    expect(source.renew(0)).toBe(true)
    await source.ready()
    expect(source.renew(1)).toBe(false)
  })

  test('is the only one where it was given as a text', () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const source = TokenSource.of({ token: 'fixed' })!
    vi.advanceTimersByTime(60_000)
    expect(source.renew(0)).toBe(false)
    expect(source.header).toBe('Bearer fixed')
  })
})

describe('a client of a URL with ?tokenFile=', () => {
  test('goes on with what stands in the file now when its token is revoked, and no call fails', async () => {
    const cluster = await FakeCluster.start(1)
    ends.push(() => cluster.stop())
    cluster.demands = 'Bearer first'
    writeFileSync(path, 'first')
    const client = new KvClient(`kv://${cluster.endpoints[0]}?tokenFile=${encodeURIComponent(path)}`)
    ends.push(() => client.close())
    await client.put('a', '1')
    // Not renewed sooner.
    await new Promise((resolve) => setTimeout(resolve, limits.tokenRenewMsMin))
    cluster.demands = 'Bearer second'
    writeFileSync(path, 'second')
    cluster.nodes[0]!.throwOut()
    expect(await client.get('a')).toBe('1')
    await client.topology()
  })

  test('fails as unauthenticated where the file has nothing better', async () => {
    const cluster = await FakeCluster.start(1)
    ends.push(() => cluster.stop())
    cluster.demands = 'Bearer first'
    writeFileSync(path, 'another')
    const client = new KvClient(`kv://${cluster.endpoints[0]}?tokenFile=${encodeURIComponent(path)}`)
    ends.push(() => client.close())
    expect(await rejection(client.get('a'))).toMatchObject({ code: 'unauthenticated' })
  })
})

describe('without TLS', () => {
  const token = 'secret'

  test.each([['kv.example:50051'], ['10.0.0.1:50051'], ['[2001:db8::1]:50051'], ['localhost.example:1']])(
    'a token is not sent to %s, unless somebody says that it may be',
    (far) => {
      const endpoints = ['localhost:50051', far]
      expect(() => new KvClient({ endpoints, token })).toThrow(invalid('token'))
      expect(() => resolveOptions(`kv://${far}?tokenFile=t`)).toThrow(invalid('token'))
      vi.stubEnv('KV_TOKEN', token)
      expect(() => resolveOptions([far])).toThrow(invalid('token'))
      expect(resolveOptions({ endpoints, token, insecure: true }).insecure).toBe(true)
      expect(resolveOptions(`kv://${far}?tokenFile=t&insecure=1`).insecure).toBe(true)
      expect(resolveOptions({ endpoints, token, tls: true }).insecure).toBe(false)
    },
  )

  test('it goes to this machine', () => {
    const endpoints = ['localhost:50051', '127.0.0.1:50051', '127.8.9.1:1', '[::1]:50051']
    expect(resolveOptions({ endpoints, token }).endpoints).toEqual(endpoints)
  })

  test('it does not go to members on other machines that the cluster tells of', async () => {
    const reasons: string[] = []
    const config = resolveOptions({ endpoints: ['localhost:50051'], token })
    const dialled = new Connection(
      '192.0.2.1:50051',
      config,
      {},
      {
        onReady: () => undefined,
        onMessage: () => undefined,
        onDrain: () => undefined,
        onBroken: ({ error }) => reasons.push(error.message),
      },
    )
    await until(() => reasons.length > 0, 'it is refused')
    dialled.destroy()
    expect(reasons[0]).toMatch(/^192\.0\.2\.1:50051: is on another machine, and the token would go there without/)
  })
})
