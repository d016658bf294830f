import { PassThrough } from 'node:stream'
import { KvClient, type KvClientOptions } from '@quorumkv/client'
import { describe, expect, it } from 'vitest'
import { FakeClient, FakeIo, type FakeIoOptions } from './fakes.test-support.js'
import { run } from './program.js'

const token = `qkv_app_${'s'.repeat(43)}`

async function kv(args: string, options: FakeIoOptions = {}) {
  const client = new FakeClient()
  const io = new FakeIo({ timing: client.timing, ...options })
  const made: KvClientOptions[] = []
  const status = await run(args.split(' '), io, (given) => {
    made.push(given)
    return client
  })
  return { status, out: io.stdout.text, err: io.stderr.text, calls: client.operator.calls, made }
}

describe('auth', () => {
  it('list shows who may do what, and who lets in anybody; what prefixes hold cannot move the cursor', async () => {
    const { status, out, err } = await kv('auth list')
    expect(status).toBe(0)
    expect(out).toMatch(/^root +admin +all +never +auth file *$/m)
    expect(out).toMatch(/^app +write +app\/ \\x1b\ufffd +2027-01-15T08:00:00Z +2023-11-14 *$/m)
    expect(err).toBe('node-3 let in anybody: start them with --auth-file\n')
    const told = JSON.parse((await kv('--json auth list')).out)
    expect(told.principals[1]).toMatchObject({ name: 'app', prefixesBase64: ['YXBwLw==', 'G/8='], inFile: false })
    expect(told).toMatchObject({ revision: 7, openMembers: ['node-3'] })
  })

  it('create prints the token alone, so that it can go to a file, and says once what it is', async () => {
    const { status, out, err, calls } = await kv(
      'auth create app --role write --prefix app/ --prefix tmp/ --expires 30d',
    )
    expect([status, out]).toEqual([0, `${token}\n`])
    expect(err).toContain('cannot be shown again')
    expect(err).not.toContain(token)
    const [, name, role, prefixes, expiresAt] = calls[0]!
    expect([name, role, prefixes]).toEqual(['app', 'write', ['app/', 'tmp/']])
    expect((expiresAt as Date).getTime() - Date.now()).toBeGreaterThan(29.9 * 86_400_000)
    expect(JSON.parse((await kv('--json auth create app --role read')).out)).toEqual({
      ...{ name: 'app', role: 'read', token, revision: 8 },
    })
  })

  it.each([
    ['auth create app'],
    ['auth create app --role boss'],
    ['auth create app --role read --expires soon'],
    ['auth'],
  ])('kv %s is refused', async (args) => {
    expect((await kv(args)).status).toBe(2)
  })

  it('revoke asks first, unless it is told not to', async () => {
    expect(await kv('auth revoke app')).toMatchObject({ status: 2, calls: [] })
    const stdin = Object.assign(new PassThrough(), { isTTY: true })
    stdin.write('no\n')
    expect(await kv('auth revoke app', { terminal: true, stdin })).toMatchObject({ status: 1, calls: [] })
    expect(await kv('auth revoke app --yes')).toMatchObject({ status: 0, calls: [['revokePrincipal', 'app']] })
    expect(JSON.parse((await kv('--json auth revoke app --yes')).out)).toEqual({ name: 'app', revision: 9 })
  })
})

describe('the token', () => {
  it('comes out of a file or the environment, and the file wins', async () => {
    const env = { KV_TOKEN: token }
    const made = async (args: string, given: Record<string, string>) => (await kv(args, { env: given })).made[0]
    expect(await made('auth list', env)).toMatchObject({ token, tokenFile: undefined })
    expect(await made('--token-file t auth list', env)).toMatchObject({ token: undefined, tokenFile: 't' })
    expect(await made('auth list', { KV_TOKEN_FILE: 'e' })).toMatchObject({ token: undefined, tokenFile: 'e' })
    expect(await made('auth list', {})).toMatchObject({ token: undefined, tokenFile: undefined })
  })

  it('goes to other machines without TLS only where that is said, in so many words', async () => {
    const insecure = async (args: string, env: Record<string, string> = {}) =>
      (await kv(args, { env })).made[0]?.insecure
    expect(await insecure('auth list')).toBe(false)
    expect(await insecure('--insecure auth list')).toBe(true)
    expect(await insecure('auth list', { KV_INSECURE: 'true' })).toBe(true)
    expect(await insecure('auth list', { KV_INSECURE: 'false' })).toBe(false)
    const io = new FakeIo({ env: { KV_TOKEN: token } })
    const status = await run(['--endpoints', 'kv.example:50051', 'get', 'a'], io, (given) => new KvClient(given))
    expect([status, io.stderr.text]).toEqual([
      2,
      expect.stringMatching(/would be sent to kv.example:50051 without.*--insecure/s),
    ])
    expect(io.stderr.text).not.toContain(token)
  })

  it('can not be given on the command line, where everybody sees it', async () => {
    expect((await kv(`--token ${token} auth list`)).status).toBe(2)
  })

  it('goes with every line of the shell', async () => {
    const stdin = new PassThrough()
    stdin.end('auth list\nget a\n')
    const { made } = await kv('--token-file t --insecure shell', { stdin })
    expect(made.length).toBeGreaterThan(0)
    for (const options of made) expect(options).toMatchObject({ tokenFile: 't', insecure: true })
  })
})
