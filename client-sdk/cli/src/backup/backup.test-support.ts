import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BackupPage, KvError, Operator } from '@quorumkv/client'
import { encodeRecords, type StoredRecord } from '@quorumkv/internal/backup'
import { decodeRecords } from '@quorumkv/internal/record'
import { slotOf } from '@quorumkv/internal/slots'
import { afterEach, expect } from 'vitest'
import { FakeClient, FakeIo, type FakeIoOptions } from '../fakes.test-support.js'
import { run } from '../program.js'

const directories: string[] = []

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
})

export function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), 'quorumkv-'))
  directories.push(path)
  return join(path, 'backups')
}

export function record(key: string, value: string | undefined, ms = 1_000, expiresAtMs = 0): StoredRecord {
  const bytes = Buffer.from(value ?? '')
  return {
    hi: 0,
    lo: ms * 65_536,
    node: 1,
    key: Buffer.from(key),
    tombstone: value === undefined,
    expiresAtMs,
    value: bytes,
  }
}

/** A cluster that hands out what it has, 512 slots to a page, and remembers what it is brought. */
export class FakeCluster extends FakeClient {
  readonly records = new Map<string, StoredRecord>()
  readonly restored: StoredRecord[][] = []
  readonly asked: number[] = []
  clusterId = 'c'.repeat(32)
  /** What the next calls run into. */
  readonly failures: KvError[] = []
  beforePage: (slot: number) => void = () => undefined

  constructor(...records: StoredRecord[]) {
    super()
    for (const each of records) this.records.set(Buffer.from(each.key).toString(), each)
    this.operator.backups = {
      backupSlots: (request) => this.#page(request),
      restoreSlots: (records, count) => this.#take(records, count),
    }
  }

  override async topology() {
    return { ...(await super.topology()), slots: 4_096, clusterId: this.clusterId }
  }

  async #page({ slot, knownDigests }: Parameters<Operator['backupSlots']>[0]): Promise<BackupPage> {
    this.beforePage(slot)
    this.asked.push(slot)
    const failure = this.failures.shift()
    if (failure !== undefined) throw failure
    const all = [...this.records.values()].sort((a, b) => Buffer.compare(a.key, b.key))
    const bySlot = new Map<number, StoredRecord[]>()
    for (const each of all) bySlot.set(slotOf(each.key), [...(bySlot.get(slotOf(each.key)) ?? []), each])
    const slots = Array.from({ length: 512 }, (_, i) => {
      const own = bySlot.get(slot + i) ?? []
      const known = knownDigests === undefined ? undefined : Buffer.from(knownDigests).subarray(i * 8, i * 8 + 8)
      // Slots that hold nothing have nothing new; of others the client finds out by itself.
      const unchanged = known !== undefined && own.length === 0 && known.equals(Buffer.alloc(8))
      const records = encodeRecords(own)
      return { slot: slot + i, unchanged, records, count: own.length, more: false, floorMs: 0 }
    })
    return { slots, next: { slot: slot + 512, after: new Uint8Array() }, hlc: BigInt(slot), clusterId: this.clusterId }
  }

  async #take(records: Uint8Array, count: number) {
    const failure = this.failures.shift()
    if (failure !== undefined) throw failure
    this.restored.push(decodeRecords(records, count))
    return { stored: count - 1, superseded: 0, deleted: 1 }
  }
}

export async function kv(client: FakeCluster, args: readonly string[], options: FakeIoOptions = {}) {
  const io = new FakeIo({ timing: client.timing, ...options })
  const status = await run(args, io, () => client)
  return { status, out: io.stdout.text, err: io.stderr.text }
}

export async function json(client: FakeCluster, ...args: string[]): Promise<Record<string, unknown>> {
  const { status, out, err } = await kv(client, ['--json', ...args])
  expect(status, err).toBe(0)
  return JSON.parse(out.trim().split('\n').at(-1)!) as Record<string, unknown>
}

export const some = (): StoredRecord[] => [
  ...Array.from({ length: 30 }, (_, i) => record(`key:${i}`, `value ${i}`)),
  record('gone', undefined),
  record('expired', 'v', 1_000, 5),
]

export const keysIn = (batches: readonly StoredRecord[][]): string[] =>
  batches.flat().map(({ key }) => Buffer.from(key).toString())
