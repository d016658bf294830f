import { crc32 as zlibCrc32 } from 'node:zlib'
import type { Address, ClusterId, Epoch, Incarnation, NodeId } from '@quorumkv/internal/base'
import { NodeClock } from '@quorumkv/internal/env-node'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { crc32, type Hash64, hash64, murmur3_32 } from '@quorumkv/internal/hash'
import { HybridClock } from '@quorumkv/internal/hlc'
import {
  decodeRecord,
  encodedRecordBytes,
  encodeRecord,
  encodeRecords,
  recordLengthAt,
  type StoredRecord,
} from '@quorumkv/internal/record'
import { decodeMessage, ItemReader, Outbox } from '@quorumkv/internal/replication'
import { atRest, type SlotTable, slotOf, slotTable, softwareLevels, type Topology } from '@quorumkv/internal/slots'
import { Table } from '@quorumkv/internal/store'
import { encodeFrameHeader, frameHeaderBytes } from '@quorumkv/internal/wal'
import { Consistency, type PutRequest, SessionRequest } from '@quorumkv/proto/kv/v1/kv'

/** What the micro-benchmarks are grouped by. */
export type MicroGroup = 'hash' | 'crc' | 'hlc' | 'log' | 'table' | 'messages' | 'routing'

/** All groups, in the order of reports. */
export const microGroups: readonly MicroGroup[] = ['hash', 'crc', 'hlc', 'log', 'table', 'messages', 'routing']

/** A piece of the store that is measured by itself. */
export interface MicroCase {
  readonly group: MicroGroup
  readonly name: string
  /** Of one call of `run`: so many that the clock's own cost is lost in them. */
  readonly operations: number
  /** Does the operations. What it returns depends on all of them, so that none can be left out by the compiler. */
  readonly run: () => number
}

/** Of the keys and values, as in the other benchmarks. */
const keyBytes = 16
const valueBytes = 100
const operationsPerRun = 1000
/** The keys lie in more memory than the first cache has. */
const keyCount = 100_000
/** Operations of the longer messages: what 64 in flight make of one turn of the event loop. */
const batchOperations = 32

/** What all cases work on. */
class Material {
  readonly keys: readonly Uint8Array[]
  readonly records: readonly StoredRecord[]
  readonly random: SimRandom = new SimRandom('micro')
  #next = 0

  constructor() {
    this.keys = Array.from({ length: keyCount }, (_, i) => Buffer.from(`bench:${String(i).padStart(10, '0')}`))
    const value = this.random.bytes(valueBytes)
    this.records = this.keys.map((key) => {
      return { hi: 26_000_000, lo: 1, node: 1, key, tombstone: false, expiresAtMs: 0, value }
    })
  }

  /** An index of keys and records: each as likely as any other, in an order that is always the same. */
  chosen(): number {
    // A step that shares no factor with the number of keys visits all of them, far from the one before.
    this.#next = (this.#next + 61_803) % keyCount
    return this.#next
  }

  someRecords(count: number): StoredRecord[] {
    return Array.from({ length: count }, () => this.records[this.chosen()]!)
  }
}

function repeated(group: MicroGroup, name: string, one: () => number): MicroCase {
  const run = (): number => {
    let sum = 0
    for (let i = 0; i < operationsPerRun; i++) sum += one()
    return sum
  }
  return { group, name, operations: operationsPerRun, run }
}

function hashCases({ keys }: Material): MicroCase[] {
  let i = 0
  const next = (): Uint8Array => keys[i++ % keyCount]!
  const long = new Uint8Array(1024).fill(7)
  const out: Hash64 = { hi: 0, lo: 0 }
  return [
    repeated('hash', `murmur3_32 of ${keyBytes} B`, () => murmur3_32(next())),
    repeated('hash', 'murmur3_32 of 1 KiB', () => murmur3_32(long)),
    repeated('hash', `hash64 of ${keyBytes} B and a version`, () => {
      hash64(next(), 26_000_000, 1, 1, out)
      return out.lo
    }),
  ]
}

function crcCases({ random }: Material): MicroCase[] {
  return [40, 256, 4096, 65_536].flatMap((bytes) => {
    const data = random.bytes(bytes)
    return [
      repeated('crc', `crc32 of ${bytes} B`, () => crc32(data)),
      repeated('crc', `  zlib's crc32 of ${bytes} B`, () => zlibCrc32(data)),
    ]
  })
}

function hlcCases(): MicroCase[] {
  const clock = new HybridClock(new NodeClock(), 500, { hi: 0, lo: 0 })
  const standing = new HybridClock({ wallMs: () => 1 }, 500, { hi: 0, lo: 0 })
  return [
    repeated('hlc', 'now', () => clock.now().lo),
    repeated('hlc', 'now, without the wall clock', () => standing.now().lo),
    repeated('hlc', 'observe', () => {
      const reading = clock.now()
      clock.observe(reading)
      return reading.lo
    }),
  ]
}

