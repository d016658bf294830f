import { type Epoch, Instruments, KvError, type Slot } from '../base/index.js'
import type { Clock, Link, LinkHandlers, Timer } from '../env/index.js'
import { type Hlc, hlcMs, hlcOf, type Version, zeroVersion } from '../hlc/index.js'
import { compareRecords, encodedRecordBytes, floorTombstone, floorVersion, type StoredRecord } from '../record/index.js'
import type { Member, SlotTable } from '../slots/index.js'
import { ActiveOperations } from './operations/active-operations.js'
import { ItemReader } from './operations/items.js'
import { noOtherSide, type OperationContext, type Routing } from './operations/routing.js'
import type {
  PageReply,
  PageRequest,
  PageWaiter,
  ReadReply,
  ReadWaiter,
  Replica,
  WriteReply,
  WriteWaiter,
} from './replicas/replica.js'
import type { CopyAnswer, CopyAsk, CopyPart, CopySource } from './transfer/copy-source.js'
import { failedCopy } from './transfer/copy-source.js'
import { routingOf } from './transfer/slot-quorums.js'

/** Time that moves when told to. */
export class ManualClock implements Clock {
  nowMs = 1_000
  readonly #timers: { atMs: number; fire: () => void; cancelled: boolean }[] = []

  wallMs(): number {
    return 1_700_000_000_000 + this.nowMs
  }

  monotonicMs(): number {
    return this.nowMs
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    const timer = { atMs: this.nowMs + delayMs, fire, cancelled: false }
    this.#timers.push(timer)
    return {
      cancel: () => {
        timer.cancelled = true
      },
    }
  }

  defer(fire: () => void): void {
    this.setTimer(0, fire)
  }

  advance(ms: number): void {
    const untilMs = this.nowMs + ms
    for (;;) {
      const due = this.#timers.filter(({ atMs, cancelled }) => !cancelled && atMs <= untilMs)
      due.sort((a, b) => a.atMs - b.atMs)
      const next = due[0]
      if (next === undefined) break
      next.cancelled = true
      this.nowMs = Math.max(this.nowMs, next.atMs)
      next.fire()
    }
    this.nowMs = untilMs
  }
}

/** Two ends of a wire; what one sends, the other gets when the test says so. */
export class Wire implements Link {
  readonly remote = 'test'
  readonly proved = undefined
  handlers!: LinkHandlers
  other!: Wire
  readonly sent: Uint8Array[] = []
  accepting = true
  closed: string | undefined

  start(handlers: LinkHandlers): void {
    this.handlers = handlers
  }

  send(message: Uint8Array): boolean {
    this.sent.push(message)
    return this.accepting
  }

  close(reason: string): void {
    if (this.closed !== undefined) return
    this.closed = reason
    this.handlers.close(reason)
  }

  deliver(): void {
    for (const message of this.sent.splice(0)) this.other.handlers.message(message.slice())
  }
}

export function version(ms: number, node = 1): Version {
  return { ...hlcOf(ms, 0), node }
}

export function record(key: string, value: string | undefined, at: Version, expiresAtMs = 0): StoredRecord {
  const bytes = Buffer.from(value ?? '')
  return { ...at, key: Buffer.from(key), value: bytes, tombstone: value === undefined, expiresAtMs }
}

export function applied(seen?: Version, existed = false, previous?: StoredRecord): WriteReply {
  return { kind: 'applied', seen, existed, previous, code: undefined }
}

export function stale(seen: Version): WriteReply {
  return { kind: 'stale', seen, existed: false, previous: undefined, code: undefined }
}

interface SentWrite {
  readonly record: StoredRecord
  readonly isRepair: boolean
  reply(reply: WriteReply): void
}

interface SentRead {
  readonly key: Uint8Array
  readonly full: boolean
  reply(reply: ReadReply): void
  /** Answers truly, from what the replica holds. */
  answer(): void
}

/** A replica whose answers the test gives, in the order that it likes; `automatic` answers truly and at once. */
export class ScriptedReplica implements Replica, CopySource {
  up = true
  /** While it is not up. */
  returning = false
  doubted = false
  /** Its queue has room for a write. */
  hasRoom = true
  automatic = false
  /** It is known to have lost every slot. */
  lost = false
  readonly writes: SentWrite[] = []
  readonly reads: SentRead[] = []
  readonly held = new Map<string, StoredRecord>()
  /** Of all slots. */
  floorMs = 0

  hold(...records: StoredRecord[]): void {
    for (const each of records) this.held.set(nameOf(each.key), each)
  }

  accepts(): boolean {
    return this.up && this.hasRoom
  }

  lacks(): boolean {
    return this.lost
  }

  write(record: StoredRecord, _wantPrevious: boolean, waiter: WriteWaiter, position: number, isRepair = false): void {
    const sent = { record, isRepair, reply: (reply: WriteReply) => waiter.writeReplied(position, reply) }
    this.writes.push(sent)
    if (this.automatic) this.applyWrite(sent)
  }

  /** Applies truly and answers. */
  applyWrite(sent: SentWrite): void {
    const { record } = sent
    const known = this.held.get(nameOf(record.key))
    if (known !== undefined && compareRecords(known, record) > 0) sent.reply(stale(known))
    else if (known === undefined && this.floorMs > 0 && hlcMs(record) <= this.floorMs) {
      sent.reply(stale(floorVersion(this.floorMs)))
    } else {
      this.hold(record)
      sent.reply(applied(known, known !== undefined && !known.tombstone, known))
    }
  }

