import {
  type Address,
  type Cancellation,
  type Epoch,
  type Incarnation,
  Instruments,
  KvError,
  type NodeId,
} from '@quorumkv/internal/base'
import type { Handovers, Liveness, Members, Node, NodePhase, NodeStatus, Repairs } from '@quorumkv/internal/cluster'
import { type Hlc, hlcMs, hlcOf } from '@quorumkv/internal/hlc'
import type { StoredRecord } from '@quorumkv/internal/record'
import type {
  ConvergenceStatus,
  DirectOperations,
  ExportedPage,
  KeyLocation,
  OperationOptions,
  PutOptions,
  ScanOptions,
  ScanPage,
  SlotExport,
  SlotTransfers,
  WriteResult,
} from '@quorumkv/internal/replication'
import {
  atRest,
  type SlotTable,
  slotCount,
  slotOf,
  slotTable,
  softwareLevels,
  type Topology,
} from '@quorumkv/internal/slots'
import type { SnapshotInfo, StoreStatistics } from '@quorumkv/internal/store'

/** An operation that `FakeNode.held` keeps from ending. */
export interface HeldOperation {
  readonly key: string
  readonly deadlineMs: number
  readonly cancellation: Cancellation | undefined
  release(): void
  fail(error: unknown): void
}

/** A node of one replica in a Map: what the services need to be tested without a cluster. */
export class FakeNode implements Node {
  readonly id = 'fake' as NodeId
  phase: NodePhase = 'serving'
  topology: Topology | undefined
  slotTable: SlotTable | undefined
  store: StoreStatistics | undefined
  refillObstacle = ''
  convergence: ConvergenceStatus | undefined
  hints: NodeStatus['hints'] = []
  floors: NodeStatus['floors'] = undefined
  repairs: Repairs | undefined
  handovers: Handovers | undefined = undefined
  handover: NodeStatus['handover'] = undefined
  members: Members | undefined = undefined
  readonly localStore: undefined
  readonly instruments = new Instruments(() => 1_700_000_000_000)
  readonly records = new Map<string, StoredRecord>()
  /** When set, operations on keys wait here until the test lets them end. */
  held: HeldOperation[] | undefined
  /** Thrown, in time, by every operation. */
  failure: unknown
  observed: Hlc[] = []
  maxObservedMs: number = Number.POSITIVE_INFINITY
  /** Whether writes know what they replaced. */
  replacedKnown = true
  scans = 0
  /** Takes a snapshot; undefined: there is no room for one. */
  snapshotInfo: (() => Promise<SnapshotInfo>) | undefined
  #counter = 0
  /** What backups are given; and what restores have brought. */
  exported: ExportedPage = { slots: [], next: { slot: slotCount, after: new Uint8Array() } }
  readonly exports: SlotExport[] = []
  readonly restored: StoredRecord[] = []
  coordinator: (DirectOperations & SlotTransfers) | undefined = {
    exportSlots: async (request) => {
      this.exports.push(request)
      if (this.failure !== undefined) throw this.failure
      return this.exported
    },
    restore: async (records) => {
      if (this.failure !== undefined) throw this.failure
      this.restored.push(...records)
      return { stored: records.length, superseded: 0, deleted: 0 }
    },
    startGet: (key, options, caller) => {
      this.get(key, options).then(
        (record) => caller.got(record),
        (error) => caller.failed(error),
      )
    },
    startPut: (key, value, options, caller) => {
      this.put(key, value, options).then(
        (result) => caller.wrote(result),
        (error) => caller.failed(error),
      )
    },
    startDelete: (key, options, caller) => {
      this.delete(key, options).then(
        (result) => caller.wrote(result),
        (error) => caller.failed(error),
      )
    },
  }

