import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, freePorts, startServers, type TestCluster, TestServer, tryCommand } from '../fixtures.js'
import { type JsonSchema, mismatches } from './described.js'

const json = { 'content-type': 'application/json' }
const wantBytes = { headers: { accept: 'application/octet-stream' } }

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

async function ask(url: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch(url, init)
  return { status: response.status, body: (await response.json()) as Answer['body'] }
}

async function put(url: string, value: string): Promise<Answer> {
  return await ask(url, { method: 'PUT', headers: json, body: JSON.stringify({ value }) })
}

/** A failure tells all that was answered: the status alone does not say why. */
function expectSuccess(what: string, { status, body }: Answer): void {
  expect(status, `${what}: ${JSON.stringify(body)}`).toBe(200)
}

describe('three nodes', () => {
  let cluster: TestCluster
  let urls: readonly string[]
  beforeAll(async () => {
    cluster = await startServers(3, { http: true })
    urls = cluster.servers.map(({ httpUrl }) => httpUrl)
  })
  afterAll(async () => await cluster[Symbol.asyncDispose]())

  it('answer for any key, whichever is asked', async () => {
    for (let i = 0; i < 30; i++) {
      const written = await put(`${urls[i % 3]}/kv/any:${i}`, `value ${i}`)
      expectSuccess(`put any:${i}`, written)
      expect(written.body).toMatchObject({ status: 'success', replicas: 3 })
      expect(written.body['acks']).toBeGreaterThanOrEqual(2)
      for (const [other, url] of urls.entries()) {
        const { body } = await ask(`${url}/kv/any:${i}`)
        const { version } = written.body
        expect(body).toMatchObject({ found: true, value: `value ${i}`, version, nodeId: `n${other + 1}` })
      }
    }
    expect(await ask(`${urls[1]}/kv/any:0`, { method: 'DELETE' })).toMatchObject({
      status: 200,
      body: { existed: true },
    })
    expect(await ask(`${urls[2]}/kv/any:0`)).toEqual({ status: 404, body: { found: false } })
  })

  it('keep bytes as they are', async () => {
    const value = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7919) >>> 3)
    const path = 'kv/raw%2F%ff%00%25'
    const written = await fetch(`${urls[0]}/${path}`, { method: 'PUT', body: value })
    const { version } = (await written.json()) as { version: string }
    const read = await fetch(`${urls[1]}/${path}`, wantBytes)
    expect(Buffer.from(await read.arrayBuffer()).equals(value)).toBe(true)
    expect(read.headers.get('etag')).toBe(`"${version}"`)
    expect(read.headers.get('x-kv-node-id')).toBe('n2')
    const { body } = await ask(`${urls[2]}/${path}`)
    expect(Buffer.from(body['keyBase64'] as string, 'base64').toString('latin1')).toBe('raw/\xff\0%')
    expect(Buffer.from(body['valueBase64'] as string, 'base64').equals(value)).toBe(true)
  })

  it('list every key once, page by page, each page from another node', async () => {
    const keys = Array.from({ length: 57 }, (_, i) => `page:${i}`)
    await Promise.all(keys.map((key, i) => put(`${urls[i % 3]}/kv/${key}`, key)))
    const found: string[] = []
    let cursor = ''
    for (let pages = 0; ; pages++) {
      const { body } = await ask(`${urls[pages % 3]}/kv?prefix=page:&limit=10&cursor=${cursor}`)
      const entries = body['entries'] as { key: string; value: string }[]
      expect(entries.length).toBeLessThanOrEqual(10)
      found.push(...entries.map(({ key }) => key))
      if (body['cursor'] === undefined) break
      cursor = body['cursor'] as string
    }
    expect(found.sort()).toEqual(keys.sort())
  })

  it('let a value end when its time is over', async () => {
    const body = JSON.stringify({ value: 'v' })
    await ask(`${urls[0]}/kv/short?ttlMs=300`, { method: 'PUT', headers: json, body })
    await eventually('it is gone', async () => (await fetch(`${urls[1]}/kv/short`)).status === 404)
  })

  it('agree on where a key lives', async () => {
    const tables = await Promise.all(urls.map((url) => ask(`${url}/cluster`)))
    const slots = tables[0]!.body['slots'] as string[][]
    expect(slots).toHaveLength(4096)
    for (const { body } of tables) expect(body['slots']).toEqual(slots)
    // A member that is held for suspect on a busy machine is not asked.
    await eventually('each tells the figures of all', async () => {
      const told = await Promise.all(urls.map((url) => ask(`${url}/cluster`)))
      const members = told.flatMap(({ body }) => body['members'] as { figures: { entries: number } | null }[])
      return members.length === 9 && members.every(({ figures }) => figures !== null && figures.entries > 0)
    })
    expect(await ask(`${urls[0]}/routing_table`)).toMatchObject({ body: { slots, nodeId: 'n1' } })
    for (const url of urls) {
      const { body } = await ask(`${url}/partition/user:1`)
      const owners = body['owners'] as { id: string }[]
      expect(owners.map(({ id }) => id)).toEqual(slots[body['slot'] as number])
      expect((body['hash'] as number) >>> 20).toBe(body['slot'])
    }
  })

  it('say what is wrong, and do not take what is too large', async () => {
    const value = new Uint8Array(1_048_577)
    const tooLarge = await ask(`${urls[0]}/kv/large`, { method: 'PUT', body: value })
    expect(tooLarge).toMatchObject({ status: 413, body: { code: 'invalid-argument', field: 'value' } })
    expect(await ask(`${urls[0]}/kv/large?consistency=most`)).toMatchObject({
      status: 400,
      body: { code: 'invalid-argument', field: 'consistency' },
    })
    expect(await ask(`${urls[0]}/kv?cursor=AAAA`)).toMatchObject({ status: 400, body: { field: 'cursor' } })
    expect((await ask(`${urls[0]}/kv/large`)).status).toBe(404)
  })

  it('are as their description says', async () => {
    await everyOperationIsDescribed(urls[0]!)
  })

  it('do what the README shows', (context) => {
    if (tryCommand('curl', '--version') === undefined) {
      process.stdout.write('curl lines of the README: skipped, there is no curl here\n')
      context.skip('there is no curl here')
    }
    const root = fileURLToPath(new URL('../..', import.meta.url))
    const block = /## Over HTTP\n[\s\S]*?```sh\n([\s\S]*?)```/.exec(readFileSync(`${root}/README.md`, 'utf8'))![1]!
    const lines = block.trim().split('\n')
    expect(lines.length).toBeGreaterThan(5)
    const outputs = lines.map((line) => {
      const command = line
        .replace(/^curl /, 'curl -sS --fail-with-body ')
        .replace(/localhost:5006(\d)/, (_, node) => urls[Number(node) - 1]!.slice('http://'.length))
      const { status, stdout, stderr } = spawnSync('sh', ['-c', command], { cwd: root, encoding: 'utf8' })
      expect([line, status, stdout.slice(0, 200), stderr]).toEqual([line, 0, expect.any(String), ''])
      const [, expected] = /# (\{.*)…$/.exec(line) ?? []
      if (expected !== undefined) expect(stdout.slice(0, expected.length)).toBe(expected)
      return stdout
    })
    expect(outputs).toContain(readFileSync(`${root}/run.sh`, 'utf8'))
  })
})

