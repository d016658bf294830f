import { KvError } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import type { SimRandom } from '@quorumkv/internal/env-sim'
import type { Version } from '@quorumkv/internal/hlc'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { Consistency, OperationOptions, ScanOptions, ScanPage } from '@quorumkv/internal/replication'
import type { SimCluster } from '../sim-cluster.js'
import { Attempts, operationMs, patienceMs, type Wanted } from './attempts.js'
import type { Call } from './history.js'
import { keyBytes, keySlot } from './keys.js'
import type { Ledger, ReadNote } from './ledger.js'
import type { Mix, Scenario } from './scenario.js'
import type { Watch } from './watch.js'

const text = new TextEncoder()

/** After so long no attempt of an operation is on its way to a node any more. */
const arrivalMsMax = 14_000

/** Who was refused waits before the next attempt. */
const afterFailureMs = 200

/**
 * Keys of one run: `k0` … are registers, read and written at `quorum` and `all`; `t0` … hold entries that expire; `o0` …
 * are read and written at level `one`, and `a0` … are written at `all` and read at `one`.
 */
type KeyKind = 'k' | 't' | 'o' | 'a'

/** Values are a unique name, padded with dots; whatever is none of that is its own name, which nobody knows. */
export function nameOfValue(record: StoredRecord | undefined): string | undefined {
  return record === undefined ? undefined : nameOfText(Buffer.from(record.value).toString('latin1'))
}

function nameOfText(value: string): string {
  return /^(v\d+|end-\w+)\.*$/.exec(value)?.[1] ?? `something spoilt (${value.slice(0, 40)})`
}

/**
 * The clients of a run. Each asks one thing after the other, through any node that runs, and writes down what it asked
 * and what it was told.
 */
export class Clients {
  /** Operations that run when `stop` is called have come to their ends after so long. */
  static readonly patienceMs: number = 8_000
  readonly #cluster: SimCluster
  readonly #scenario: Scenario
  readonly #ledger: Ledger
  readonly #watch: Watch
  readonly #random: SimRandom
  readonly #attempts: Attempts
  readonly #deeds: readonly (readonly [weight: number, deed: (via: string) => Promise<boolean>])[]
  readonly #deedWeight: number
  /** When entries are due, by value, in true time. */
  readonly #dueMs = new Map<string, number>()
  /** How far a node's clock may be from true time where none is further off than allowed. */
  readonly #clockErrorMs: number
  #values = 0
  #stopped = false
  /** Who belongs to a former one has gone home. */
  #shift = 0

  constructor(cluster: SimCluster, scenario: Scenario, ledger: Ledger, watch: Watch) {
    this.#cluster = cluster
    this.#scenario = scenario
    this.#ledger = ledger
    this.#watch = watch
    const { skew, drift, clockFarOff, crashAll } = scenario.faults
    this.#clockErrorMs = skew + drift + clockFarOff + crashAll === 0 ? 2 : scenario.maxClockDriftMs
    this.#random = cluster.world.random.fork('clients')
    this.#attempts = new Attempts(cluster, cluster.world.random.fork('attempts'), ledger)
    const deeds: Readonly<Record<keyof Mix, (via: string) => Promise<boolean>>> = {
      read: (via) => this.#read(via),
      write: (via) => this.#write(via, this.#value()),
      delete: (via) => this.#write(via, undefined),
      twin: (via) => this.#twin(via),
      scan: (via) => this.#scan(via),
      expiring: (via) => this.#expiring(via),
      one: (via) => this.#one(via),
      all: (via) => this.#all(via),
    }
    this.#deeds = (Object.keys(deeds) as (keyof Mix)[]).map((kind) => [scenario.mix[kind], deeds[kind]])
    this.#deedWeight = this.#deeds.reduce((sum, [weight]) => sum + weight, 0)
  }

