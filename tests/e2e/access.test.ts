import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { credentials } from '@grpc/grpc-js'
import { KvClient } from '@quorumkv/client'
import type { Log } from '@quorumkv/internal/env'
import { newToken, tokenHash } from '@quorumkv/proto/tokens'
import { type RunningNode, startNode } from '@quorumkv/server'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestAuthFile } from '../../server/src/access/access.test-support.js'
import { RawClient } from '../../server/src/access/methods.test-support.js'
import { CertificateFolder, testCluster } from '../../server/src/tls/certificates.test-support.js'
import type { TlsFiles } from '../../server/src/tls/material.js'
import { nodeUri } from '../../server/src/tls/names.js'
import { eventually, makeTemporaryDirectory } from '../fixtures.js'
import {
  ask,
  askRoute,
  type CallerName,
  type CallerTls,
  callers,
  expectedOf,
  isWithoutKey,
  methods,
  type Row,
  routes,
  type Verdict,
} from './access.js'

const serverProgram = fileURLToPath(new URL('../../server/bin/kv-server.js', import.meta.url))
const tableFile = fileURLToPath(new URL('../../docs/access.md', import.meta.url))
const directory = makeTemporaryDirectory()
const lines: string[] = []

const say =
  (level: string) =>
  (message: string, facts: object = {}): void =>
    void lines.push(`${level} ${message} ${inspect(facts, { depth: 10, showHidden: true })} ${JSON.stringify(facts)}`)
const log: Log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }

interface Shown {
  readonly authorization?: string
  readonly tls: CallerTls
}

let folder: CertificateFolder
let file: TestAuthFile
let node: RunningNode
let base = ''
let nodeFiles: TlsFiles
let shown: Record<CallerName, Shown>
const tokens: string[] = []

function tlsOf({ cert, key, ca }: TlsFiles): CallerTls {
  return { ca: readFileSync(ca!), cert: readFileSync(cert), key: readFileSync(key) }
}

const bearer = (token: string): string => `Bearer ${token}`

beforeAll(async () => {
  folder = await CertificateFolder.create()
  file = new TestAuthFile()
  nodeFiles = await folder.node('n1')
  const clientTls = tlsOf(await folder.client('app'))
  // Of a member: the one that there is has another certificate of the same name.
  const peerTls = tlsOf(folder.write('member', await folder.issue('n1', [nodeUri(testCluster, 'n1')])))
  const anonymous: CallerTls = { ca: readFileSync(folder.ca) }
  node = await startNode({
    addr: '127.0.0.1:0',
    httpAddr: '127.0.0.1:0',
    dataDir: join(directory, 'n1'),
    tlsCert: nodeFiles.cert,
    tlsKey: nodeFiles.key,
    tlsCa: nodeFiles.ca!,
    authFile: file.path,
    reflection: true,
    logLevel: 'debug',
    log,
    onFatal: (error) => void lines.push(`fatal ${error.message}`),
  })
  await node.ready
  base = `https://${node.httpAddresses[0]}`
  const admin = new KvClient({
    endpoints: node.addresses,
    token: file.token,
    tls: { ca: anonymous.ca },
  })
  const make = async (name: string, role: 'read' | 'write' | 'admin', more: object = {}): Promise<string> => {
    const { token } = await admin.operator.createPrincipal(name, { role, ...more })
    tokens.push(token)
    return token
  }
  const prefixes = ['app/']
  const revoked = await make('revoked', 'admin')
  const expired = await make('expired', 'admin', { expiresAt: new Date(Date.now() + 1_500) })
  const reader = await make('reader', 'read', { prefixes })
  const writer = await make('writer', 'write', { prefixes })
  const elsewhere = await make('elsewhere', 'admin', { prefixes: ['other/', 'app/keys'] })
  await make('app', 'write', { prefixes })
  tokens.push(file.token)
  await admin.operator.revokePrincipal('revoked')
  await admin.close()
  const by = (token: string): Shown => ({ authorization: bearer(token), tls: anonymous })
  shown = {
    'no token': { tls: anonymous },
    malformed: { authorization: `Basic ${Buffer.from(`reader:${reader}`).toString('base64')}`, tls: anonymous },
    wrong: by(newToken('reader')),
    revoked: by(revoked),
    expired: by(expired),
    read: by(reader),
    write: by(writer),
    admin: by(file.token),
    'other keys': by(elsewhere),
    'client certificate': { tls: clientTls },
    'node certificate': { tls: peerTls },
  }
  await eventually('one has expired', async () => (await route('GET /version', 'expired')) === 'unauthenticated')
}, 60_000)