  clockReading(): Hlc {
    return hlcOf(1_700_000_000_000, this.#counter)
  }

  observe(hlc: Hlc): boolean {
    if (hlcMs(hlc) > this.maxObservedMs) return false
    this.observed.push(hlc)
    return true
  }

  linked(): boolean {
    return true
  }

  liveness(): Liveness {
    return { status: 'alive', forMs: 1_000 }
  }

  status(): NodeStatus {
    return {
      id: this.id,
      incarnation: '0'.repeat(32) as Incarnation,
      clusterId: this.topology?.clusterId,
      phase: this.phase,
      address: '127.0.0.1:1' as Address,
      topology: this.topology,
      handover: this.handover,
      store: this.store,
      refillObstacle: this.refillObstacle,
      convergence: this.convergence,
      hints: this.hints,
      floors: this.floors,
      clockOffsetMs: 0,
      uptimeMs: 1234.5,
    }
  }

  /** Routes by its topology. */
  useTables(): void {
    this.slotTable = slotTable(this.topology!)
  }

  async ready(): Promise<void> {}

  async get(key: Uint8Array, options: OperationOptions): Promise<StoredRecord | undefined> {
    await this.#begin(key, options)
    return this.records.get(Buffer.from(key).toString('latin1'))
  }

  async put(key: Uint8Array, value: Uint8Array, options: PutOptions): Promise<WriteResult> {
    await this.#begin(key, options)
    const expiresAtMs = options.ttlMs === undefined ? 0 : 1_700_000_000_000 + options.ttlMs
    return this.#write(key, value, expiresAtMs, false, options.returnPrevious === true)
  }

  async delete(key: Uint8Array, options: OperationOptions): Promise<WriteResult> {
    await this.#begin(key, options)
    return this.#write(key, new Uint8Array(0), 0, true, false)
  }

  async scan({ prefix, pageSize, cursor }: ScanOptions): Promise<ScanPage> {
    this.scans++
    if (this.failure !== undefined) throw this.failure
    const wanted = Buffer.from(prefix).toString('latin1')
    const after = Buffer.from(cursor).toString('latin1')
    const keys = [...this.records.keys()].filter((key) => key.startsWith(wanted) && key > after).sort()
    const page = keys.slice(0, pageSize)
    const more = keys.length > page.length
    return {
      records: page.map((key) => this.records.get(key)!),
      cursor: more ? Buffer.from(page.at(-1)!, 'latin1') : Buffer.alloc(0),
    }
  }

  async locate(key: Uint8Array, options: OperationOptions): Promise<KeyLocation> {
    await this.#begin(key, options)
    const record = this.records.get(Buffer.from(key).toString('latin1'))
    return { slot: slotOf(key), epoch: 1, holdings: [{ id: this.id, obstacle: '', record }] }
  }

  snapshot(): Promise<SnapshotInfo> {
    return this.snapshotInfo?.() ?? Promise.reject(new KvError('read-only', 'no room for a snapshot'))
  }

  async stop(): Promise<void> {
    this.phase = 'stopped'
  }

  async #begin(key: Uint8Array, { deadlineMs, cancellation }: OperationOptions): Promise<void> {
    if (this.failure !== undefined) throw this.failure
    const { held } = this
    if (held === undefined) return
    await new Promise<void>((resolve, reject) => {
      cancellation?.onCancel(() => reject(new KvError('cancelled', 'nobody waits', { outcome: 'unknown' })))
      held.push({ key: Buffer.from(key).toString('latin1'), deadlineMs, cancellation, release: resolve, fail: reject })
    })
  }

  #write(
    key: Uint8Array,
    value: Uint8Array,
    expiresAtMs: number,
    tombstone: boolean,
    wantPrevious: boolean,
  ): WriteResult {
    const name = Buffer.from(key).toString('latin1')
    const before = this.records.get(name)
    const version = { ...hlcOf(1_700_000_000_000, ++this.#counter), node: 1 }
    if (tombstone) this.records.delete(name)
    else this.records.set(name, { ...version, key, value, expiresAtMs, tombstone })
    const previous = wantPrevious ? before : undefined
    if (!this.replacedKnown) return { version, acks: 1, replacedKnown: false, existed: false, previous: undefined }
    return { version, acks: 1, replacedKnown: true, existed: before !== undefined, previous }
  }
}

export function fakeTopology(epoch: number): Topology {
  return {
    clusterId: 'c'.repeat(32) as Topology['clusterId'],
    epoch: epoch as Epoch,
    replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    virtualNodes: 150,
    members: [
      {
        id: 'fake' as NodeId,
        incarnation: '0'.repeat(32) as Incarnation,
        number: 1,
        address: '127.0.0.1:1' as Address,
        zone: 'z',
        weight: 1,
        since: 1 as Epoch,
        state: 'serving',
        levels: softwareLevels,
        authenticates: false,
      },
    ],
    nextNumber: 2,
    ...atRest,
  }
}