  /** Also after `stop`: then the same clients come back. */
  start(): void {
    this.#stopped = false
    this.#shift++
    for (let client = 0; client < this.#scenario.clients; client++) this.#turn(this.#shift)
  }

  /** No new operations; those that run come to their ends within `patienceMs`. */
  stop(): void {
    this.#stopped = true
  }

  #turn(shift: number): void {
    if (this.#stopped || shift !== this.#shift) return
    let over = false
    const next = (pauseMs: number): void => {
      if (over) return
      over = true
      this.#cluster.world.after(pauseMs, () => this.#turn(shift))
    }
    const thinkMs = this.#random.chance(0.3) ? 0 : this.#random.between(0, this.#scenario.thinkMsMax)
    // A node that dies never answers: its client turns to another one, as if the time were up.
    this.#cluster.world.after(patienceMs, () => next(thinkMs))
    this.#operate().then(
      (done) => next(done ? thinkMs : afterFailureMs),
      (error: unknown) => {
        this.#ledger.falsehood(`an operation failed with something else than a KvError: ${String(error)}`)
        next(afterFailureMs)
      },
    )
  }

  async #operate(): Promise<boolean> {
    const running = this.#cluster.runningNames
    if (running.length === 0) return false
    // Who has just come up knows least of what the others know.
    const fresh = this.#cluster.startedLast
    const favoured = fresh !== undefined && running.includes(fresh) && this.#random.chance(0.25)
    const via = favoured ? fresh : this.#random.pick(running)
    let draw = this.#random.between(0, this.#deedWeight)
    for (const [weight, deed] of this.#deeds) {
      draw -= weight
      if (draw < 0) return await deed(via)
    }
    return false
  }

  #key(kind: KeyKind): string {
    return `${kind}${this.#random.below(this.#scenario.keys)}`
  }

  /** The one that is written in this season, or (1) the one of the season before. */
  #keyToWrite(kind: KeyKind, seasonsAgo: 0 | 1 = 0): string {
    const { keys, seasonMs } = this.#scenario
    if (seasonMs === 0) return this.#key(kind)
    const season = Math.floor(this.#cluster.world.nowMs / seasonMs) + keys - seasonsAgo
    return `${kind}${season % keys}`
  }

  /** Some running node, another one if there is any. */
  #otherThan(via: string): string {
    const others = this.#cluster.runningNames.filter((name) => name !== via)
    return others.length === 0 ? via : this.#random.pick(others)
  }

  #value(): string {
    const name = `v${++this.#values}`
    return name.padEnd(this.#random.below(this.#scenario.valueBytesMax), '.')
  }

  #options(via: string, consistency: Consistency): OperationOptions {
    return { consistency, deadlineMs: this.#cluster.process(via).clock.monotonicMs() + operationMs }
  }

  /** Undefined: it failed. A node that dies never answers. */
  async #get(
    via: string,
    key: string,
    consistency: Consistency,
  ): Promise<{ record: StoredRecord | undefined } | undefined> {
    this.#attempts.greet(via)
    this.#watch.key(key)
    try {
      const record = await this.#cluster.node(via).get(keyBytes(key), this.#options(via, consistency))
      this.#watch.key(key)
      this.#attempts.heard(via)
      this.#ledger.returned(key, nameOfValue(record))
      return { record }
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      return undefined
    }
  }

  /** Whether the write was acknowledged. */
  async #put(via: string, wanted: Wanted, call?: Call): Promise<boolean> {
    const { key, value, consistency } = wanted
    const note = this.#ledger.write(key, value === undefined ? undefined : nameOfText(value), consistency !== 'one')
    this.#watch.key(key)
    const repeated = this.#random.chance(this.#scenario.repeated)
    const attempt = repeated ? await this.#attempts.repeatedly(via, wanted) : await this.#attempts.once(via, wanted)
    this.#watch.key(key)
    if (attempt.kind !== 'done') {
      call?.failed(attempt.kind)
      this.#ledger.failed(note, attempt.kind)
      return false
    }
    call?.returned()
    const { version, replacedKnown, existed, previous } = attempt.result
    this.#ledger.acknowledged(note, version, attempt.via, attempt.stamped)
    if (wanted.returnPrevious === true && previous === undefined && existed) {
      this.#ledger.violation(`${key}: a write replaced something, and was not told what although it had asked`)
    }
    if (consistency !== 'one' && wanted.ttlMs === undefined) {
      const told = previous === undefined ? undefined : { value: nameOfValue(previous)!, version: previous }
      this.#ledger.replaced(note, { known: replacedKnown, existed, previous: told, repeated })
    }
    return true
  }

  #registerLevel(): Consistency {
    return this.#random.chance(0.05) ? 'all' : 'quorum'
  }

  async #read(via: string): Promise<boolean> {
    const key = this.#key('k')
    const done = await this.#readKey(via, key)
    if (!done || !this.#random.chance(this.#scenario.followed) || this.#cluster.runningNames.length === 0) return done
    return await this.#readKey(this.#otherThan(via), key)
  }

  async #readKey(via: string, key: string): Promise<boolean> {
    const call = this.#ledger.history.call(key, 'read')
    const note = this.#ledger.read(key)
    const highestHeld = this.#watch.holders(key)
    const byScan = this.#ledger.highest(key)?.tombstone === false && this.#random.chance(this.#scenario.scanned)
    const found = byScan ? await this.#scanFor(via, key) : await this.#get(via, key, this.#registerLevel())
    if (found === undefined) call.failed('not-applied')
    else {
      call.returned(nameOfValue(found.record))
      this.#ledger.found(note, found.record, highestHeld)
    }
    return found !== undefined
  }

  /** A page of a scan that begins in the slot of the key: what it does not say of that slot is not there. */
  async #scanFor(via: string, key: string): Promise<{ record: StoredRecord | undefined } | undefined> {
    const slot = keySlot(key)
    const cursor = Uint8Array.of(1, slot & 0xff, slot >>> 8)
    const options = { ...this.#options(via, 'quorum'), prefix: keyBytes(key), pageSize: 1, cursor }
    const page = await this.#page(this.#cluster.node(via), options)
    if (page === undefined) return undefined
    const record = page.records.find((each) => Buffer.from(each.key).toString() === key)
    this.#ledger.returned(key, nameOfValue(record))
    return { record }
  }

  #write(via: string, value: string | undefined): Promise<boolean> {
    // What is deleted then rests for a while.
    return this.#writeKey(via, this.#keyToWrite('k', value === undefined ? 1 : 0), value)
  }

  /** What two clients do who know nothing of each other: both get the same clock reading. */
  async #twin(via: string): Promise<boolean> {
    const key = this.#keyToWrite('k')
    const other = this.#random.chance(0.2) ? undefined : this.#value()
    const both = [this.#writeKey(via, key, this.#value()), this.#writeKey(this.#otherThan(via), key, other)]
    return (await Promise.all(both)).every((done) => done)
  }

  #writeKey(via: string, key: string, value: string | undefined): Promise<boolean> {
    const call = this.#ledger.history.call(key, 'write', value === undefined ? undefined : nameOfText(value))
    const returnPrevious = value !== undefined && this.#random.chance(0.3)
    return this.#put(via, { key, value, consistency: this.#registerLevel(), returnPrevious }, call)
  }

  /** A scan reads every key once, at some moment while it runs. */
  async #scan(via: string): Promise<boolean> {
    const calls = new Map<string, { call: Call; note: ReadNote; highestHeld: () => Version | undefined }>()
    for (let i = 0; i < this.#scenario.keys; i++) {
      const key = `k${i}`
      const call = this.#ledger.history.call(key, 'read')
      calls.set(key, { call, note: this.#ledger.read(key), highestHeld: this.#watch.holders(key) })
    }
    const node = this.#cluster.node(via)
    const options = this.#options(via, 'quorum')
    let cursor: Uint8Array = new Uint8Array(0)
    do {
      const pageSize = 1 + this.#random.below(8)
      const page = await this.#page(node, { ...options, prefix: text.encode('k'), pageSize, cursor })
      if (page === undefined) {
        for (const { call } of calls.values()) call.failed('not-applied')
        return false
      }
      for (const record of page.records) {
        const key = Buffer.from(record.key).toString()
        const read = calls.get(key)
        if (read === undefined) this.#ledger.falsehood(`a scan returned ${key} twice, or it was never written`)
        this.#ledger.returned(key, nameOfValue(record))
        if (read === undefined) continue
        read.call.returned(nameOfValue(record))
        this.#ledger.found(read.note, record, read.highestHeld)
        calls.delete(key)
      }
      cursor = page.cursor
    } while (cursor.length > 0)
    for (const { call, note, highestHeld } of calls.values()) {
      call.returned(undefined)
      this.#ledger.found(note, undefined, highestHeld)
    }
    if (this.#cluster.runningNames.length === 0) return false
    return await this.#readKey(this.#otherThan(via), this.#key('k'))
  }

  async #page(node: Node, options: ScanOptions): Promise<ScanPage | undefined> {
    try {
      return await node.scan(options)
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      return undefined
    }
  }

  /** Puts an entry that expires, or reads one and checks that it was not due. Wrong clocks excuse who reads by them. */
  async #expiring(via: string): Promise<boolean> {
    const { world } = this.#cluster
    if (this.#random.chance(0.5)) {
      const key = this.#keyToWrite('t')
      const value = this.#value()
      const ttlMs = Math.ceil(this.#random.between(1, 20_000))
      // Until the last attempt has arrived and looked at its clock.
      const calledMs = world.nowMs
      const dueMs = calledMs + arrivalMsMax + ttlMs
      this.#dueMs.set(nameOfText(value), dueMs)
      const done = await this.#put(via, { key, value, consistency: 'quorum', ttlMs })
      // Where it was acknowledged, it was stamped before now.
      if (done) this.#dueMs.set(nameOfText(value), Math.min(dueMs, world.nowMs + ttlMs))
      if (this.#watch.clockWasOff(calledMs)) this.#dueMs.set(nameOfText(value), Number.POSITIVE_INFINITY)
      return done
    }
    const key = this.#key('t')
    const calledMs = world.nowMs
    const found = await this.#get(via, key, 'quorum')
    const value = nameOfValue(found?.record)
    const lateMs = value === undefined ? 0 : calledMs - (this.#dueMs.get(value) ?? 0)
    if (lateMs > this.#clockErrorMs && !this.#watch.clockWasOff(calledMs)) {
      this.#ledger.violation(`${key}: ${value} was still shown ${lateMs.toFixed(0)} ms after it expired`)
    }
    return found !== undefined
  }

  /** Level `one` promises that what is read was written, and that what was acknowledged is on one disk. */
  async #one(via: string): Promise<boolean> {
    const key = this.#key('o')
    const level = this.#random.chance(0.8) ? 'one' : 'quorum'
    if (this.#random.chance(0.5)) return await this.#put(via, { key, value: this.#value(), consistency: 'one' })
    return (await this.#get(via, key, level)) !== undefined
  }

  /** What every owner has acknowledged, each of them returns: written at `all`, read at `one`. */
  async #all(via: string): Promise<boolean> {
    const key = this.#key('a')
    if (this.#random.chance(0.4)) return await this.#put(via, { key, value: this.#value(), consistency: 'all' })
    // Who does not know yet that others own it reads what they do not write any more.
    const acknowledged = this.#watch.isBehind(via) ? undefined : this.#ledger.highest(key)
    const found = await this.#get(via, key, 'one')
    if (found !== undefined && acknowledged !== undefined) this.#ledger.notBefore(key, acknowledged, found.record)
    return found !== undefined
  }
}
