import { EventEmitter } from 'node:events'
import { PassThrough, Readable, Writable } from 'node:stream'
import type {
  AccessOverview,
  BackupPage,
  CallOptions,
  CancelOptions,
  ChangeOptions,
  ChangePlan,
  ClusterStatus,
  ClusterTopology,
  Consistency,
  ConvergenceStatus,
  CreatedPrincipal,
  DeleteResult,
  Entry,
  HandoverStatus,
  HintStatus,
  Key,
  KvErrorCode,
  Member,
  MemberStatus,
  NewPrincipal,
  NodeFigures,
  Operator,
  Partition,
  PlannedChange,
  PutOptions,
  PutResultWithPrevious,
  ReadOptions,
  RepairOptions,
  RepairProgress,
  RestoreTally,
  ScanEntry,
  ScanOptions,
  SnapshotTaken,
  StopVerdict,
  WriteOutcome,
} from '@quorumkv/client'
import { KvError, Version } from '@quorumkv/client'
import { NodeDisk } from '@quorumkv/internal/env-node'
import type { Client } from './context.js'
import type { Interrupt, Io, Timing } from './io.js'

/** Time that passes only while somebody sleeps, and then at once, or when it is told to. */
export class FakeTiming implements Timing {
  now = 1_700_000_000_000
  sleeps: number[] = []
  readonly #tasks = new Set<() => void>()

  wall(): number {
    return this.now
  }

  monotonic(): number {
    return this.now - 1_600_000_000_000
  }

  every(_ms: number, task: () => void): () => void {
    this.#tasks.add(task)
    return () => this.#tasks.delete(task)
  }

