import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { KvClient } from '@quorumkv/client'
import { sampleRecords } from '../../fixtures.js'
import { longForm } from '../report.js'

/** What `kv import` reads: `KV_RECORDS`, `--records` in the long form, or the sample that the project keeps. */
export const recordsPath: string = (longForm ? process.env['KV_RECORDS'] : undefined) || sampleRecords

/** Read at a time by a check. */
const checkKeys = 1_000

/** The records of that file, by key. */
export function readRecords(path: string): Map<string, string> {
  const bytes = readFileSync(path)
  const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString()
  const records = new Map<string, string>()
  for (const line of text.split('\n')) {
    if (line === '') continue
    const { key, value } = JSON.parse(line) as { key: string; value: string }
    records.set(key, value)
  }
  return records
}

/** Those that are not as they were imported, by key. */
export async function damagedRecords(client: KvClient, records: ReadonlyMap<string, string>): Promise<string[]> {
  const damaged: string[] = []
  const keys = [...records.keys()]
  for (let i = 0; i < keys.length; i += checkKeys) {
    const found = await client.getMany(keys.slice(i, i + checkKeys), { timeoutMs: 60_000 })
    for (const key of keys.slice(i, i + checkKeys)) if (found.get(key) !== records.get(key)) damaged.push(key)
  }
  return damaged
}
