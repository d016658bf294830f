import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KvClient } from '@quorumkv/client'
import { expect, test } from 'vitest'
import {
  eventually,
  freePorts,
  type LogLine,
  longForm,
  makeClient,
  makeTemporaryDirectory,
  runServer,
  startKv,
  TestCluster,
  TestServer,
} from '../fixtures.js'

/** Three nodes that speak TLS only and ask who calls, and what it takes to call them. */
interface Guarded extends AsyncDisposable {
  readonly cluster: TestCluster
  readonly addresses: readonly string[]
  readonly ca: string
  readonly root: string
  readonly admin: KvClient
}

async function start(): Promise<Guarded> {
  const directory = makeTemporaryDirectory()
  const [certificates, authFile] = [join(directory, 'certs'), join(directory, 'auth.yaml')]
  expect(await runServer(['certs', 'init', '--dir', certificates, '--nodes', 'n1,n2,n3'])).toMatchObject({ status: 0 })
  const { status, output } = await runServer(['auth', 'init', '--auth-file', authFile])
  expect(status).toBe(0)
  const root = /qkv_admin_\S+/.exec(output)![0]
  const file = (name: string): string => join(certificates, name)
  const ports = await freePorts(3)
  const peers = ports.map((port) => `127.0.0.1:${port}`)
  const tls = (id: string): string[] => ['--tls-cert', file(`${id}.crt`), '--tls-key', file(`${id}.key`)]
  const servers = ['n1', 'n2', 'n3'].map((id, i) => {
    const flags = [...tls(id), '--tls-ca', file('ca.crt'), '--auth-file', authFile]
    return new TestServer({ id, port: ports[i]!, peers, flags })
  })
  const cluster = new TestCluster(servers)
  await cluster.ready()
  const admin = makeClient(cluster.addresses, { token: root, tls: { ca: readFileSync(file('ca.crt')) } })
  return {
    ...{ cluster, addresses: cluster.addresses, ca: file('ca.crt'), root, admin },
    [Symbol.asyncDispose]: async () => {
      await admin.close()
      await cluster[Symbol.asyncDispose]()
    },
  }
}

