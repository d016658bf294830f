import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { credentials } from '@grpc/grpc-js'
import { Consistency, type GetResponse, KvClient, type PutResponse } from '@quorumkv/proto/kv/v1/kv'
import { afterAll, describe, expect, it, test } from 'vitest'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import { reply } from '../calls/services.test-support.js'
import { testApp } from '../http/app.test-support.js'
import { startNode } from '../index.js'
import { metricDefinitions } from './metrics.js'
import { type Line, shown, valuesIn } from './scrape.test-support.js'

const root = mkdtempSync(join(tmpdir(), 'kv-metrics-'))
afterAll(() => rmSync(root, { recursive: true }))

describe('the metrics', () => {
  it('are named as Prometheus asks: a prefix, a base unit, _total for counters, and a help text', () => {
    const names = metricDefinitions.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    for (const { name, type, help } of metricDefinitions) {
      expect(name, 'a prefix, lower case').toMatch(/^(kv|process|nodejs)(_[a-z]+)+$/)
      expect(name, 'seconds and bytes only').not.toMatch(/_(ms|us|milliseconds|minutes|kib|mib|percent)(_|$)/)
      expect(name.endsWith('_total'), `${name}: counters, and nothing else, end with _total`).toBe(type === 'counter')
      if (type === 'histogram') expect(name, 'histograms are of durations').toMatch(/_seconds$/)
      expect(help.length, name).toBeGreaterThan(4)
      expect(help, name).not.toMatch(/\.$/)
    }
  })

  it('have labels of few values, and none of them a key', () => {
    const allowed = new Set(['kind', 'outcome', 'role', 'code', 'level', 'member', 'state', 'channel', 'id', 'version'])
    for (const { name, labels = [] } of metricDefinitions) {
      for (const label of labels) expect(allowed, `${name}: ${label}`).toContain(label)
    }
  })

  it('are told of a node that is only starting, and of the process it is in', async () => {
    const response = await testApp('starting').app.request('/metrics')
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    const lines = valuesIn(await response.text())
    expect(shown(lines, 'kv_ready')).toBe(0)
    expect(shown(lines, 'process_resident_memory_bytes')).toBe(100)
    expect(lines.some(({ name }) => name === 'kv_operations_total')).toBe(false)
  })

  it('tell what was counted, and histograms in rising buckets', async () => {
    const node = new FakeNode()
    node.topology = fakeTopology(3)
    const { put } = node.instruments.coordinated
    put.succeeded(0, 0.2)
    put.succeeded(0, 3)
    put.failed('overloaded')
    node.instruments.quorumFailures.get.all = 2
    const lines = valuesIn(await (await testApp(node).app.request('/metrics')).text())
    expect(shown(lines, 'kv_operations_total', 'kind="put",role="coordinator"')).toBe(3)
    expect(shown(lines, 'kv_operation_errors_total', 'kind="put",role="coordinator",code="overloaded"')).toBe(1)
    expect(shown(lines, 'kv_quorum_failures_total', 'kind="get",level="all"')).toBe(2)
    const of = 'kind="put",role="coordinator"'
    expect(shown(lines, 'kv_operation_duration_seconds_count', of)).toBe(2)
    expect(shown(lines, 'kv_operation_duration_seconds_sum', of)).toBeCloseTo(0.003_2)
    const isBucket = ({ name, labels }: Line): boolean =>
      name.endsWith('duration_seconds_bucket') && labels.includes(of)
    const buckets = lines.filter(isBucket).map(({ value }) => value)
    expect(buckets).toHaveLength(17)
    expect(buckets).toEqual(buckets.toSorted((a, b) => a - b))
    expect(shown(lines, 'kv_operation_duration_seconds_bucket', `le="0.001",${of}`)).toBe(1)
    expect(shown(lines, 'kv_operation_duration_seconds_bucket', `le="+Inf",${of}`)).toBe(2)
    expect(shown(lines, 'kv_topology_epoch')).toBe(3)
  })
})

test('a scrape of a real node tells of the put and the get before it', async () => {
  const settings = { addr: '127.0.0.1:0', httpAddr: '127.0.0.1:0', dataDir: join(root, 'a'), replicationFactor: 1 }
  await using node = await startNode(settings)
  await node.ready
  const kv = new KvClient(node.address, credentials.createInsecure())
  const [key, consistency] = [Buffer.from('secret-key'), Consistency.QUORUM]
  await reply<PutResponse>((done) => kv.put({ key, value: Buffer.from('v'), consistency, returnPrevious: false }, done))
  await reply<GetResponse>((done) => kv.get({ key, consistency }, done))
  const text = await (await fetch(`http://${node.httpAddresses[0]}/metrics`)).text()
  kv.close()
  expect(text).not.toContain('secret-key')
  const lines = valuesIn(text)
  for (const kind of ['grpc', 'http']) {
    expect(shown(lines, 'kv_connections', `kind="${kind}"`), kind).toBe(1)
    expect(shown(lines, 'kv_connections_refused_total', `kind="${kind}"`), kind).toBe(0)
    expect(shown(lines, 'kv_slow_peers_cut_total', `kind="${kind}"`), kind).toBe(0)
  }
  expect([shown(lines, 'kv_calls'), shown(lines, 'kv_received_bytes')]).toEqual([0, 0])
  for (const kind of ['put', 'get']) {
    const labels = `kind="${kind}",role="coordinator"`
    expect(shown(lines, 'kv_operations_total', labels)).toBe(1)
    expect(shown(lines, 'kv_operation_duration_seconds_count', labels)).toBe(1)
  }
  expect(shown(lines, 'kv_table_entries')).toBe(1)
  expect(shown(lines, 'kv_table_data_bytes')).toBe(12)
  expect(shown(lines, 'kv_fdatasync_duration_seconds_count')).toBeGreaterThan(0)
  expect(shown(lines, 'kv_log_written_bytes_total')).toBeGreaterThan(10)
  expect(shown(lines, 'kv_snapshot_age_seconds'), 'no snapshot has been taken yet').toBeUndefined()
  expect(shown(lines, 'kv_ready')).toBe(1)
  expect(shown(lines, 'kv_node_info', `id="${node.id}",version="0.1.0"`)).toBe(1)
  // Every metric is there or has a reason not to be: nothing has failed, there are no other members, nothing is on its way.
  const names = new Set(lines.map(({ name }) => name.replace(/_(bucket|sum|count)$/, '')))
  const missing = metricDefinitions.filter(({ name }) => !names.has(name)).map(({ name }) => name)
  const excused =
    /^kv_(tls_|operation_errors|member_|hints_waiting|differing_slots|handover_(received|slots)|snapshot_(age|duration|bytes))/
  expect(missing.filter((name) => !excused.test(name))).toEqual([])
})