afterAll(async () => {
  await node.stop(1_000)
  folder[Symbol.dispose]()
  file[Symbol.dispose]()
})

function route(name: string, caller: CallerName): Promise<Verdict> {
  const { authorization, tls } = shown[caller]
  return askRoute(base, name, authorization, tls)
}

function connect(tls: CallerTls): RawClient {
  return new RawClient(node.addresses[0]!, credentials.createSsl(tls.ca, tls.key ?? null, tls.cert ?? null))
}

const found = new Map<string, Verdict[]>()

/** Calls everything of a kind as everybody, and compares. */
async function compare(rows: readonly Row[], call: (name: string, who: CallerName) => Promise<Verdict>): Promise<void> {
  const seen: string[] = []
  const wanted: string[] = []
  for (const { name, rule } of rows) {
    const verdicts: Verdict[] = []
    for (const caller of callers) {
      const verdict = await call(name, caller)
      verdicts.push(verdict)
      seen.push(`${name}, ${caller}: ${verdict}`)
      wanted.push(`${name}, ${caller}: ${expectedOf(name, rule, caller)}`)
    }
    found.set(name, verdicts)
  }
  console.info(`${seen.length} calls: ${rows.length} of ${callers.length} callers`)
  expect(seen).toEqual(wanted)
}

test('every route of HTTP lets in whom the table says, and nobody else', { timeout: 120_000 }, async () => {
  await compare(routes, route)
})

test('every method of gRPC lets in whom the table says, and nobody else', { timeout: 120_000 }, async () => {
  const clients = new Map(callers.map((caller) => [caller, connect(shown[caller].tls)]))
  await compare(methods, async (name, caller) => {
    const verdict = await clients.get(caller)!.call(name, shown[caller].authorization)
    return verdict === 'admitted' ? 'yes' : verdict === 'permission-denied' ? 'denied' : verdict
  })
  for (const client of clients.values()) client.close()
})

test('a token that is shown decides, whatever the certificate says', async () => {
  const { tls } = shown['client certificate']
  expect(await askRoute(base, 'GET /kv/:key', bearer(newToken('app')), tls)).toBe('unauthenticated')
  expect(await askRoute(base, 'PUT /kv/:key', shown.read.authorization, tls)).toBe('denied')
  const { text } = await ask(base, '/whoami', {}, tls)
  expect(JSON.parse(text)).toMatchObject({ by: 'certificate', principal: { name: 'app', role: 'write' } })
})

/** What must be nowhere: all of it, or what makes it worth something. */
function secretsOf(more: readonly string[]): readonly string[] {
  const hashes = tokens.map((token) => tokenHash(token))
  const forms = hashes.flatMap((hash) => [hash.toString('hex'), hash.toString('base64'), hash.toString('base64url')])
  const keyLines = readFileSync(nodeFiles.key, 'utf8').split('\n').slice(1, 3)
  return [...tokens.map((token) => token.slice(-43)), ...forms, ...keyLines, ...more]
}