  read(key: Uint8Array, full: boolean, waiter: ReadWaiter, position: number): void {
    const reply = (reply: ReadReply): void => waiter.readReplied(position, reply)
    const answer = (): void => {
      const absent = this.floorMs > 0 ? floorTombstone(key, this.floorMs) : undefined
      const held = this.held.get(nameOf(key)) ?? absent
      reply({ kind: 'held', version: held ?? zeroVersion, record: full ? held : undefined })
    }
    this.reads.push({ key, full, reply, answer })
    if (this.automatic) answer()
  }

  /** What was asked of it for each slot, in order. */
  readonly copied: { readonly slot: Slot; readonly settled: boolean }[] = []

  /** Answers slot by slot as `page` does, and nothing as long as that says nothing. */
  copy({ slots, after, recordsMax, bytesMax, settled }: CopyAsk, answered: (answer: CopyAnswer) => void): void {
    const parts: CopyPart[] = []
    for (const { slot } of slots) {
      const [first, last] = [parts.length === 0, parts.at(-1)]
      const records = parts.flatMap((part) => part.records)
      const bytes = records.reduce((sum, each) => sum + encodedRecordBytes(each), 0)
      if (last?.more || records.length >= recordsMax || (!first && bytes >= bytesMax)) break
      this.copied.push({ slot, settled })
      let reply: PageReply | undefined
      const request = { slot, prefix: new Uint8Array(), after: first ? after : new Uint8Array(), recordsMax, bytesMax }
      this.page(request, { pageReplied: (_, told) => (reply = told) }, 0)
      if (reply === undefined) return
      if (reply.kind === 'failed' || reply.kind === 'wrong-epoch') {
        if (first) answered(failedCopy)
        break
      }
      parts.push({ ...reply, kind: reply.kind })
    }
    if (parts.length > 0) answered({ kind: 'held', parts })
  }

  page(request: PageRequest, waiter: PageWaiter, position: number): void {
    const behind = [...this.held.values()]
      .filter(({ key }) => Buffer.from(key).subarray(0, request.prefix.length).equals(request.prefix))
      .filter(({ key }) => request.after.length === 0 || Buffer.compare(key, request.after) > 0)
      .sort((a, b) => Buffer.compare(a.key, b.key))
    const records = behind.slice(0, request.recordsMax)
    waiter.pageReplied(position, {
      kind: 'held',
      records,
      more: records.length < behind.length,
      floorMs: this.floorMs,
    })
  }
}

export function nameOf(key: Uint8Array): string {
  return Buffer.from(key).toString('hex')
}

export interface Scene {
  readonly clock: ManualClock
  readonly context: OperationContext & {
    stampMs: number
    stuck: (() => void)[] | undefined
    refusal: KvError | undefined
    hints: [string, StoredRecord][]
  }
  readonly routing: Routing
  readonly replicas: ScriptedReplica[]
  readonly owners: readonly number[]
}

/** Nodes that all own every slot, and a coordinator that is `self`. */
export function scene(
  options: { nodes?: number; r?: number; w?: number; self?: number; driftMaxMs?: number } = {},
): Scene {
  const { nodes = 3, r = 2, w = 2, self = 0, driftMaxMs = 10_000 } = options
  const clock = new ManualClock()
  const replicas = Array.from({ length: nodes }, () => new ScriptedReplica())
  const owners = replicas.map((_, i) => i)
  const table = {
    ownersPerSlot: nodes,
    members: owners.map((i) => ({ id: `n${i}` })),
    ownsSlot: (member: number): boolean => owners.includes(member),
    owners: (_slot: Slot): Uint16Array => Uint16Array.from(owners),
  } as unknown as SlotTable
  const quorums = { readQuorum: r, writeQuorum: w, ...noOtherSide }
  const routing = routingOf({ epoch: 1 as Epoch, table, self, replicas, ...quorums })
  const context = {
    clock,
    active: new ActiveOperations(clock),
    instruments: new Instruments(() => 0),
    nodeNumber: 1,
    stampMs: 100,
    /** While it is set, there are no stamps. */
    stuck: undefined as (() => void)[] | undefined,
    refusal: undefined as KvError | undefined,
    whenStampable(retry: () => void): () => void {
      this.stuck?.push(retry)
      return () => void this.stuck?.splice(this.stuck.indexOf(retry), 1)
    },
    /** By the member's id. */
    hints: [] as [string, StoredRecord][],
    missed(member: Member, record: StoredRecord): void {
      this.hints.push([member.id, record])
    },
    stamp(): Hlc | undefined {
      if (this.refusal !== undefined) throw this.refusal
      if (this.stuck !== undefined) return undefined
      this.stampMs++
      return hlcOf(this.stampMs, 0)
    },
    raiseClock(above: Hlc): void {
      if (hlcMs(above) > this.stampMs + driftMaxMs) throw new DriftForTest()
      this.stampMs = Math.max(this.stampMs, hlcMs(above))
    },
  }
  return { clock, context, routing, replicas, owners }
}

class DriftForTest extends KvError {
  constructor() {
    super('unavailable', 'too far in the future', { outcome: 'not-applied' })
  }
}

/** What one item of a message says. */
export type Item = Pick<ItemReader, 'kind' | 'id' | 'code' | 'existed' | 'key' | 'version' | 'record'>

export function itemsOf(items: Uint8Array): Item[] {
  const found: Item[] = []
  for (const reader = new ItemReader(items); reader.next(); ) {
    const { kind, id, code, existed, key, version, record } = reader
    found.push({ kind, id, code, existed, key, version, record })
  }
  return found
}
