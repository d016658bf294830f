import { type ServiceError, status } from '@grpc/grpc-js'
import { KvError } from '@quorumkv/internal/base'
import { Consistency } from '@quorumkv/proto/kv/v1/kv'
import { newToken } from '@quorumkv/proto/tokens'
import { expect, it } from 'vitest'
import { entry, TestAuthFile } from '../access/access.test-support.js'
import { AccessControl } from '../access/access-control.js'
import { AuthFile } from '../access/auth-file.js'
import { FakeNode } from '../fake-node.test-support.js'
import { reply, startServices, testClock } from '../services.test-support.js'

const get = { key: Buffer.from('k'), consistency: Consistency.QUORUM }

function accessWith(rates: { operationsPerSecond: number; bytesPerSecond: number }, file?: AuthFile): AccessControl {
  const clock = { ...testClock, monotonicMs: () => 1_000 }
  return new AccessControl({ rates, clock, log: console as never, audit: () => undefined, node: () => undefined, file })
}

it('a principal that goes too fast is overloaded, and told when to come again', async () => {
  const access = accessWith({ operationsPerSecond: 2, bytesPerSecond: 0 })
  await using services = await startServices(new FakeNode(), () => access)
  for (let i = 0; i < 2; i++) await reply((done) => services.kv.get(get, done))
  const error = (await reply((done) => services.kv.get(get, done)).catch((thrown: unknown) => thrown)) as ServiceError
  expect(error.code).toBe(status.RESOURCE_EXHAUSTED)
  expect(error.metadata.get('grpc-retry-pushback-ms')).toEqual(['500'])
  expect(services.bugs).toEqual([])
})

it('what has been read is paid for before more is', async () => {
  const node = new FakeNode()
  await node.put(get.key, Buffer.alloc(500), { consistency: 'quorum', deadlineMs: Number.POSITIVE_INFINITY } as never)
  const access = accessWith({ operationsPerSecond: 0, bytesPerSecond: 100 })
  await using services = await startServices(node, () => access)
  await reply((done) => services.kv.get(get, done))
  const error = (await reply((done) => services.kv.get(get, done)).catch((thrown: unknown) => thrown)) as ServiceError
  expect([error.code, error.metadata.get('grpc-retry-pushback-ms')]).toEqual([status.RESOURCE_EXHAUSTED, ['4020']])
})

it('an entry of the auth file says how fast its principal may go, and keeps its bucket while it says the same', () => {
  using file = new TestAuthFile()
  const app = newToken('app')
  const own = entry(app, 'app').replace('principals:\n', '')
  file.write(`${entry(file.token)}${own}    operationsPerSecond: 1\n`)
  const access = accessWith({ operationsPerSecond: 0, bytesPerSecond: 0 }, new AuthFile(file.path))
  const { rate } = access.identify(`Bearer ${app}`)
  rate!.admit(0)
  expect(() => rate!.admit(0)).toThrow(KvError)
  expect(access.identify(`Bearer ${app}`).rate).toBe(rate)
  expect(access.identify(`Bearer ${file.token}`).rate).toBeUndefined()
  access.stop()
})
