import { once } from 'node:events'
import { connect, type IncomingHttpHeaders } from 'node:http2'
import { newToken } from '@quorumkv/proto/tokens'
import { expect, test } from 'vitest'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import { eventually, openAccess, startServices, type TestServices } from '../calls/services.test-support.js'
import { addReflection } from '../grpc/reflection.js'
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

async function started(file: TestAuthFile): Promise<{ services: TestServices; raw: RawClient; node: FakeNode }> {
  const node = granting()
  const services = await startServices(node, demandingAccess(file))
  addReflection(services.host.server)
  const raw = new RawClient(services.address)
  // Somebody who was known, and is not any more.
  expect(await raw.call('/kv.v1.Cluster/AuthList', of('revoked'))).toBe('admitted')
  const { access } = node.topology!
  const grants = access.grants.filter(({ name }) => name !== 'revoked')
  node.topology = { ...node.topology!, access: { revision: 2, grants } }
  return { services, raw, node }
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

test('who is refused for a key stands in the audit log, whatever the method, and the key does not', async () => {
  using file = new TestAuthFile()
  const { services, raw } = await started(file)
  await using _ = services
  const told: Record<string, unknown> = {}
  const wanted: Record<string, unknown> = {}
  for (const [path, { perKey }] of Object.entries(grpcTable)) {
    if (!perKey) continue
    services.lines.length = 0
    expect([path, await raw.call(path, of('elsewhere'))]).toEqual([path, 'permission-denied'])
    told[path] = services.lines.map(({ level, facts }) => [level, facts['action'], facts['who'], facts['outcome']])
    wanted[path] = [['warn', path, 'elsewhere', 'permission-denied']]
    expect(JSON.stringify(services.lines)).not.toContain('app/key')
  }
  expect(told).toEqual(wanted)
  raw.close()
})

test('strangers are refused by their headers: what they send is not read, and what they say of themselves is lost', async () => {
  using file = new TestAuthFile()
  const { services, raw } = await started(file)
  await using _ = services
  const noMessage = Buffer.from([0xff, 0xff, 0xff])
  for (const [path, { permission }] of Object.entries(grpcTable)) {
    if (permission === 'open' || permission === 'peer') continue
    expect([path, await raw.call(path, of('stranger'), noMessage)]).toEqual([path, 'unauthenticated'])
  }
  const session = connect(`http://${services.address}`)
  const stream = session.request(
    {
      ':method': 'POST',
      ':path': '/kv.v1.Kv/Put',
      'content-type': 'application/grpc',
      te: 'trailers',
      'kv-ticket': '1',
    },
    { endStream: false },
  )
  stream.write(Buffer.from([0, 0, 16, 0, 0, 1, 2, 3]))
  const [answer] = (await once(stream, 'response')) as [IncomingHttpHeaders]
  expect(answer).toMatchObject({
    'grpc-status': '16',
    'grpc-message': 'a%20token%20is%20needed',
    'kv-outcome': 'not-applied',
  })
  await once(stream.resume(), 'close')
  expect([stream.rstCode, services.host.guard.receivedBytes, services.host.guard.read().calls]).toEqual([0, 0, 0])
  session.destroy()
  raw.close()
})

test('who is nobody any more when their message has come is refused then', async () => {
  using file = new TestAuthFile()
  const { services, raw, node } = await started(file)
  await using _ = services
  const session = connect(`http://${services.address}`)
  const authorization = of('writer')
  const stream = session.request(
    { ':method': 'POST', ':path': '/kv.v1.Kv/Get', 'content-type': 'application/grpc', te: 'trailers', authorization },
    { endStream: false },
  )
  await eventually('it is let in', () => services.host.guard.read().calls === 1)
  node.topology = { ...node.topology!, access: { revision: 3, grants: [] } }
  expect(await raw.call('/kv.v1.Cluster/Status', of('reader'))).toBe('unauthenticated')
  const request = samples['/kv.v1.Kv/Get']!
  stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, request.length]), request]))
  const [answer] = (await once(stream, 'response')) as [IncomingHttpHeaders]
  expect(answer).toMatchObject({ 'grpc-status': '16', 'grpc-message': 'the%20token%20has%20been%20revoked' })
  session.destroy()
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
