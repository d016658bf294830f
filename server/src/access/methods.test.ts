import { newToken } from '@quorumkv/proto/tokens'
import { expect, test } from 'vitest'
import { FakeNode, fakeTopology } from '../fake-node.test-support.js'
import { addReflection } from '../reflection.js'
import { openAccess, startServices, type TestServices } from '../services.test-support.js'
import { demandingAccess, grantOf, TestAuthFile } from './access.test-support.js'
import { GuardedServer } from './guarded-server.js'
import { RawClient, samples, type Verdict } from './methods.test-support.js'
import { grpcTable } from './table.js'

const tokens = Object.fromEntries(
  ['reader', 'writer', 'admin', 'elsewhere', 'revoked', 'expired', 'stranger'].map((name) => [name, newToken(name)]),
)
const of = (name: string): string => `Bearer ${tokens[name]!}`

function granting(): FakeNode {
  const node = new FakeNode()
  const grants = [
    grantOf(tokens['admin']!, 'admin', 'admin', ['app/', 'zzz']),
    { ...grantOf(tokens['expired']!, 'expired', 'admin'), expiresAtMs: 1_000 },
    grantOf(tokens['elsewhere']!, 'elsewhere', 'admin', ['other/', 'app/keys', 'b']),
    grantOf(tokens['reader']!, 'reader', 'read', ['app/']),
    grantOf(tokens['revoked']!, 'revoked', 'admin'),
    grantOf(tokens['writer']!, 'writer', 'write', ['app/key']),
  ]
  node.topology = { ...fakeTopology(3), featureLevel: 2, access: { revision: 1, grants } }
  return node
}

async function started(file: TestAuthFile): Promise<{ services: TestServices; raw: RawClient }> {
  const node = granting()
  const services = await startServices(node, demandingAccess(file))
  addReflection(services.host.server)
  const raw = new RawClient(services.address)
  // Somebody who was known, and is not any more.
  expect(await raw.call('/kv.v1.Cluster/AuthList', of('revoked'))).toBe('admitted')
  const { access } = node.topology!
  const grants = access.grants.filter(({ name }) => name !== 'revoked')
  node.topology = { ...node.topology!, access: { revision: 2, grants } }
  return { services, raw }
}

const refused = { read: ['reader', 'writer', 'admin'], write: ['writer', 'admin'], admin: ['admin'] } as const

/** Takes all keys: whoever may use those with some prefixes only has too few. */
const ofAllKeys = '/kv.v1.Cluster/BackupSlots'

/** What is expected of each method with each credential, by its rule and by nothing else. */
function expected(path: string, who: string): Verdict {
  const { permission, perKey } = grpcTable[path]!
  if (permission === 'open' || permission === 'peer') return 'admitted'
  if (who === 'file') return 'admitted'
  if (who === 'elsewhere') return perKey ? 'permission-denied' : 'admitted'
  if (path === ofAllKeys && who === 'admin') return 'permission-denied'
  if (who in { reader: 0, writer: 0, admin: 0 }) {
    return (refused[permission] as readonly string[]).includes(who) ? 'admitted' : 'permission-denied'
  }
  return 'unauthenticated'
}

test('every method with no, malformed, wrong, revoked, expired, low, misplaced and right credentials is as the table says', async () => {
  using file = new TestAuthFile()
  const { services, raw } = await started(file)
  await using _ = services
  const secret = tokens['reader']!
  const credentials: Record<string, string | undefined> = {
    none: undefined,
    empty: '',
    malformed: 'Bearer',
    'no token': 'Bearer something',
    basic: `Basic ${Buffer.from(`reader:${secret}`).toString('base64')}`,
    'without scheme': secret,
    'two tokens': `Bearer ${secret} ${secret}`,
    wrong: `Bearer ${newToken('reader')}`,
    "another's name": `Bearer ${secret.replace('reader', 'admin')}`,
    longer: `Bearer ${secret}x`,
    stranger: of('stranger'),
    revoked: of('revoked'),
    expired: of('expired'),
    reader: of('reader'),
    writer: of('writer'),
    admin: of('admin'),
    elsewhere: of('elsewhere'),
    file: `bearer  ${file.token}`,
  }
  const methods = [...services.host.methods]
  expect([...methods].sort()).toEqual(Object.keys(grpcTable).sort())
  const seen: string[] = []
  const wanted: string[] = []
  for (const path of methods) {
    expect(samples[path], `a sample request for ${path}`).toBeDefined()
    for (const [who, authorization] of Object.entries(credentials)) {
      const verdict = await raw.call(path, authorization)
      seen.push(`${path} ${who}: ${verdict}`)
      wanted.push(`${path} ${who}: ${expected(path, who)}`)
    }
  }
  expect(seen).toEqual(wanted)
  console.info(`${seen.length} calls: ${methods.length} methods, ${Object.keys(credentials).length} credentials`)
  const told = JSON.stringify(services.lines)
  for (const token of [...Object.values(tokens), file.token]) expect(told).not.toContain(token.slice(-43))
  expect(services.bugs).toEqual([])
  raw.close()
})

test('a method that nobody has thought about keeps the node from starting, asked or not', () => {
  using file = new TestAuthFile()
  for (const access of [openAccess, demandingAccess(file)(() => undefined, console as never)]) {
    const server = new GuardedServer({}, access)
    const method = {
      path: '/kv.v1.Kv/Forgotten',
      requestStream: false,
      responseStream: false,
      requestSerialize: (given: Buffer) => given,
      requestDeserialize: (given: Buffer) => given,
      responseSerialize: (given: Buffer) => given,
      responseDeserialize: (given: Buffer) => given,
    }
    const add = (): void => server.addService({ forgotten: method }, { forgotten: () => undefined })
    expect(add).toThrowError(expect.objectContaining({ reason: 'bug', message: expect.stringContaining('Forgotten') }))
    for (const name of ['constructor', '__proto__']) {
      const inherited = { forgotten: { ...method, path: name } }
      expect(() => server.addService(inherited, { forgotten: () => undefined })).toThrow('is served')
    }
    access.stop()
  }
})
