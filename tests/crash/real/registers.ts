import { setTimeout as sleep } from 'node:timers/promises'
import { type KvClient, KvError, Version } from '@quorumkv/client'
import type { SimRandom } from '@quorumkv/internal/env-sim'
import { checkRegister } from '../../sim/check/linearizability.js'
import { History } from '../../sim/play/history.js'
import type { Latencies } from './latencies.js'

export interface RegistersOptions {
  /** Everything that the clients choose follows from it. */
  readonly random: SimRandom
  readonly clients: readonly KvClient[]
  /** Operations that each client has under way. */
  readonly lanesPerClient: number
  /** Keys of a round that most operations are on, and others. */
  readonly hotKeys: number
  readonly coldKeys: number
  /** How long calls may take, drawn for each. Undefined: half of them give up before a restart or a stop is over. */
  readonly timeoutsMs?: readonly number[]
  /** Each call is made as soon as the one before is over; undefined: now and then one waits a little. */
  readonly restless?: boolean
  /** No put asks for what it replaces: one that does is not repeated where it may have been applied. */
  readonly repeatable?: boolean
  /** Notes how long the calls of `round` took that returned. */
  readonly latencies?: Latencies
}

/** What is left to be known of a key whose history has been checked and dropped. */
interface Kept {
  /** What the last read found. */
  readonly last: string | undefined
  /** What writes of unknown fate wanted: any of them may still come to light. */
  readonly doubtful: Set<string | undefined>
  /** The highest version that anybody was told. */
  readonly highest: Version | undefined
}

/** Values have up to this many characters: with many of them the log and its snapshots turn over in a run. */
const valueCharsMax = 4_000
const hastyTimeoutsMs = [250, 600, 2_000, 5_000] as const
/** A read at the end of a round is made again until it succeeds, so often; all nodes are back long before. */
const readsMax = 200
const violationsMax = 20

/**
 * Clients that read, write and delete a few keys all at once, and a history of what they were told: a call counts from
 * before it is made until after it has returned, by the order of events in this process. Whoever was told that nobody
 * knows what became of a write has a write that is open for ever.
 *
 * Every other key is never deleted. On the rest, behind a delete of unknown fate, "absent" is right for ever, and nothing
 * that was lost could be told from it.
 *
 * It goes by rounds, each with keys of its own, so that histories can be checked and dropped however long a run is.
 */
export class Registers {
  readonly violations: string[] = []
  /** Calls that returned, reads and writes; and writes among them. */
  returned = 0
  acknowledged = 0
  /** How calls failed, by code and outcome. */
  readonly failures = new Map<string, number>()
  /** Operations that the checker has put into an order. */
  checked = 0
  readonly #options: RegistersOptions
  readonly #kept = new Map<string, Kept>()
  #history = new History()
  #highest = new Map<string, Version>()
  #doubtful = new Map<string, Set<string | undefined>>()
  #serial = 0

  constructor(options: RegistersOptions) {
    this.#options = options
  }

  /** Keys of rounds that are over. */
  get keys(): number {
    return this.#kept.size
  }

  /** Round after round until `signal` ends the last one; then reads its keys and checks it, too. */
  async rounds(name: string, roundMs: number, signal: AbortSignal): Promise<void> {
    for (let i = 0; !signal.aborted; i++) await this.round(`${name}${i}`, roundMs, signal)
  }

