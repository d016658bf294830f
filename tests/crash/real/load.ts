import { setTimeout as sleep } from 'node:timers/promises'
import { type KvClient, KvError, Version } from '@quorumkv/client'
import type { SimRandom } from '@quorumkv/internal/env-sim'
import { eventually } from '../../fixtures.js'

/** What a key holds: its text; undefined: nothing, or a deleted value. */
type Contents = string | undefined

export interface LoadOptions {
  /** Everything that the writers choose follows from it. */
  readonly random: SimRandom
  /** Writers, one operation each at a time. */
  readonly writers: number
  /** Keys of each writer; no two writers share one. */
  readonly keysPerWriter: number
  /** Values have up to this many characters. */
  readonly valueCharsMax: number
  /** What sets the keys of this load apart from others in the same store. */
  readonly prefix?: string
}

/** What is known about one key from the replies alone. */
class KeyHistory {
  readonly key: string
  /** What was acknowledged last, or read since. */
  contents: Contents = undefined
  /** Of the contents; undefined where nothing was acknowledged yet, or an unacknowledged deletion was read. */
  version: Version | undefined = undefined
  /**
   * The contents were read, and nobody acknowledged them: the client repeated the write and then gave it up. Another of
   * its attempts, with a higher stamp, may be on a node that was not asked (docs/adr/0012).
   */
  #maybeRepeated = false
  /**
   * Attempts since then of which nobody knows what became. One operation at a time touches a key and an
   * acknowledgement empties it; `Load` leaves a key alone that has too many.
   */
  readonly doubtful: Contents[] = []

  constructor(key: string) {
    this.key = key
  }

  acknowledge(contents: Contents, version: Version): string | undefined {
    const before = this.version
    this.contents = contents
    this.version = version
    this.#maybeRepeated = false
    this.doubtful.length = 0
    if (before === undefined || Version.compare(version, before) > 0) return undefined
    return `${this.key}: a write was acknowledged with version ${version}, behind ${before} of the one before`
  }

  /** What is wrong with what was read; undefined: nothing. */
  observe(contents: Contents, version: Version | undefined): string | undefined {
    if (contents === this.contents) {
      if (contents === undefined || this.version === undefined || version === undefined) return undefined
      const order = Version.compare(version, this.version)
      if (order === 0) return undefined
      if (order > 0 && this.#maybeRepeated) {
        this.version = version
        return undefined
      }
      const how = this.#maybeRepeated ? 'was read' : 'was acknowledged'
      return `${this.key}: has version ${version}, ${how} as ${this.version}`
    }
    const doubt = this.doubtful.indexOf(contents)
    if (doubt === -1) {
      const allowed = [this.contents, ...this.doubtful].map(shown).join(' or ')
      return `${this.key}: is ${shown(contents)}, must be ${allowed}`
    }
    if (version !== undefined && this.version !== undefined && Version.compare(version, this.version) <= 0) {
      return `${this.key}: is ${shown(contents)} of version ${version}, was ${shown(this.contents)} of ${this.version}`
    }
    // What was read once must not go back to what it replaced.
    this.contents = contents
    this.version = version
    this.#maybeRepeated = true
    this.doubtful.splice(doubt, 1)
    return undefined
  }
}

function shown(contents: Contents): string {
  return contents === undefined ? 'absent' : contents.slice(0, contents.indexOf('.'))
}

/** Attempts in doubt that one key may have before it is left alone until something is acknowledged elsewhere. */
const doubtfulMax = 64

/** Keys read at a time by a check. */
const checkKeys = 512

/**
 * Writers that put, overwrite and delete keys of their own with values that nobody else ever writes, so that the replies
 * alone say what every key may hold. They run until they are paused, and go on with the same keys, through another
 * client if need be.
 *
 * After any crash a key must hold what was acknowledged last, or what an attempt after that wanted whose outcome is
 * unknown; and once an unknown one was read, never again what it replaced. An attempt that was refused as certainly not
 * applied must never be seen.
 */
