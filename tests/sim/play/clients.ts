import { KvError } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import type { SimRandom } from '@quorumkv/internal/env-sim'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { OperationOptions, ScanPage, WriteResult } from '@quorumkv/internal/replication'
import type { SimCluster } from '../sim-cluster.js'
import type { Ledger } from './ledger.js'
import type { Scenario } from './scenario.js'

const text = new TextEncoder()

/** How long an operation may take, and how long its client waits for a node that may have died meanwhile. */
const operationMs = 3_000
const patienceMs = 3_500

/** Who was refused waits before the next attempt. */
const afterFailureMs = 200

/** Keys of one run: `k0` … for the register, `t0` … for entries that expire. */
function keyOf(prefix: 'k' | 't', number: number): string {
  return `${prefix}${number}`
}

/**
 * The clients of a run. Each asks one thing after the other, through any node that runs, and writes down what it asked
 * and what it was told.
 */
export class Clients {
  readonly #cluster: SimCluster
  readonly #scenario: Scenario
  readonly #ledger: Ledger
  readonly #random: SimRandom
  #values = 0
  #stopped = false

  constructor(cluster: SimCluster, scenario: Scenario, ledger: Ledger) {
    this.#cluster = cluster
    this.#scenario = scenario
    this.#ledger = ledger
    this.#random = cluster.world.random.fork('clients')
  }

  start(): void {
    for (let client = 0; client < this.#scenario.clients; client++) this.#turn()
  }

  /** No new operations; those that run come to their ends within `patienceMs`. */
  stop(): void {
    this.#stopped = true
  }

  static readonly patienceMs: number = patienceMs

  #turn(): void {
    if (this.#stopped) return
    let over = false
    const next = (pauseMs: number): void => {
      if (over) return
      over = true
      this.#cluster.world.after(pauseMs, () => this.#turn())
    }
    const thinkMs = this.#random.chance(0.3) ? 0 : this.#random.between(0, this.#scenario.thinkMsMax)
    // A node that dies never answers: its client turns to another one, as if the time were up.
    this.#cluster.world.after(patienceMs, () => next(thinkMs))
    this.#operate().then(
      (done) => next(done ? thinkMs : afterFailureMs),
      (error: unknown) => {
        this.#ledger.violation(`an operation failed with something else than a KvError: ${String(error)}`)
        next(afterFailureMs)
      },
    )
  }