interface Ended {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

function begin({ addresses, ca }: Pick<Guarded, 'addresses' | 'ca'>, token: string, ...argv: string[]) {
  return startKv(addresses, argv, { KV_TLS_CA: ca, ...(token === '' ? {} : { KV_TOKEN: token }) })
}

async function kv(at: Pick<Guarded, 'addresses' | 'ca'>, token: string, ...argv: string[]): Promise<Ended> {
  await using program = begin(at, token, ...argv)
  const { status } = await program.exited
  return { status, out: program.output, err: program.diagnostics }
}

const auditIn = (lines: readonly LogLine[]): string[] =>
  lines
    .filter((line) => line['log'] === 'audit' && /BackupSlots|RestoreSlots/.test(String(line['action'])))
    .map(({ action, who, outcome }) => `${String(action).replace(/^.*\//, '')} ${who} ${outcome}`)

async function principal(admin: KvClient, addresses: readonly string[], ca: string, name: string, prefixes?: string[]) {
  const { token } = await admin.operator.createPrincipal(name, {
    role: 'admin',
    ...(prefixes === undefined ? {} : { prefixes }),
  })
  await using known = makeClient(addresses, { token, tls: { ca: readFileSync(ca) } })
  await eventually('all members know it', () =>
    known
      .ready()
      .then(() => true)
      .catch(() => false),
  )
  return token
}

test('over TLS, and where nodes ask who calls: an admin of all keys backs up and restores, and all is told in the audit log', async () => {
  await using guarded = await start()
  const { admin, cluster, addresses, ca, root } = guarded
  await admin.putMany(Array.from({ length: 500 }, (_, i) => [`${i % 2 === 0 ? 'a' : 'b'}:${i}`, `value ${i}`] as const))
  const directory = join(makeTemporaryDirectory(), 'backups')
  const half = await principal(admin, addresses, ca, 'half', ['a:'])

  // Through one node alone, of which the log is looked at.
  const [n1] = cluster.servers
  const one = { addresses: [addresses[0]!], ca }
  for (const [token, why] of [
    ['', /a token is needed.*--token-file/s],
    [`${root.slice(0, -4)}AAAA`, /no such token|token is not valid|token/],
    [half, /may not use all keys/],
  ] as const) {
    const refused = await kv(one, token, 'backup', 'create', directory)
    expect(refused, refused.err).toMatchObject({ status: 1, out: '' })
    expect(refused.err).toMatch(why)
    expect(refused.err).not.toContain(root.slice(-43))
    expect(existing(directory)).toEqual([])
  }
  const foreign = join(makeTemporaryDirectory(), 'foreign')
  expect(await runServer(['certs', 'init', '--dir', foreign, '--nodes', 'n1'])).toMatchObject({ status: 0 })
  const untrusted = await kv(
    { ...one, ca: join(foreign, 'ca.crt') },
    root,
    '--timeout',
    '3s',
    'backup',
    'create',
    directory,
  )
  expect(untrusted, untrusted.err).toMatchObject({ status: 1 })
  expect(untrusted.err).toMatch(/certificate/)
  expect(existing(directory)).toEqual([])

  const made = await kv(one, root, '--json', 'backup', 'create', directory)
  expect(made, made.err).toMatchObject({ status: 0 })
  expect(JSON.parse(made.out)).toMatchObject({ kind: 'full', records: 500 })
  for (let i = 0; i < 500; i += 5) await admin.delete(`${i % 2 === 0 ? 'a' : 'b'}:${i}`)
  // An admin of some keys brings back those, and none of the others.
  const foreignKeys = await kv(one, half, 'backup', 'restore', directory)
  expect(foreignKeys, foreignKeys.err).toMatchObject({ status: 1 })
  expect(foreignKeys.err).toContain('half may not use this key')
  const own = await kv(one, half, '--json', 'backup', 'restore', directory, '--prefix', 'a:')
  expect(own, own.err).toMatchObject({ status: 0 })
  expect(JSON.parse(own.out)).toMatchObject({ stored: 200, superseded: 50, deleted: 0 })
  const overwritten = await kv(
    one,
    half,
    '--json',
    'backup',
    'restore',
    directory,
    '--prefix',
    'a:',
    '--overwrite',
    '--yes',
  )
  expect(JSON.parse(overwritten.out), overwritten.err).toMatchObject({ status: 'done', overwritten: 250 })
  expect([await admin.get('a:0'), await admin.get('b:5')]).toEqual(['value 0', undefined])

  // However many calls each of them was, and however many of the refused ones were under way at a time.
  expect([...new Set(auditIn(n1!.lines))]).toEqual([
    'BackupSlots half permission-denied',
    'BackupSlots admin ok',
    'RestoreSlots half permission-denied',
    'RestoreSlots half ok',
  ])
  expect(auditIn(n1!.lines).filter((line) => line.endsWith('ok'))).toHaveLength(2)
  expect(JSON.stringify(n1!.lines)).not.toContain(root.slice(-43))
}, 120_000)

test.runIf(longForm)(
  'a token that is revoked in the middle ends a backup without a trace, and a restore with what became of it',
  async () => {
    await using guarded = await start()
    const { admin, addresses, ca, root } = guarded
    await admin.putMany(Array.from({ length: 20_000 }, (_, i) => [`key:${i}`, 'v'.repeat(500)] as const))
    const directory = join(makeTemporaryDirectory(), 'backups')
    expect(await kv(guarded, root, 'backup', 'create', directory)).toMatchObject({ status: 0 })
    const before = existing(directory)
    for (const address of addresses) await admin.operator.streamRate(address, 500_000)

    const saver = await principal(admin, addresses, ca, 'saver')
    await using making = begin(guarded, saver, 'backup', 'create', directory, '--full')
    await eventually('it writes', () => existing(directory).length > before.length)
    await admin.operator.revokePrincipal('saver')
    expect(await making.end(), making.diagnostics).toMatchObject({ status: 1 })
    expect(making.diagnostics).toMatch(/token/)
    expect(existing(directory)).toEqual(before)
    expect(await kv(guarded, root, 'backup', 'verify', directory)).toMatchObject({ status: 0 })

    const bringer = await principal(admin, addresses, ca, 'bringer')
    await using restoring = begin(guarded, bringer, '--json', 'backup', 'restore', directory)
    const told = (): string[] => guarded.cluster.servers.flatMap(({ lines }) => auditIn(lines))
    await eventually('it brings some', () => told().includes('RestoreSlots bringer ok'))
    await admin.operator.revokePrincipal('bringer')
    expect(await restoring.end(), restoring.diagnostics).toMatchObject({ status: 1 })
    const cut = JSON.parse(restoring.output) as Record<string, unknown>
    expect(cut).toMatchObject({ status: 'failed', nextSlot: expect.any(Number) })
    expect(restoring.diagnostics).toMatch(/unauthenticated|token/)
    for (const address of addresses) await admin.operator.streamRate(address, 100_000_000)
    const rest = await kv(
      guarded,
      root,
      '--json',
      'backup',
      'restore',
      directory,
      '--from-slot',
      String(cut['nextSlot']),
    )
    expect(JSON.parse(rest.out), rest.err).toMatchObject({ status: 'done', superseded: 0, deleted: 0 })
  },
  120_000,
)

function existing(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
