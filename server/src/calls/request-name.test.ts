import { Metadata } from '@grpc/grpc-js'
import { KvError } from '@quorumkv/internal/base'
import type { OperationOptions } from '@quorumkv/internal/replication'
import { Consistency, type GetRequest } from '@quorumkv/proto/kv/v1/kv'
import { expect, test } from 'vitest'
import { testApp } from '../http/app.test-support.js'
import { FakeNode } from './fake-node.test-support.js'
import { requestFacts, requestName } from './request-name.js'
import { startServices } from './services.test-support.js'

const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
const wanted: GetRequest = { key: Buffer.from('k'), consistency: Consistency.UNSPECIFIED }

/** A node that remembers how requests were named. */
class NamedNode extends FakeNode {
  readonly names: OperationOptions['request'][] = []

  override get(key: Uint8Array, options: OperationOptions): ReturnType<FakeNode['get']> {
    this.names.push(options.request)
    return super.get(key, options)
  }
}

test('a name that would break the log counts as none', () => {
  expect(requestName('a-1.b_2', undefined)).toEqual({ requestId: 'a-1.b_2', traceparent: '', sampled: false })
  for (const bad of ['', 'a b', 'a\nb', 'x'.repeat(65), '"']) expect(requestName(bad, undefined)).toBeUndefined()
  const zeros = [`00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`, `00-${'a'.repeat(32)}-${'0'.repeat(16)}-01`]
  for (const bad of [
    '',
    '00-a-b-01',
    `${traceparent}-x`,
    traceparent.toUpperCase(),
    `ff${traceparent.slice(2)}`,
    ...zeros,
  ]) {
    expect(requestName('a', bad)).toEqual({ requestId: 'a', traceparent: '', sampled: false })
  }
  for (const [flags, sampled] of [
    ['00', false],
    ['02', false],
    ['01', true],
    ['03', true],
  ] as const) {
    const flagged = traceparent.slice(0, -2) + flags
    expect(requestName(undefined, flagged)).toEqual({ requestId: '', traceparent: flagged, sampled })
  }
  expect(requestFacts(requestName(undefined, traceparent))).toEqual({ traceId: 'a'.repeat(32) })
  expect(requestFacts(undefined)).toEqual({})
})

test('a call over gRPC is named as its metadata say, and its answer too, also when it fails', async () => {
  const node = new NamedNode()
  await using services = await startServices(node)
  const metadata = new Metadata()
  metadata.set('kv-request-id', 'r-7')
  metadata.set('traceparent', traceparent)
  const ask = (named: Metadata): Promise<Metadata> =>
    new Promise((resolve) => {
      const call = services.kv.get(wanted, named, () => undefined)
      call.on('status', (status) => resolve(status.metadata))
    })
  expect((await ask(metadata)).get('kv-request-id')).toEqual(['r-7'])
  expect((await ask(new Metadata())).get('kv-request-id')).toEqual([])
  expect(node.names).toEqual([{ requestId: 'r-7', traceparent, sampled: true }, undefined])
  node.failure = new KvError('unavailable', 'no quorum')
  expect((await ask(metadata)).get('kv-request-id')).toEqual(['r-7'])
  const failed = services.lines.filter(({ message }) => message === 'a call failed')
  expect(failed).toMatchObject([{ level: 'debug', facts: { requestId: 'r-7', traceId: 'a'.repeat(32) } }])
  expect(failed[0]?.facts['call']).toBe('/kv.v1.Kv/Get')
})

test('a request over HTTP is named by its header, or here', async () => {
  const node = new NamedNode()
  const { app } = testApp(node)
  await app.request('/kv/a', { headers: { 'x-request-id': 'h-1', traceparent } })
  const unnamed = await app.request('/kv/a')
  const made = unnamed.headers.get('x-request-id')
  expect(made).toMatch(/^[0-9a-f-]{36}$/)
  expect(node.names).toEqual([
    { requestId: 'h-1', traceparent, sampled: true },
    { requestId: made, traceparent: '', sampled: false },
  ])
})