export class Load {
  /** Acknowledged operations. */
  acknowledged = 0
  /** Operations in which a check found what it had to find: all that were acknowledged for the keys that it read. */
  checked = 0
  /** How operations failed, by code and outcome. */
  readonly failures = new Map<string, number>()
  readonly #options: LoadOptions
  readonly #lanes: KeyHistory[][]
  readonly #violations: string[] = []
  #serial = 0
  #uncheckedAcks = 0
  #running: Promise<void> | undefined
  #pausing = false

  constructor(options: LoadOptions) {
    const { writers, keysPerWriter, prefix = '' } = options
    this.#options = options
    this.#lanes = Array.from({ length: writers }, (_, writer) =>
      Array.from({ length: keysPerWriter }, (_, key) => new KeyHistory(`${prefix}w${writer}-k${key}`)),
    )
  }

  /** Starts the writers. */
  run(client: KvClient): void {
    if (this.#running !== undefined) throw new Error('the load runs already')
    this.#pausing = false
    const lanes = this.#lanes.map((keys, writer) => this.#write(client, keys, writer))
    this.#running = Promise.all(lanes).then(() => undefined)
  }

  /** Lets every writer end the operation that it is at. */
  async pause(): Promise<void> {
    this.#pausing = true
    await this.#running
    this.#running = undefined
  }

  /** Waits until so many more operations have been acknowledged. */
  async progress(operations: number): Promise<void> {
    const enough = this.acknowledged + operations
    await eventually(`${operations} more acknowledged operations`, () => this.acknowledged >= enough)
  }

  /** So many operations failed with this code. */
  failed(code: string): number {
    let count = 0
    for (const [kind, times] of this.failures) if (kind.startsWith(`${code} `)) count += times
    return count
  }

  /** Reads every key and says what is wrong; the writers must be paused. An empty list is what every test wants. */
  async check(client: KvClient): Promise<readonly string[]> {
    if (this.#running !== undefined) throw new Error('the load must be paused')
    const histories = this.#lanes.flat()
    for (let i = 0; i < histories.length; i += checkKeys) {
      const some = histories.slice(i, i + checkKeys)
      const found = await client.getManyEntries(some.map(({ key }) => key))
      for (const history of some) {
        const entry = found.get(history.key)
        this.#note(history.observe(entry?.text(), entry?.version))
      }
    }
    this.checked += this.#uncheckedAcks
    this.#uncheckedAcks = 0
    return this.#violations
  }

  async #write(client: KvClient, keys: readonly KeyHistory[], writer: number): Promise<void> {
    const random = this.#options.random.fork(`writer ${writer} from ${this.#serial}`)
    while (!this.#pausing) {
      const usable = keys.filter((history) => history.doubtful.length < doubtfulMax)
      if (usable.length === 0 || !(await this.#attempt(client, random.pick(usable), random))) return
    }
  }

  /** False: the client was closed. */
  async #attempt(client: KvClient, history: KeyHistory, random: SimRandom): Promise<boolean> {
    const contents = random.chance(0.2) ? undefined : this.#value(history.key, random)
    history.doubtful.push(contents)
    try {
      const { version } =
        contents === undefined ? await client.delete(history.key) : await client.put(history.key, contents)
      this.#note(history.acknowledge(contents, version))
      this.acknowledged++
      this.#uncheckedAcks++
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      const kind = `${error.code} ${error.outcome}`
      this.failures.set(kind, (this.failures.get(kind) ?? 0) + 1)
      if (error.outcome === 'not-applied') history.doubtful.pop()
      if (error.code === 'closed') return false
      // As callers do; and refusals that come at once must not keep everything else from running.
      await sleep(5)
    }
    return true
  }

  #value(key: string, random: SimRandom): string {
    return `${key}#${++this.#serial}${'.'.repeat(1 + random.below(this.#options.valueCharsMax))}`
  }

  #note(violation: string | undefined): void {
    if (violation !== undefined && this.#violations.length < 20) this.#violations.push(violation)
  }
}