  async #operate(): Promise<boolean> {
    const running = this.#cluster.runningNames
    if (running.length === 0) return false
    const via = this.#random.pick(running)
    const { mix } = this.#scenario
    const total = mix.read + mix.write + mix.delete + mix.scan + mix.expiring
    let draw = this.#random.between(0, total)
    const drawn = (weight: number): boolean => {
      draw -= weight
      return draw < 0
    }
    if (drawn(mix.read)) return this.#read(via)
    if (drawn(mix.write)) return this.#write(via)
    if (drawn(mix.delete)) return this.#delete(via)
    if (drawn(mix.scan)) return this.#scan(via)
    return this.#expiring(via)
  }

  #key(): string {
    return keyOf('k', this.#random.below(this.#scenario.keys))
  }

  #options(via: string): OperationOptions {
    return { consistency: 'quorum', deadlineMs: this.#cluster.process(via).clock.monotonicMs() + operationMs }
  }

  #value(): string {
    const name = `v${++this.#values}`
    return name.padEnd(this.#random.below(this.#scenario.valueBytesMax), '.')
  }

  async #read(via: string): Promise<boolean> {
    const key = this.#key()
    const call = this.#ledger.history.call(key, 'read')
    const record = await settled(this.#cluster.node(via).get(text.encode(key), this.#options(via)), call.failed)
    if (record === failed) return false
    call.returned(nameOf(record))
    return true
  }

  async #write(via: string): Promise<boolean> {
    const key = this.#key()
    const value = this.#value()
    const call = this.#ledger.history.call(key, 'write', nameOfText(value))
    const node = this.#cluster.node(via)
    const result = await settled(node.put(text.encode(key), text.encode(value), this.#options(via)), call.failed)
    return this.#acknowledged(key, result, call)
  }

  async #delete(via: string): Promise<boolean> {
    const key = this.#key()
    const call = this.#ledger.history.call(key, 'write', undefined)
    const node = this.#cluster.node(via)
    const result = await settled(node.delete(text.encode(key), this.#options(via)), call.failed)
    return this.#acknowledged(key, result, call)
  }

  #acknowledged(key: string, result: WriteResult | typeof failed, call: { returned(): void }): boolean {
    if (result === failed) return false
    call.returned()
    this.#ledger.acknowledged(key, result.version)
    return true
  }

  /** A scan reads every key once, at some moment while it runs. */
  async #scan(via: string): Promise<boolean> {
    const { keys } = this.#scenario
    const calls = new Map(
      Array.from({ length: keys }, (_, i) => [keyOf('k', i), this.#ledger.history.call(keyOf('k', i), 'read')]),
    )
    const node = this.#cluster.node(via)
    let cursor: Uint8Array = new Uint8Array(0)
    const options = this.#options(via)
    const fail = (): void => {
      for (const call of calls.values()) call.failed('not-applied')
    }
    do {
      const page = await settled<ScanPage>(this.#page(node, cursor, options), fail)
      if (page === failed) return false
      for (const record of page.records) {
        const key = Buffer.from(record.key).toString()
        const call = calls.get(key)
        if (call === undefined) this.#ledger.violation(`a scan returned ${key} twice, or it was never written`)
        call?.returned(nameOf(record))
        calls.delete(key)
      }
      cursor = page.cursor
    } while (cursor.length > 0)
    for (const call of calls.values()) call.returned(undefined)
    return true
  }

  #page(node: Node, cursor: Uint8Array, options: OperationOptions): Promise<ScanPage> {
    return node.scan({ ...options, prefix: text.encode('k'), pageSize: 1 + this.#random.below(8), cursor })
  }

  /** Puts an entry that expires, or reads one and checks that it was not due. */
  async #expiring(via: string): Promise<boolean> {
    const key = keyOf('t', this.#random.below(this.#scenario.keys))
    const node = this.#cluster.node(via)
    if (this.#random.chance(0.5)) {
      const value = this.#value()
      const ttlMs = Math.ceil(this.#random.between(1, 20_000))
      this.#ledger.expires(nameOfText(value), this.#cluster.world.nowMs + operationMs + ttlMs)
      const result = await settled(
        node.put(text.encode(key), text.encode(value), { ...this.#options(via), ttlMs }),
        ignore,
      )
      if (result !== failed) this.#ledger.acknowledged(key, result.version)
      return result !== failed
    }
    const calledMs = this.#cluster.world.nowMs
    const record = await settled(node.get(text.encode(key), this.#options(via)), ignore)
    if (record !== failed && record !== undefined) this.#ledger.shown(key, nameOf(record)!, calledMs)
    return record !== failed
  }
}

const failed: unique symbol = Symbol('failed')

/** What the promise gives; `failed` when it rejects with a KvError, of which `fail` is told. */
async function settled<T>(
  promise: Promise<T>,
  fail: (outcome: 'not-applied' | 'unknown') => void,
): Promise<T | typeof failed> {
  try {
    return await promise
  } catch (error) {
    if (!(error instanceof KvError)) throw error
    fail(error.outcome === 'not-applied' ? 'not-applied' : 'unknown')
    return failed
  }
}

function ignore(): void {}

/** Values are a unique name, padded with dots. */
function nameOfText(value: string): string {
  const end = value.indexOf('.')
  return end < 0 ? value : value.slice(0, end)
}

function nameOf(record: StoredRecord | undefined): string | undefined {
  return record === undefined ? undefined : nameOfText(Buffer.from(record.value).toString())
}