  /** Lets `ms` pass, and calls once what is called every so often. */
  tick(ms: number): void {
    this.now += ms
    for (const task of [...this.#tasks]) task()
  }

  random(): number {
    return 0.5
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    this.sleeps.push(ms)
    const until = this.now + ms
    return new Promise((resolve) => {
      setImmediate(() => {
        if (!signal.aborted) this.now = Math.max(this.now, until)
        resolve()
      })
    })
  }
}

interface Stored {
  readonly value: Uint8Array
  readonly version: Version
  readonly expiresAt: Date | undefined
}

export interface PutCall {
  readonly key: string
  readonly value: string
  readonly options: PutOptions
}

/** By its text form, the one way that users of the SDK have to make a version. */
function versionOf(stamp: number): Version {
  return Version.parse(stamp.toString(16).padStart(16, '0') + '1'.padStart(8, '0'))!
}

const latin1 = (key: Key): string => Buffer.from(key as Uint8Array).toString('latin1')

/** A change that comes to a little of everything. */
export const somePlan: ChangePlan = {
  ...{ epoch: 8, begins: 'at-once', slots: 1_500, copies: 1_600, bytes: 5_000_000, durationMs: 75_000 },
  moves: [
    { from: 'node-3', to: 'node-1', slots: 900 },
    { from: 'node-3', to: 'node-2', slots: 700 },
  ],
  ...{ calledOff: [], turnedAway: [], spareNow: 1, spareMeanwhile: 1, spareAfterwards: 1 },
}

/** Does what it is told, and remembers. */
export class FakeOperator implements Operator {
  readonly calls: unknown[][] = []
  plan: ChangePlan = somePlan
  verdict: StopVerdict = { safe: true, reason: '' }
  /** Operations that run at a node that is drained. */
  running = 0

  decommission(id: string, options?: ChangeOptions): Promise<ChangePlan> {
    return this.#change('decommission', options, id)
  }

  remove(id: string, options?: ChangeOptions): Promise<ChangePlan> {
    return this.#change('remove', options, id)
  }

  async forceRemove(endpoint: string, ids: readonly string[], epoch: number, options?: ChangeOptions) {
    this.calls.push([options?.dryRun === true ? 'plan forceRemove' : 'forceRemove', endpoint, ids, epoch])
    return { nodeId: 'node-1', epoch: 1_000_007, emptySlots: [3, 4, 5, 9], doubtfulSlots: 12, remaining: ['node-1'] }
  }

  replace(id: string, by: string, options?: ChangeOptions): Promise<ChangePlan> {
    return this.#change('replace', options, id, by)
  }

  reweight(id: string, weight: number, options?: ChangeOptions): Promise<ChangePlan> {
    return this.#change('reweight', options, id, weight)
  }

  cancel(id?: string, options?: CancelOptions): Promise<ChangePlan> {
    return this.#change('cancel', options, id, options?.epoch)
  }

  /** What the software of all members goes by. */
  level = 2

  async raiseLevel(options: ChangeOptions = {}): Promise<{ before: number; after: number }> {
    this.calls.push([options.dryRun === true ? 'plan raiseLevel' : 'raiseLevel'])
    return { before: 1, after: this.level }
  }

  async safeToStop(id: string): Promise<StopVerdict> {
    this.calls.push(['safeToStop', id])
    return this.verdict
  }

  async drain(endpoint: string): Promise<number> {
    this.calls.push(['drain', endpoint])
    return this.running
  }

  async streamRate(endpoint: string, bytesPerSecond?: number): Promise<number> {
    this.calls.push(['streamRate', endpoint, bytesPerSecond])
    return bytesPerSecond ?? 1_048_576
  }

  /** What is wanted of backups: tests of them give theirs. */
  backups: Pick<Operator, 'backupSlots' | 'restoreSlots'> | undefined

  async backupSlots(...args: Parameters<Operator['backupSlots']>): Promise<BackupPage> {
    if (this.backups === undefined) throw new KvError('unavailable', 'no backups here')
    return await this.backups.backupSlots(...args)
  }

  async restoreSlots(...args: Parameters<Operator['restoreSlots']>): Promise<RestoreTally> {
    if (this.backups === undefined) throw new KvError('unavailable', 'no backups here')
    return await this.backups.restoreSlots(...args)
  }

  /** Operations that every node says to have coordinated for each second of its uptime; undefined: it does not answer. */
  load: number | undefined = undefined
  /** Of every node. */
  uptimeMs = 0

  async figures(endpoint: string): Promise<NodeFigures> {
    if (this.load === undefined) throw new KvError('unavailable', `${endpoint}: made to fail`)
    const { load, uptimeMs } = this
    const latency = { count: 0, p50Us: 0, p99Us: 0, p999Us: 0, maxUs: 0 }
    const count = (load * uptimeMs) / 1_000
    const figures = { kind: 'get', errors: 0, latency } as const
    const operations = [
      { ...figures, role: 'coordinator', count },
      { ...figures, role: 'replica', count: 3 * count },
    ] as const
    return { nodeId: endpoint, uptimeMs, ready: true, quorumFailures: 0, operations }
  }

  async principals(): Promise<AccessOverview> {
    this.calls.push(['principals'])
    const common = { createdAt: undefined, expiresAt: undefined }
    return {
      revision: 7,
      principals: [
        { name: 'root', role: 'admin', prefixes: [], inFile: true, ...common },
        {
          ...{ name: 'app', role: 'write', inFile: false, prefixes: [Buffer.from('app/'), Buffer.from([27, 0xff])] },
          ...{ createdAt: new Date(1_700_000_000_000), expiresAt: new Date(1_800_000_000_000) },
        },
      ],
      openMembers: ['node-3'],
    }
  }

  async createPrincipal(name: string, { role, prefixes, expiresAt }: NewPrincipal): Promise<CreatedPrincipal> {
    this.calls.push(['createPrincipal', name, role, prefixes, expiresAt])
    return { name, token: `qkv_${name}_${'s'.repeat(43)}`, revision: 8 }
  }

  async revokePrincipal(name: string): Promise<number> {
    this.calls.push(['revokePrincipal', name])
    return 9
  }

  async #change(kind: string, options: ChangeOptions | undefined, ...what: unknown[]): Promise<ChangePlan> {
    this.calls.push([options?.dryRun === true ? `plan ${kind}` : kind, ...what])
    return this.plan
  }
}

/** A cluster of three members in a Map, with faults on request. */
export class FakeClient implements Client {
  /** By the key's bytes as latin1 text. */
  readonly data = new Map<string, Stored>()
  readonly puts: PutCall[] = []
  readonly scans: ScanOptions[] = []
  readonly snapshots: (readonly [endpoint: string | undefined, timeoutMs: number | undefined])[] = []
  readonly repairs: (readonly [endpoint: string | undefined, slot: number | undefined])[] = []
  readonly consistencies: (Consistency | undefined)[] = []
  readonly timing: FakeTiming
  /** What the next puts of a key run into, first one first; 'applied' in front means that the value is stored all the same. */
  readonly faults = new Map<string, KvError[]>()
  /** What every call runs into. */
  fault: KvError | undefined
  /** Called with each key that is read. */
  beforeGet: ((key: Key) => void) | undefined
  /** Whether deletes know what they have removed. */
  existedKnown = true
  /** What every member's repair comes to. */
  repaired: Partial<RepairProgress> = {}
  /** What every member says of its convergence. */
  convergence: ConvergenceStatus = { peers: [], recordsPulled: 0, recordsPushed: 0 }
  /** What every member says that it keeps for others. */
  hints: HintStatus[] = []
  /** What every member says of its lost slots. */
  floorObstacle = ''
  loss = { lostSlots: 0, refillObstacle: '' }
  members: Member[] = [1, 2, 3].map((number) => ({
    id: `node-${number}`,
    number,
    address: `127.0.0.1:5005${number}`,
    zone: '',
    weight: 1,
    incarnation: 'a'.repeat(32),
    state: 'serving',
    levels: { min: 1, max: 1 },
    liveness: number === 3 ? 'dead' : 'alive',
    livenessMs: 90_000,
  }))
  handover: HandoverStatus | undefined
  planned: PlannedChange[] = []
  readonly draining = new Set<string>()
  readonly operator: FakeOperator = new FakeOperator()
  /** What `status` says from one call to the next, over what it says otherwise; the last one stays. */
  statuses: Partial<ClusterStatus>[] = []
  closed = false
  reached = true
  pageSize = 3
  inFlight = 0
  inFlightMost = 0
  bytesInFlightMost = 0
  /** While set, puts wait for `release`. */
  holding = false
  #bytesInFlight = 0
  readonly #held: (() => void)[] = []
  readonly #keysInFlight = new Set<string>()
  #stamp = 0

