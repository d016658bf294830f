import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import {
  eventually,
  longForm,
  makeClient,
  makeTemporaryDirectory,
  sampleRecords,
  startKv,
  startServers,
} from '../fixtures.js'

function records(text: string): Map<string, string> {
  const lines = text.split('\n').filter((line) => line !== '')
  return new Map(lines.map((line) => JSON.parse(line) as { key: string; value: string }).map((r) => [r.key, r.value]))
}

const sample = records(readFileSync(sampleRecords, 'utf8'))

/** The sample so many times under other keys: an import that takes a moment. */
function enlarged(times: number): { path: string; expected: Map<string, string> } {
  const expected = new Map<string, string>()
  for (let i = 0; i < times; i++) for (const [key, value] of sample) expected.set(`${i}:${key}`, value)
  const path = join(makeTemporaryDirectory(), 'records.jsonl.gz')
  const lines = [...expected].map(([key, value]) => JSON.stringify({ key, value }))
  writeFileSync(path, gzipSync(`${lines.join('\n')}\n`))
  return { path, expected }
}

it('what is imported through one node is exported through another, byte for byte', async () => {
  await using cluster = await startServers(3)
  await using importing = startKv([cluster.addresses[0]!], ['import', sampleRecords])
  expect(await importing.end()).toMatchObject({ status: 0 })
  const path = join(makeTemporaryDirectory(), 'out.jsonl')
  await using exporting = startKv([cluster.addresses[2]!], ['export', path])
  expect(await exporting.end(), exporting.diagnostics).toMatchObject({ status: 0 })
  expect(records(readFileSync(path, 'utf8'))).toEqual(sample)
})

it.runIf(longForm)(
  'a node killed during an import costs no record and no error; after its return, level all finds everything',
  async () => {
    await using cluster = await startServers(3)
    const { path, expected } = enlarged(20)
    await using importing = startKv([cluster.addresses[0]!], ['import', path])
    await using watcher = makeClient([cluster.addresses[0]!])
    await eventually('the import runs', async () => Number((await watcher.status()).storage.entries) > 1_000)
    await cluster.servers[1]!.kill()
    expect(await importing.end(), importing.diagnostics).toMatchObject({ status: 0 })
    cluster.servers[1]!.start()
    await cluster.ready()
    await eventually('all are seen', async () => (await watcher.status()).members.every((m) => m.liveness === 'alive'))
    await using exporting = startKv([cluster.addresses[1]!], ['--consistency', 'all', 'export', '-'])
    expect(await exporting.end(), exporting.diagnostics).toMatchObject({ status: 0 })
    expect(records(exporting.output)).toEqual(expected)
  },
)

it('all nodes killed during an import: everything that it was told is stored is there after the restart', async () => {
  await using cluster = await startServers(3)
  const { path } = enlarged(20)
  const log = join(makeTemporaryDirectory(), 'acknowledged.jsonl')
  await using importing = startKv(cluster.addresses, ['import', '--acked-log', log, '--give-up-after', '2s', path])
  await using watcher = makeClient([cluster.addresses[0]!])
  await eventually('the import runs', async () => Number((await watcher.status()).storage.entries) > 1_000)
  await Promise.all(cluster.servers.map((server) => server.kill()))
  expect(await importing.end()).toMatchObject({ status: 1 })
  const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1)
  const keys = lines.map((line) => (JSON.parse(line) as { key: string }).key)
  expect(keys.length).toBeGreaterThan(500)
  for (const server of cluster.servers) server.start()
  await cluster.ready()
  await using later = makeClient(cluster.addresses)
  const found = await later.getMany(keys)
  expect(keys.filter((key) => !found.has(key))).toEqual([])
})
