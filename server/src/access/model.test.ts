import { Metadata, status } from '@grpc/grpc-js'
import type { Role } from '@quorumkv/internal/slots'
import {
  Consistency,
  ErrorCode,
  type Operation,
  type SessionRequest,
  type SessionResponse,
} from '@quorumkv/proto/kv/v1/kv'
import { newToken } from '@quorumkv/proto/tokens'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import { startServices, type TestServices } from '../calls/services.test-support.js'
import { demandingAccess, grantOf, TestAuthFile } from './access.test-support.js'

/** Few letters, so that prefixes of keys, and prefixes of prefixes, are common. */
const text = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 4 })
const key = fc.string({ unit: fc.constantFrom('a', 'b', '/'), minLength: 1, maxLength: 5 })
const role = fc.constantFrom<Role>('read', 'write', 'admin')

interface Caller {
  readonly role: Role
  readonly prefixes: readonly string[]
}

type Act =
  | { readonly kind: 'get' | 'put' | 'delete' | 'locate'; readonly key: string }
  | { readonly kind: 'scan'; readonly prefix: string }
  | {
      readonly kind: 'batch'
      readonly operations: readonly { readonly kind: 'get' | 'put' | 'delete'; readonly key: string }[]
    }

const kind = fc.constantFrom('get' as const, 'put' as const, 'delete' as const)
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({ kind: fc.constantFrom('get' as const, 'put' as const, 'delete' as const, 'locate' as const), key }),
  fc.record({ kind: fc.constant('scan' as const), prefix: text }),
  fc.record({
    kind: fc.constant('batch' as const),
    operations: fc.array(fc.record({ kind, key }), { minLength: 1, maxLength: 6 }),
  }),
)

/** The rules, as a person would say them: not as the server has them. */
function mayUse({ prefixes }: Caller, keys: string): boolean {
  return prefixes.length === 0 || prefixes.some((prefix) => keys.slice(0, prefix.length) === prefix)
}

function mayDo(caller: Caller, one: 'get' | 'put' | 'delete' | 'locate' | 'scan', keys: string): boolean {
  const writes = one === 'put' || one === 'delete'
  return !(writes && caller.role === 'read') && mayUse(caller, keys)
}

const consistency = Consistency.UNSPECIFIED
const bytes = (of: string): Buffer => Buffer.from(of)

function operationOf(id: number, one: 'get' | 'put' | 'delete', of: string): Operation {
  const common = { key: bytes(of), consistency }
  const put = { ...common, value: bytes('v'), returnPrevious: false }
  const request: Operation['request'] = one === 'put' ? { $case: 'put', value: put } : { $case: one, value: common }
  return { id, timeoutMs: 5_000, request, stampAboveMs: 0n, stampLimitMs: 0n, traceparent: '' }
}

/** What one caller is told: one verdict for each key that it named. */
async function verdicts(services: TestServices, token: string, act: Act): Promise<boolean[]> {
  const { kv, cluster } = services
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${token}`)
  const allowed = (error: { readonly code: status } | null): boolean => error?.code !== status.PERMISSION_DENIED
  if (act.kind === 'scan') {
    const empty = Buffer.alloc(0)
    const request = { prefix: bytes(act.prefix), pageSize: 0, cursor: empty, keysOnly: false, consistency }
    const call = kv.scan(request, metadata)
    return await new Promise((resolve) => {
      call.on('error', (error: Error & { code: status }) => resolve([allowed(error)]))
      call.on('data', () => undefined)
      call.on('end', () => resolve([true]))
    })
  }
  if (act.kind === 'batch') {
    const call = kv.session(metadata)
    const operations = act.operations.map((one, id) => operationOf(id + 1, one.kind, one.key))
    const request: SessionRequest = { observedHlc: 0n, operations, cancelled: [] }
    const told = new Map<number, boolean>()
    return await new Promise((resolve, reject) => {
      call.on('data', ({ results }: SessionResponse) => {
        for (const { id, outcome } of results) {
          const refused = outcome?.$case === 'error' && outcome.value.code === ErrorCode.PERMISSION_DENIED
          told.set(id, !refused)
        }
        if (told.size < operations.length) return
        call.end()
        resolve(operations.map(({ id }) => told.get(id)!))
      })
      call.on('error', reject)
      call.write(request)
    })
  }
  return await new Promise((resolve) => {
    const done = (error: (Error & { code: status }) | null): void => resolve([allowed(error)])
    const request = { key: bytes(act.key), consistency }
    if (act.kind === 'get') kv.get(request, metadata, done)
    else if (act.kind === 'delete') kv.delete(request, metadata, done)
    else if (act.kind === 'locate') cluster.locate({ key: bytes(act.key) }, metadata, done)
    else kv.put({ ...request, value: bytes('v'), returnPrevious: true }, metadata, done)
  })
}

test('whatever principals, operations and keys: each key of each call is decided as the rules say, and nothing refused is done', async () => {
  using file = new TestAuthFile()
  const node = new FakeNode()
  node.topology = { ...fakeTopology(3), featureLevel: 2 }
  await using services = await startServices(node, demandingAccess(file))
  let revision = 0
  let decided = 0
  const token = newToken('caller')
  const prefix = text.filter((letters) => letters !== '')
  const callers = fc.record({ role, prefixes: fc.array(prefix, { maxLength: 3 }) })
  await fc.assert(
    fc.asyncProperty(callers, fc.array(act, { minLength: 1, maxLength: 4 }), async (caller, acts) => {
      const grants = [grantOf(token, 'caller', caller.role, [...new Set(caller.prefixes)].sort())]
      node.topology = { ...node.topology!, access: { revision: ++revision, grants } }
      for (const one of acts) {
        const named =
          one.kind === 'batch'
            ? one.operations.map((each) => [each.kind, each.key] as const)
            : [[one.kind, one.kind === 'scan' ? one.prefix : one.key] as const]
        node.records.clear()
        const told = await verdicts(services, token, one)
        expect(told).toEqual(named.map(([what, keys]) => mayDo(caller, what, keys)))
        for (const stored of node.records.keys()) {
          expect(caller.role !== 'read' && mayUse(caller, Buffer.from(stored, 'latin1').toString())).toBe(true)
        }
        decided += told.length
      }
    }),
    { numRuns: 1_000 },
  )
  console.info(`${revision} principals, ${decided} keys and prefixes decided`)
  expect(services.bugs).toEqual([])
}, 120_000)