  constructor(timing: FakeTiming = new FakeTiming()) {
    this.timing = timing
  }

  text(key: string): string | undefined {
    const stored = this.data.get(Buffer.from(key).toString('latin1'))
    return stored === undefined ? undefined : Buffer.from(stored.value).toString()
  }

  set(key: string | Uint8Array, value: string | Uint8Array, expiresAt?: Date): void {
    this.#store(latin1(Buffer.from(key as Uint8Array)), Buffer.from(value as Uint8Array), expiresAt)
  }

  /** Lets the puts go on that wait, in the given order of their positions, or all. */
  release(): void {
    this.holding = false
    for (const go of this.#held.splice(0)) go()
  }

  async put(key: Key, value: Key, options: PutOptions = {}): Promise<PutResultWithPrevious> {
    const name = latin1(key)
    const bytes = Buffer.from(value as Uint8Array)
    if (this.#keysInFlight.has(name)) throw new Error(`two puts of ${name} at once`)
    this.puts.push({ key: name, value: bytes.toString(), options })
    this.consistencies.push(options.consistency)
    this.#keysInFlight.add(name)
    this.inFlight += 1
    this.#bytesInFlight += bytes.length
    this.inFlightMost = Math.max(this.inFlightMost, this.inFlight)
    this.bytesInFlightMost = Math.max(this.bytesInFlightMost, this.#bytesInFlight)
    await (this.holding ? new Promise<void>((go) => this.#held.push(go)) : new Promise((go) => setImmediate(go)))
    this.inFlight -= 1
    this.#bytesInFlight -= bytes.length
    this.#keysInFlight.delete(name)
    const fault = this.faults.get(name)?.shift() ?? this.fault
    if (fault !== undefined) throw fault
    const expiresAt = options.ttlMs === undefined ? undefined : new Date(this.timing.now + options.ttlMs)
    return { version: this.#store(name, bytes, expiresAt).version, acks: 2, previousKnown: true, previous: undefined }
  }

  async getEntry<K extends Key>(key: K, options: ReadOptions = {}): Promise<Entry<K> | undefined> {
    this.beforeGet?.(key)
    if (options.signal?.aborted === true) throw new KvError('cancelled', 'the call was cancelled')
    if (this.fault !== undefined) throw this.fault
    const stored = this.data.get(latin1(key))
    return stored === undefined ? undefined : { key, ...stored, text: () => Buffer.from(stored.value).toString() }
  }

  async getBytes(key: Key): Promise<Uint8Array | undefined> {
    return (await this.getEntry(key))?.value
  }

  async ready(): Promise<void> {
    if (this.fault !== undefined) throw this.fault
  }

  async getManyEntries<K extends Key>(keys: Iterable<K>): Promise<Map<K, Entry<K>>> {
    const found = new Map<K, Entry<K>>()
    for (const key of keys) {
      const entry = await this.getEntry(key)
      if (entry !== undefined) found.set(key, entry)
    }
    return found
  }

  async delete(key: Key): Promise<DeleteResult> {
    if (this.fault !== undefined) throw this.fault
    const existed = this.data.delete(latin1(key))
    return { version: versionOf(1), existed: this.existedKnown ? existed : undefined }
  }

  async *scan(options: ScanOptions = {}): AsyncGenerator<ScanEntry> {
    this.scans.push(options)
    const prefix = latin1(options.prefix ?? '')
    const keys = [...this.data.keys()].sort().filter((key) => key.startsWith(prefix) && key > (options.cursor ?? ''))
    for (const [i, key] of keys.entries()) {
      await new Promise((go) => setImmediate(go))
      if (this.fault !== undefined) throw this.fault
      const stored = this.data.get(key)!
      const keyBytes = Buffer.from(key, 'latin1')
      yield {
        key: keyBytes.toString(),
        keyBytes,
        value: Buffer.from(stored.value).toString(),
        valueBytes: options.keysOnly === true ? new Uint8Array(0) : stored.value,
        version: stored.version,
        expiresAt: stored.expiresAt,
        cursor: (i + 1) % this.pageSize === 0 || i === keys.length - 1 ? key : undefined,
      }
    }
  }

  async status(): Promise<ClusterStatus> {
    if (this.fault !== undefined) throw this.fault
    const [next] = this.statuses.length > 1 ? this.statuses.splice(0, 1) : this.statuses
    return { ...this.#statusOf(this.members[0]!), ...next }
  }

  async statusAll(): Promise<MemberStatus[]> {
    if (this.fault !== undefined) throw this.fault
    return this.members.map(({ id, address, liveness }, i) =>
      liveness === 'alive'
        ? { ok: true, id, address, status: this.#statusOf(this.members[i]!) }
        : { ok: false, id, address, error: new KvError('unavailable', `${address} does not answer`) },
    )
  }

  async snapshot(endpoint?: string, options: CallOptions = {}): Promise<SnapshotTaken> {
    if (this.fault !== undefined) throw this.fault
    this.snapshots.push([endpoint, options.timeoutMs])
    const member = this.members.find(({ address }) => address === endpoint) ?? this.members[0]!
    if (member.liveness === 'dead') throw new KvError('unavailable', `${member.address} does not answer`)
    return { nodeId: member.id, sequence: 7, records: 1234, bytes: 4096, durationMs: 12 }
  }

  async *repair(endpoint?: string, options: RepairOptions = {}): AsyncGenerator<RepairProgress> {
    this.repairs.push([endpoint, options.slot])
    const member = this.members.find(({ address }) => address === endpoint) ?? this.members[0]!
    if (member.liveness === 'dead') throw new KvError('unavailable', `${member.address} does not answer`)
    const begun: RepairProgress = {
      ...{ nodeId: member.id, done: false, members: 2, membersDone: 0, obstacles: [], bytes: 0 },
      ...{ slotsDiffering: 0, slotsRepaired: 0, slotsSkipped: 0, recordsPulled: 0, recordsPushed: 0 },
    }
    yield begun
    await this.timing.sleep(1_500, new AbortController().signal)
    yield { ...begun, done: true, membersDone: 2, ...this.repaired }
  }

  async topology(): Promise<ClusterTopology> {
    if (this.fault !== undefined) throw this.fault
    const { members } = this
    const rotated = (slot: number) => members.map((_, i) => members[(slot + i) % members.length]!)
    return {
      clusterId: 'c'.repeat(32),
      epoch: 7,
      replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
      members,
      slots: 16,
      owners: rotated,
      handover: this.handover,
      planned: this.planned,
      otherOwners: (slot) => (this.handover === undefined ? [] : rotated(slot + 1)),
    }
  }

  async partition<K extends Key>(key: K): Promise<Partition<K>> {
    const { owners } = await this.topology()
    return { key, hash: 0x9abc_def0, slot: 9, owners: owners(9) }
  }

  stats(): { epoch: number } {
    return { epoch: this.reached ? 7 : 0 }
  }

  async close(): Promise<void> {
    this.closed = true
  }

  #store(name: string, value: Uint8Array, expiresAt: Date | undefined): Stored {
    const stored = { value, version: versionOf(++this.#stamp), expiresAt }
    this.data.set(name, stored)
    return stored
  }

  #statusOf({ id }: Member): ClusterStatus {
    return {
      nodeId: id,
      clusterId: 'c'.repeat(32),
      epoch: 7,
      members: this.members,
      replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
      serverVersion: '0.1.0',
      uptimeMs: 93_600_000,
      storage: {
        entries: this.data.size,
        tombstones: 1_234,
        floorMs: 0,
        floorObstacle: this.floorObstacle,
        tableBytes: 1000,
        logBytes: 123_456_789,
        logSegments: 2,
        lastSequence: 5,
        snapshotSequence: 0,
        readOnly: false,
        ...this.loss,
      },
      convergence: this.convergence,
      hints: this.hints,
      forming: false,
      handover: this.handover,
      planned: this.planned,
      draining: this.draining.has(id),
      operations: 0,
      featureLevel: 1,
      certificates: [],
      certificateProblem: '',
    }
  }
}

export function fault(code: KvErrorCode, outcome?: WriteOutcome): KvError {
  return new KvError(code, `made to fail with ${code}`, { outcome })
}

/** An output that can be read back, and that can be made slow or broken. */
export class FakeOutput extends Writable {
  readonly isTTY: boolean
  readonly columns: number
  readonly rows = 40
  /** Takes one write per turn of the event loop. */
  slow = false
  readonly chunks: Buffer[] = []
  /** Set: writes fail with this, as EPIPE does when a reader goes away. */
  failure: Error | undefined

  constructor(isTTY = false, columns = 100) {
    super({ decodeStrings: true })
    this.columns = columns
    this.isTTY = isTTY
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.failure !== undefined) {
      setImmediate(done, this.failure)
      return
    }
    this.chunks.push(chunk)
    if (this.slow) setImmediate(done)
    else done()
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }

  get text(): string {
    return this.bytes.toString()
  }
}

export interface FakeIoOptions {
  readonly stdin?: Readable | string
  readonly terminal?: boolean
  /** Of the terminal; 100 unless given. */
  readonly columns?: number
  readonly env?: Record<string, string>
  readonly timing?: FakeTiming
  /** Undefined: that of the machine. */
  readonly disk?: Io['disk']
}

export class FakeIo implements Io {
  readonly stdin: Readable
  readonly stdout: FakeOutput
  readonly stderr: FakeOutput
  readonly env: Record<string, string>
  readonly timing: FakeTiming
  readonly disk: Io['disk']
  readonly #interrupts = new EventEmitter()

  constructor(options: FakeIoOptions = {}) {
    const { stdin = new PassThrough(), terminal = false } = options
    this.stdin = typeof stdin === 'string' ? Readable.from([Buffer.from(stdin)]) : stdin
    this.stdout = new FakeOutput(terminal, options.columns)
    this.stderr = new FakeOutput(terminal)
    this.env = options.env ?? {}
    this.timing = options.timing ?? new FakeTiming()
    this.disk = options.disk ?? ((directory) => new NodeDisk(directory))
  }

  onInterrupt(handler: (signal: Interrupt) => void): () => void {
    this.#interrupts.on('interrupt', handler)
    return () => this.#interrupts.off('interrupt', handler)
  }

  interrupt(signal: Interrupt = 'SIGINT'): void {
    this.#interrupts.emit('interrupt', signal)
  }

  /** What the process would have ended with, where something had not wanted to wait. */
  exitedWith: number | undefined

  exitNow(status: number): void {
    this.exitedWith ??= status
  }

  get interruptHandlers(): number {
    return this.#interrupts.listenerCount('interrupt')
  }
}