  /**
   * Lets the clients work for so long on keys that begin with `name`, or until `signal`, then reads each key and checks
   * its history.
   */
  async round(name: string, durationMs: number, signal?: AbortSignal): Promise<void> {
    const { hotKeys, coldKeys, clients, lanesPerClient, random } = this.#options
    const keys = Array.from({ length: hotKeys + coldKeys }, (_, i) => `${name}-${i < hotKeys ? 'hot' : 'cold'}${i}`)
    const endMs = performance.now() + durationMs
    const draw = random.fork(name)
    const lanes = clients.flatMap((client, i) =>
      Array.from({ length: lanesPerClient }, (_, j) => this.#lane(client, draw.fork(`${i}/${j}`), keys, endMs, signal)),
    )
    await Promise.all(lanes)
    const lasts = await Promise.all(keys.map((key, i) => this.#readSurely(clients[i % clients.length]!, key)))
    for (const [i, key] of keys.entries()) this.#check(key, lasts[i])
    this.#history = new History()
    this.#highest = new Map()
    this.#doubtful = new Map()
  }

  /** Reads every key of all rounds through each of these clients: it must be there as it was left. */
  async checkKept(clients: readonly KvClient[]): Promise<void> {
    for (const client of clients) {
      const found = await client.getManyEntries([...this.#kept.keys()])
      for (const [key, { last, doubtful, highest }] of this.#kept) {
        const entry = found.get(key)
        const value = entry === undefined ? undefined : nameOf(entry.text())
        if (value !== last && !doubtful.has(value)) {
          this.#note(`${key}: is ${shown(value)} at the end, was ${shown(last)} when its round was over`)
        }
        if (entry !== undefined && highest !== undefined && Version.compare(entry.version, highest) < 0) {
          this.#note(`${key}: has version ${entry.version} at the end, ${highest} had been told`)
        }
      }
    }
  }

  async #lane(
    client: KvClient,
    random: SimRandom,
    keys: readonly string[],
    endMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { hotKeys, timeoutsMs = hastyTimeoutsMs, restless = false, repeatable = false, latencies } = this.#options
    while (performance.now() < endMs && signal?.aborted !== true) {
      const startedMs = performance.now()
      const place = random.chance(0.8) ? random.below(hotKeys) : random.below(keys.length)
      const key = keys[place]!
      const timeoutMs = random.pick(timeoutsMs)
      const draw = random.float()
      const done =
        draw < 0.45
          ? await this.#read(client, key, timeoutMs)
          : draw < 0.58 && place % 2 === 1
            ? await this.#delete(client, key, timeoutMs)
            : await this.#put(client, key, random.below(valueCharsMax), timeoutMs, draw > 0.9 && !repeatable)
      if (done) latencies?.ended(startedMs)
      // As callers do; and refusals that come at once must not keep everything else from running.
      if (!done || (!restless && random.chance(0.5))) await sleep(random.below(done ? 8 : 50))
    }
  }

  async #read(client: KvClient, key: string, timeoutMs: number): Promise<boolean> {
    const before = this.#highest.get(key)
    const call = this.#history.call(key, 'read')
    const entry = await this.#settled(client.getEntry(key, { timeoutMs }), call.failed)
    if (entry === failed) return false
    call.returned(entry === undefined ? undefined : nameOf(entry.text()))
    this.returned++
    if (entry === undefined) return true
    if (before !== undefined && Version.compare(entry.version, before) < 0) {
      this.#note(`${key}: a read returned version ${entry.version}, ${before} had been told before it began`)
    }
    this.#told(key, entry.version)
    return true
  }

  async #put(client: KvClient, key: string, chars: number, timeoutMs: number, ask: boolean): Promise<boolean> {
    const name = `v${++this.#serial}`
    const value = name.padEnd(chars, '.')
    const putting = ask
      ? client.put(key, value, { timeoutMs, returnPrevious: true }).then(({ version, previous }) => {
          if (previous !== undefined) this.#replaced(key, name, nameOf(previous.text()))
          return version
        })
      : client.put(key, value, { timeoutMs }).then(({ version }) => version)
    return await this.#write(key, name, putting)
  }

  #delete(client: KvClient, key: string, timeoutMs: number): Promise<boolean> {
    const deleting = client.delete(key, { timeoutMs }).then(({ version }) => version)
    return this.#write(key, undefined, deleting)
  }

  /** The call has just been made: nothing of this process can have happened since. */
  async #write(key: string, value: string | undefined, writing: Promise<Version>): Promise<boolean> {
    const before = this.#highest.get(key)
    const call = this.#history.call(key, 'write', value)
    const version = await this.#settled(writing, (outcome) => {
      call.failed(outcome)
      if (outcome !== 'unknown') return
      const doubtful = this.#doubtful.get(key) ?? new Set()
      this.#doubtful.set(key, doubtful.add(value))
    })
    if (version === failed) return false
    call.returned()
    this.returned++
    this.acknowledged++
    if (before !== undefined && Version.compare(version, before) <= 0) {
      this.#note(`${key}: ${shown(value)} was acknowledged as ${version}, ${before} had been told before it began`)
    }
    this.#told(key, version)
    return true
  }

  /** Of what it replaced a write must be told something that was there at all: another write's value. */
  #replaced(key: string, value: string, previous: string): void {
    if (previous === value || !this.#history.hasWritten(key, previous)) {
      this.#note(`${key}: ${value} was told that it replaced ${previous}`)
    }
  }

  #told(key: string, version: Version): void {
    const highest = this.#highest.get(key)
    if (highest === undefined || Version.compare(version, highest) > 0) this.#highest.set(key, version)
  }

  /** A read whose answer is needed: what the key holds at the end of the round. */
  async #readSurely(client: KvClient, key: string): Promise<string | undefined> {
    for (let attempt = 0; attempt < readsMax; attempt++) {
      const call = this.#history.call(key, 'read')
      const entry = await this.#settled(client.getEntry(key, { timeoutMs: 5_000 }), call.failed)
      if (entry !== failed) {
        const value = entry === undefined ? undefined : nameOf(entry.text())
        call.returned(value)
        return value
      }
      await sleep(50)
    }
    throw new Error(`${key} could not be read, ${readsMax} times over`)
  }

  #check(key: string, last: string | undefined): void {
    const operations = this.#history.operations(key)
    const verdict = checkRegister(operations)
    this.checked += operations.length
    if (verdict.kind === 'violation') {
      const stuck = verdict.operations.map(
        ({ kind, value, called, returned }) => `${kind} ${shown(value)} [${called}, ${returned}]`,
      )
      this.#note(`${key} is not linearizable; no order for: ${stuck.join('; ')}`)
    } else if (verdict.kind === 'undecided') this.#note(`${key}: no verdict after ${verdict.steps} steps`)
    const doubtful = this.#doubtful.get(key) ?? new Set()
    this.#kept.set(key, { last, doubtful, highest: this.#highest.get(key) })
  }

  async #settled<T>(
    promise: Promise<T>,
    fail: (outcome: 'not-applied' | 'unknown') => void,
  ): Promise<T | typeof failed> {
    try {
      return await promise
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      const kind = `${error.code} ${error.outcome}`
      this.failures.set(kind, (this.failures.get(kind) ?? 0) + 1)
      fail(error.outcome === 'not-applied' ? 'not-applied' : 'unknown')
      return failed
    }
  }

  #note(violation: string): void {
    if (this.violations.length < violationsMax) this.violations.push(violation)
  }
}

const failed: unique symbol = Symbol('failed')

/** Values are a unique name, padded with dots. */
function nameOf(text: string): string {
  const end = text.indexOf('.')
  return end < 0 ? text : text.slice(0, end)
}

function shown(value: string | undefined): string {
  return value ?? 'absent'
}
