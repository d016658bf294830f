import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ServerCredentials } from '@grpc/grpc-js'
import { afterEach, expect, test } from 'vitest'
import { KvClient, type KvClientOptions } from './index.js'
import { FakeCluster } from './session/fake-server.test-support.js'
import { testCertificate, testKey } from './tls.test-support.js'

let cluster: FakeCluster

const startTls = async (authority: string | null, requireClientCertificate: boolean): Promise<void> => {
  const pair = { private_key: Buffer.from(testKey), cert_chain: Buffer.from(testCertificate) }
  const ca = authority === null ? null : Buffer.from(authority)
  cluster = await FakeCluster.start(2, ServerCredentials.createSsl(ca, [pair], requireClientCertificate))
}

afterEach(() => cluster.stop())

const roundTrip = async (options: KvClientOptions | string): Promise<string | undefined> => {
  await using client = new KvClient(options)
  await client.put('k', 'v', { timeoutMs: 2000 })
  return await client.get('k', { timeoutMs: 2000 })
}

test('a cluster with TLS is reached with the authority that the client trusts', async () => {
  await startTls(null, false)
  expect(await roundTrip({ endpoints: cluster.endpoints, tls: { ca: testCertificate } })).toBe('v')
})

test('the authority may come from a file that the URL names', async () => {
  await startTls(null, false)
  const folder = mkdtempSync(join(tmpdir(), 'kv-tls-'))
  try {
    writeFileSync(join(folder, 'ca.pem'), testCertificate)
    expect(await roundTrip(`kv://${cluster.endpoints.join()}?tls=1&tlsCa=${folder}/ca.pem`)).toBe('v')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a cluster that asks for the certificate of its clients gets it', async () => {
  await startTls(testCertificate, true)
  const tls = { ca: testCertificate, cert: testCertificate, key: testKey }
  expect(await roundTrip({ endpoints: cluster.endpoints, tls })).toBe('v')
})

test.each([
  ['a certificate that nobody signed for', { tls: true }],
  ['a plain connection', {}],
])('%s does not do, and nothing is applied', async (_what, options) => {
  await startTls(null, false)
  await using client = new KvClient({ endpoints: cluster.endpoints, ...options })
  await expect(client.put('k', 'v', { timeoutMs: 400 })).rejects.toMatchObject({
    code: 'timeout',
    outcome: 'not-applied',
    cause: { code: 'unavailable' },
  })
  expect(cluster.data.size).toBe(0)
})

test.each<[string, KvClientOptions['tls'], RegExp]>([
  [
    'an authority that it does not know',
    true,
    /no encrypted connection: no authority that is trusted here has signed its certificate/,
  ],
  [
    'that it needs a certificate',
    { ca: testCertificate },
    /no encrypted connection: it wants a certificate of this side/,
  ],
  ['that the other side wants TLS', false, /Protocol error|it may want TLS/],
])('a client that cannot agree on TLS says what is wrong: %s', async (_what, tls, message) => {
  await startTls(testCertificate, true)
  await using client = new KvClient({ endpoints: cluster.endpoints.slice(0, 1), tls, failWhenRefused: true })
  const error: unknown = await client.get('k', { timeoutMs: 2_000 }).then(
    () => expect.unreachable('it was answered'),
    (reason: unknown) => reason,
  )
  expect(error).toMatchObject({ retryable: true })
  expect(`${(error as Error).message} ${((error as Error).cause as Error | undefined)?.message}`).toMatch(message)
})

test('a name that the certificate is not for is named', async () => {
  await startTls(null, false)
  const port = cluster.endpoints[0]!.split(':')[1]
  const endpoints = [`127.0.0.2:${port}`]
  await using client = new KvClient({ endpoints, tls: { ca: testCertificate }, failWhenRefused: true })
  await expect(client.get('k', { timeoutMs: 2_000 })).rejects.toMatchObject({
    code: expect.stringMatching(/unavailable|timeout/),
  })
})