interface Operation {
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { schema: JsonSchema }>> }>>
}

interface Description {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

/** For each operation requests that are answered in every way that can be brought about from outside. */
const samples: Readonly<Record<string, readonly [path: string, init: RequestInit, status: number][]>> = {
  'put /kv/{key}': [
    ['/kv/described?ttlMs=60000', { headers: json, body: '{"value":"v"}' }, 200],
    ['/kv/described%ff', { body: Uint8Array.of(255) }, 200],
    ['/kv/described', { headers: json, body: '{}' }, 400],
    ['/kv/described', { headers: { ...json, origin: 'http://evil.example' }, body: '{"value":"v"}' }, 403],
    ['/kv/described', { body: new Uint8Array(1_048_577) }, 413],
    ['/kv/described', { headers: { 'content-type': 'text/plain' }, body: 'v' }, 415],
  ],
  'get /kv/{key}': [
    ['/kv/described', {}, 200],
    ['/kv/described', wantBytes, 200],
    ['/kv/described%ff', {}, 200],
    ['/kv/described', { headers: { 'if-none-match': '*' } }, 304],
    ['/kv/never', {}, 404],
    ['/kv/never?timeoutMs=x', {}, 400],
    ['/kv/never', { headers: { 'sec-fetch-site': 'cross-site' } }, 403],
  ],
  'get /kv': [
    ['/kv?prefix=described', {}, 200],
    ['/kv?prefix=described&keysOnly=true&limit=1', {}, 200],
    ['/kv?limit=0', {}, 400],
  ],
  'delete /kv/{key}': [
    ['/kv/described', {}, 200],
    ['/kv/described', { headers: { 'if-match': '*' } }, 400],
  ],
  'get /partition/{key}': [
    ['/partition/described', {}, 200],
    ['/partition/described%ff', {}, 200],
    ['/partition/%zz', {}, 400],
  ],
  'get /cluster': [['/cluster', {}, 200]],
  'get /routing_table': [['/routing_table', {}, 200]],
  'get /locate/{key}': [
    ['/locate/described', {}, 200],
    ['/locate/%zz', {}, 400],
  ],
  'get /metrics': [['/metrics', {}, 200]],
  'get /livez': [['/livez', {}, 200]],
  'get /readyz': [
    ['/readyz', {}, 200],
    ['/readyz?verbose', {}, 200],
  ],
  'get /version': [['/version', {}, 200]],
  'get /whoami': [['/whoami', {}, 200]],
  // These nodes ask nobody who they are: tests/e2e/access.test.ts signs in at others.
  'post /login': [
    ['/login', { headers: json, body: '{"token":"t"}' }, 400],
    ['/login', { headers: { 'content-type': 'text/plain' }, body: 't' }, 415],
  ],
  'post /logout': [
    ['/logout', { headers: json, body: '{}' }, 204],
    ['/logout', { headers: { ...json, origin: 'http://evil.example' }, body: '{}' }, 403],
  ],
}

async function everyOperationIsDescribed(url: string): Promise<void> {
  const description = (await (await fetch(`${url}/openapi.json`)).json()) as Description & JsonSchema
  expect(description.openapi).toBe('3.1.0')
  const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [`${method} ${path}`, operation] as const),
  )
  // What others add must bring its samples.
  expect(operations.map(([name]) => name).sort()).toEqual(Object.keys(samples).sort())
  const byName = new Map<string, Operation>(operations)
  for (const [name, requests] of Object.entries(samples)) {
    const { responses } = byName.get(name)!
    for (const [path, init, status] of requests) {
      const response = await fetch(url + path, { method: name.split(' ')[0]!.toUpperCase(), ...init })
      const what = `${name}: ${path} → ${response.status}`
      expect([what, response.status, Object.hasOwn(responses, status)]).toEqual([what, status, true])
      const type = response.headers.get('content-type')?.split(';')[0] ?? ''
      const { content } = responses[status]!
      expect([what, content === undefined ? [''] : Object.keys(content)]).toEqual([
        what,
        expect.arrayContaining([type]),
      ])
      if (!type.endsWith('json')) continue
      expect([what, mismatches(await response.json(), content![type]!.schema, description)]).toEqual([what, []])
    }
  }
}