test('no token, hash, cookie, secret or key is in a log, a figure, an answer or the checked settings', async () => {
  const secret = randomBytes(32).toString('base64')
  const secretFile = join(directory, 'secret')
  writeFileSync(secretFile, secret, { mode: 0o600 })
  const second = await startNode({
    addr: '127.0.0.1:0',
    httpAddr: '127.0.0.1:0',
    dataDir: join(directory, 'second'),
    clusterSecretFile: secretFile,
    authFile: file.path,
    log,
    onFatal: (error) => void lines.push(`fatal ${error.message}`),
  })
  await second.ready
  const other = `http://${second.httpAddresses[0]}`
  const told: string[] = []
  const login = { method: 'POST', headers: { 'content-type': 'application/json' } }
  const json = JSON.stringify({ token: file.token })
  const cookies: string[] = []
  for (const [url, tls] of [[base, shown['no token'].tls], [other]] as const) {
    const { headers, text } = await ask(url, '/login', { ...login, body: json }, tls)
    const cookie = /^[^;]+/.exec(headers['set-cookie']![0]!)![0]
    cookies.push(cookie.split('=')[1]!)
    told.push(text)
    const paths = ['/metrics', '/cluster', '/routing_table', '/feed', '/whoami', '/openapi.json', '/readyz?verbose']
    for (const path of [...paths, '/kv', '/', '/locate/x', '/kv/x']) {
      const answer = await ask(url, path, { headers: { cookie } }, tls)
      expect([401, 403], path).not.toContain(answer.status)
      told.push(answer.text, inspect(answer.headers))
    }
    told.push((await ask(url, '/kv/x', { headers: { authorization: bearer(`${file.token}x`) } }, tls)).text)
  }
  await using admin = new KvClient({ endpoints: second.addresses, token: file.token })
  const asText = (value: unknown): string => inspect(value, { depth: 20, showHidden: true, maxArrayLength: 10_000 })
  told.push(asText([await admin.statusAll(), await admin.topology(), await admin.operator.principals(), admin.stats()]))
  told.push(
    execFileSync(
      process.execPath,
      [serverProgram, '--check-config', '--auth-file', file.path, '--cluster-secret-file', secretFile],
      { encoding: 'utf8', env: { PATH: process.env['PATH'] } },
    ),
  )
  await second.stop(1_000)
  expect(lines.some((line) => line.includes('audit') && line.includes('POST /login'))).toBe(true)
  const everything = [...told, ...lines].join('\n')
  expect(everything.length).toBeGreaterThan(20_000)
  for (const kept of secretsOf([secret, ...cookies])) expect(everything).not.toContain(kept)
  expect(lines.filter((line) => line.startsWith('fatal'))).toEqual([])
})

const shortened = (name: string): string => name.replace(/^\/(kv\.v1|kv\.peer\.v1|grpc)\./, '')
const words = { yes: 'yes', unauthenticated: 'who?', denied: 'no' } as const

function lineOf({ name, rule }: Row): string {
  const takes = rule.permission === 'open' ? '' : `${rule.permission}${rule.perKey ? ', keys' : ''}`
  const cells = (found.get(name) ?? []).map((verdict) => words[verdict])
  return `| \`${shortened(name)}\` | ${[takes, ...cells].join(' | ')} |`
}

function tableOf(rows: readonly Row[]): string {
  const heads = ['', 'takes', ...callers]
  const kept = rows.filter(({ name }) => !isWithoutKey(name)).map(lineOf)
  return [`| ${heads.join(' | ')} |`, `|${' --- |'.repeat(heads.length)}`, ...kept].join('\n')
}

test('docs/access.md has these tables', () => {
  const page = `# Who may call what

What a node with \`--auth-file\` and \`--tls-ca\` says to everybody, for everything that can be called. "who?" is \`UNAUTHENTICATED\`, or 401:
nothing was shown, or what was shown is nobody's. "no" is \`PERMISSION_DENIED\`, or 403: it is known who calls, and that is not theirs.
"takes" is the role, each of which includes the one before, and whether the keys must be the caller's; for a prefix all that begins with it must be.

Those who read, write and have the client certificate (of a principal that may write) may use keys that begin with \`app/\`, of which one is asked for; "other keys" is an admin
of others; "admin" one of all. The certificates come without a token. A node's lets it look at others, use no key, and open links between nodes, for
which a token is of no use. Where a token is shown, it decides.

Each line is said to a running server by \`tests/e2e/access.test.ts\`, which writes this page (\`KV_WRITE_TABLES=1\`); the rules are in \`server/src/access/table.ts\`.

## gRPC

${tableOf(methods)}

## HTTP

${tableOf(routes)}

The page of the dashboard is open, and what it shows is not: it asks for that as whoever has signed in. \`/metrics\` is open with \`--metrics-open\`.
`
  if (process.env['KV_WRITE_TABLES'] === '1') writeFileSync(tableFile, page)
  expect(readFileSync(tableFile, 'utf8')).toBe(page)
})