function logCases(material: Material): MicroCase[] {
  const { records } = material
  const recordBytes = encodedRecordBytes(records[0]!)
  const into = new Uint8Array(frameHeaderBytes + batchOperations * recordBytes)
  const encoded = encodeRecords(material.someRecords(batchOperations))
  const frame = (count: number): number => {
    let at = frameHeaderBytes
    for (let i = 0; i < count; i++) at = encodeRecord(records[material.chosen()]!, into, at)
    const header = { kind: 'group', sequence: 1, segmentTag: 1, records: count, unsynced: 0 } as const
    const payloadCrc = crc32(into, frameHeaderBytes, at)
    return encodeFrameHeader({ ...header, payloadBytes: at - frameHeaderBytes, payloadCrc }, into, 0)
  }
  let at = 0
  return [
    repeated('log', 'encode a record', () => encodeRecord(records[material.chosen()]!, into, 0)),
    repeated('log', 'decode a record', () => {
      if (at >= encoded.length) at = 0
      const { key } = decodeRecord(encoded, at)
      at += recordLengthAt(encoded, at)
      return key.length
    }),
    repeated('log', 'frame of 1 record, with checksums', () => frame(1)),
    repeated('log', `frame of ${batchOperations} records, with checksums`, () => frame(batchOperations)),
  ]
}

function tableCases(material: Material): MicroCase[] {
  const { keys, records } = material
  const table = new Table()
  for (const record of records) table.merge(record)
  let lo = 1
  return [
    repeated('table', `get, of ${keyCount.toLocaleString('en-US')} keys`, () => {
      return table.get(keys[material.chosen()]!)!.value.length
    }),
    repeated('table', 'version', () => table.getVersion(keys[material.chosen()]!)!.lo),
    repeated('table', 'get, absent', () => {
      const key = keys[material.chosen()]!
      return table.get(key.subarray(1)) === undefined ? 1 : 0
    }),
    repeated('table', 'put over an old one', () => {
      const record = records[material.chosen()]!
      table.merge({ ...record, lo: ++lo })
      return lo
    }),
  ]
}

function peerCases(records: readonly StoredRecord[], writes: string): MicroCase[] {
  const outbox = new Outbox()
  const encode = (): Uint8Array => {
    for (let i = 0; i < records.length; i++) outbox.addWrite(i + 1000, records[i]!, false, false)
    return outbox.encode({ hi: 26_000_000, lo: 1 }, 7, 1.8e12)
  }
  const bytes = encode()
  return [
    repeated('messages', `between nodes, ${writes}: encode`, () => encode().length),
    repeated('messages', `between nodes, ${writes}: decode`, () => {
      let sum = 0
      const item = new ItemReader(decodeMessage(bytes).items)
      while (item.next()) sum += item.record!.value.length
      return sum
    }),
  ]
}

function sessionRequest(records: readonly StoredRecord[]): SessionRequest {
  const operations = records.map(({ key, value }, i) => {
    const put: PutRequest = {
      key: Buffer.from(key),
      value: Buffer.from(value),
      consistency: Consistency.QUORUM,
      returnPrevious: false,
    }
    const request = { $case: 'put', value: put } as const
    return { id: i + 1000, timeoutMs: 2000, request, stampAboveMs: 0n, stampLimitMs: 0n, traceparent: '' }
  })
  return { observedHlc: 2n ** 50n, operations, cancelled: [] }
}

function messageCases(material: Material): MicroCase[] {
  return [1, batchOperations].flatMap((count) => {
    const records = material.someRecords(count)
    const writes = count === 1 ? '1 write' : `${count} writes`
    const session = sessionRequest(records)
    const sessionBytes = SessionRequest.encode(session).finish()
    return [
      ...peerCases(records, writes),
      repeated('messages', `generated, from clients, ${writes}: encode`, () => {
        return SessionRequest.encode(session).finish().length
      }),
      repeated('messages', `generated, from clients, ${writes}: decode`, () => {
        return SessionRequest.decode(sessionBytes).operations.length
      }),
    ]
  })
}

/** A topology of `nodes` nodes with three replicas of each key. The names of its members begin with `name`. */
function topologyOf(nodes: number, name: string): Topology {
  const hex = (number: number): string => number.toString(16).padStart(32, '0')
  return {
    clusterId: hex(0) as ClusterId,
    epoch: 1 as Epoch,
    replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    virtualNodes: 150,
    members: Array.from({ length: nodes }, (_, i) => ({
      id: `${name}${String(i + 1).padStart(3, '0')}` as NodeId,
      incarnation: hex(i + 1) as Incarnation,
      number: i + 1,
      address: `n${i + 1}:50051` as Address,
      zone: '',
      weight: 1,
      since: 1 as Epoch,
      state: 'serving',
      levels: softwareLevels,
      authenticates: false,
    })),
    nextNumber: nodes + 1,
    ...atRest,
  }
}

function routingCases(material: Material): MicroCase[] {
  const table: SlotTable = slotTable(topologyOf(9, 'n'))
  const once = (nodes: number): MicroCase => {
    let runs = 0
    // Other members each time: the layouts of members that have been seen are kept.
    const run = (): number => slotTable(topologyOf(nodes, `n${runs++}-`)).load(0)
    return { group: 'routing', name: `lay the slots out over ${nodes} nodes`, operations: 1, run }
  }
  return [
    repeated('routing', 'the owners of a key', () => table.owners(slotOf(material.keys[material.chosen()]!))[0]!),
    once(3),
    once(9),
    once(100),
  ]
}

/** The cases of the given groups, made anew, in the order of reports. */
export function microCases(groups: readonly MicroGroup[]): MicroCase[] {
  const material = new Material()
  const makers: Readonly<Record<MicroGroup, (material: Material) => MicroCase[]>> = {
    hash: hashCases,
    crc: crcCases,
    hlc: hlcCases,
    log: logCases,
    table: tableCases,
    messages: messageCases,
    routing: routingCases,
  }
  return microGroups.filter((group) => groups.includes(group)).flatMap((group) => makers[group](material))
}