describe('a node that goes away', () => {
  it('by a kill costs the callers of the others nothing', async () => {
    await using cluster = await startServers(3, { http: true })
    const [first, second, third] = cluster.servers.map(({ httpUrl }) => httpUrl)
    expectSuccess('put before', await put(`${first}/kv/before`, 'kept'))
    await cluster.servers[2]!.kill()
    for (let i = 0; i < 40; i++) {
      const url = i % 2 === 0 ? first : second
      expectSuccess(`put k${i}`, await put(`${url}/kv/k${i}`, 'v'))
      expectSuccess(`get k${i}`, await ask(`${url}/kv/k${i}`))
    }
    expect(await ask(`${second}/kv/before`)).toMatchObject({ body: { value: 'kept' } })
    await expect(fetch(`${third}/livez`)).rejects.toThrow()
    await eventually('the others tell it', async () => {
      const { body } = await ask(`${first}/partition/before`)
      const owners = body['owners'] as { id: string; liveness: string }[]
      return owners.find(({ id }) => id === 'n3')?.liveness === 'dead'
    })
  })

  it('by SIGTERM, or that waits for others, says that it is not ready while it is alive', async () => {
    const [port, httpPort, nowhere] = await freePorts(3)
    const url = `http://127.0.0.1:${httpPort}`
    await using server = new TestServer({ id: 'n1', port: port!, httpPort: httpPort!, peers: [`127.0.0.1:${nowhere}`] })
    await eventually(
      'it listens',
      async () =>
        await fetch(`${url}/livez`).then(
          ({ ok }) => ok,
          () => false,
        ),
    )
    const reasons = [expect.stringMatching(/^forming/)]
    await eventually('it is forming', async () => {
      const { body } = await ask(`${url}/readyz`)
      return String(body['detail']).startsWith('forming')
    })
    expect(await ask(`${url}/readyz`)).toMatchObject({ status: 503, body: { code: 'unavailable', reasons } })
    const write = await put(`${url}/kv/k`, 'v')
    expect(write).toMatchObject({ status: 503, body: { code: 'unavailable', outcome: 'not-applied', retryable: true } })
    expect(await ask(`${url}/cluster`)).toMatchObject({ status: 503 })
    expect(await server.stop()).toEqual({ status: 0, signal: null })
  })
})
