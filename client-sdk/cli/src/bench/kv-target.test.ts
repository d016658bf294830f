import { expect, it } from 'vitest'
import { FakeClient } from '../fakes.test-support.js'
import { KvTarget } from './kv-target.js'
import { keyName } from './values.js'

const ignore = (): void => undefined
const signal = new AbortController().signal

async function scanning(client: FakeClient, keys: number) {
  for (let key = 0; key < keys; key++) client.set(keyName(key), 'v')
  const target = new KvTarget({ connect: () => client, consistency: 'quorum' })
  const connected = await target.connect(signal)
  await connected.prepareScans!(signal)
  client.scans.length = 0
  return connected
}

it('scans begin at places all over the keys, and end after as many entries as were asked for', async () => {
  const client = new FakeClient()
  const connected = await scanning(client, 30)
  expect(await connected.scan!(0, 5, ignore)).toBe(5)
  expect(await connected.scan!(0.5, 7, ignore)).toBe(7)
  expect(await connected.scan!(0.99, 100, ignore)).toBeLessThan(5)
  expect(client.scans.map(({ pageSize }) => pageSize)).toEqual([5, 7, 100])
  expect(client.scans[0]!.cursor).toBeUndefined()
  expect(new Set(client.scans.map(({ cursor }) => cursor)).size).toBe(3)
})

it('scans see the keys of load tests only', async () => {
  const client = new FakeClient()
  client.set('user:1', 'Ada')
  const connected = await scanning(client, 2)
  expect(await connected.scan!(0, 100, ignore)).toBe(2)
})

it('a scan shows each entry, and ends with the error of who looks at it', async () => {
  const client = new FakeClient()
  const connected = await scanning(client, 3)
  const seen: string[] = []
  await connected.scan!(0, 2, (key, value) => seen.push(`${key} ${Buffer.from(value)}`))
  expect(seen).toEqual([`${keyName(0)} v`, `${keyName(1)} v`])
  const refuse = (): void => {
    throw new Error('not mine')
  }
  await expect(connected.scan!(0, 2, refuse)).rejects.toThrow('not mine')
})

it('reads at level one may be stale, reads at quorum may not', () => {
  const connect = () => new FakeClient()
  expect(new KvTarget({ connect, consistency: 'one' }).reads).toBe('any')
  expect(new KvTarget({ connect, consistency: 'quorum' }).reads).toBe('fresh')
  expect(new KvTarget({ connect, consistency: 'all' }).reads).toBe('fresh')
})

it('a client that cannot reach the cluster is closed again', async () => {
  const made: FakeClient[] = []
  const connect = () => {
    const client = new FakeClient()
    client.ready = () => Promise.reject(new Error('nobody there'))
    made.push(client)
    return client
  }
  const target = new KvTarget({ connect, consistency: 'quorum' })
  await expect(target.connect(signal)).rejects.toThrow('nobody there')
  await expect(target.describe(signal)).rejects.toThrow('nobody there')
  expect(made.map(({ closed }) => closed)).toEqual([true, true])
})
