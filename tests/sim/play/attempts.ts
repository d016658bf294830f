import { KvError } from '@quorumkv/internal/base'
import type { SimRandom } from '@quorumkv/internal/env-sim'
import { compareVersions, type Hlc, hlcMs, type Version } from '@quorumkv/internal/hlc'
import type { Consistency, PutOptions, WriteResult } from '@quorumkv/internal/replication'
import type { SimCluster } from '../sim-cluster.js'
import { keyBytes } from './keys.js'
import type { Failure, Ledger } from './ledger.js'

const text = new TextEncoder()

/** How long an operation may take, and how long its client waits for a node that may have died meanwhile. */
export const operationMs = 3_000
export const patienceMs = 3_500
/** What the SDK adds to a node's clock to bound the stamp of an attempt (docs/adr/0012). */
const stampWindowMs = 2_000
const attemptsMax = 4

/** What a write is to do. */
export interface Wanted {
  readonly key: string
  /** Undefined: a delete. */
  readonly value: string | undefined
  readonly consistency: Consistency
  readonly returnPrevious?: boolean
  readonly ttlMs?: number
}

/** How one attempt ended. */
export type Attempted =
  | { readonly kind: 'done'; readonly result: WriteResult; readonly via: string; readonly stamped: Version | undefined }
  | { readonly kind: Failure }

interface Reading {
  readonly ms: number
  readonly atMs: number
}

/**
 * The calling side of writes: one attempt, or as many as the SDK makes, with its bounds on the stamps of attempts. An
 * attempt may be held up on its way, so that it arrives when its client has long repeated it elsewhere.
 */
export class Attempts {
  readonly #cluster: SimCluster
  readonly #random: SimRandom
  readonly #ledger: Ledger
  readonly #readings = new Map<string, Reading>()
  /** The highest clock reading that a reply has brought. */
  #seen: Hlc | undefined

  constructor(cluster: SimCluster, random: SimRandom, ledger: Ledger) {
    this.#cluster = cluster
    this.#random = random
    this.#ledger = ledger
  }

  /** Brings a client's clock to a node, as each of its requests does. */
  greet(via: string): void {
    if (this.#seen !== undefined && this.#random.chance(0.5)) this.#cluster.node(via).observe(this.#seen)
  }

  /** A reply of this node has come: what its clock says now is what the reply says. */
  heard(via: string): void {
    if (!this.#cluster.runningNames.includes(via)) return
    const reading = this.#cluster.node(via).clockReading()
    this.#readings.set(via, { ms: hlcMs(reading), atMs: this.#cluster.world.nowMs })
    const version = { ...reading, node: 0 }
    if (this.#seen === undefined || compareVersions(version, { ...this.#seen, node: 0 }) > 0) this.#seen = reading
  }

  /** One attempt without bounds; ends when its client's patience does. */
  once(via: string, wanted: Wanted): Promise<Attempted> {
    return this.#attempt(via, wanted, {}, 0, patienceMs)
  }

  /** As the SDK does it: again elsewhere, above whatever stamp an attempt of unknown fate may still get. */
  async repeatedly(first: string, wanted: Wanted): Promise<Attempted> {
    let failure: Failure = 'not-applied'
    let stampAboveMs = 0
    for (let i = 0; i < attemptsMax; i++) {
      const running = this.#cluster.runningNames
      if (running.length === 0) return { kind: failure }
      const via = i === 0 ? first : this.#random.pick(running)
      const stampLimitMs = Math.ceil(Math.max(this.#nodeMs(via), stampAboveMs)) + stampWindowMs
      const heldUpMs = this.#random.chance(0.15) ? this.#random.between(0, 5_000) : 0
      const giveUpMs = this.#random.between(300, 1_500)
      const attempt = await this.#attempt(via, wanted, { stampAboveMs, stampLimitMs }, heldUpMs, giveUpMs)
      if (attempt.kind === 'done') return attempt
      if (attempt.kind === 'unknown') {
        failure = 'unknown'
        stampAboveMs = stampLimitMs
      }
      if (i < attemptsMax - 1) await this.#pause()
    }
    return { kind: failure }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#cluster.world.after(this.#random.between(0, 200), resolve))
  }

  /** What the node's clock reads as far as its client knows; one that has never heard of it believes its own. */
  #nodeMs(via: string): number {
    const { nowMs } = this.#cluster.world
    const reading = this.#readings.get(via)
    return reading === undefined ? this.#cluster.trueWallMs : reading.ms + nowMs - reading.atMs
  }

  #attempt(
    via: string,
    wanted: Wanted,
    bounds: Pick<PutOptions, 'stampAboveMs' | 'stampLimitMs'>,
    heldUpMs: number,
    giveUpMs: number,
  ): Promise<Attempted> {
    const { world } = this.#cluster
    const stamped = this.#ledger.stampedBy(via)
    return new Promise((resolve, reject) => {
      world.after(giveUpMs, () => resolve({ kind: 'unknown' }))
      const arrive = (): void => {
        if (!this.#cluster.runningNames.includes(via)) return
        this.greet(via)
        this.#send(via, wanted, bounds).then(
          (result) => {
            this.heard(via)
            resolve({ kind: 'done', result, via, stamped })
          },
          (error: unknown) => {
            if (!(error instanceof KvError)) return reject(error)
            this.heard(via)
            resolve({ kind: error.outcome === 'not-applied' ? 'not-applied' : 'unknown' })
          },
        )
      }
      if (heldUpMs === 0) arrive()
      else world.after(heldUpMs, arrive)
    })
  }

  #send(
    via: string,
    { key, value, consistency, returnPrevious, ttlMs }: Wanted,
    bounds: Pick<PutOptions, 'stampAboveMs' | 'stampLimitMs'>,
  ): Promise<WriteResult> {
    const node = this.#cluster.node(via)
    const deadlineMs = this.#cluster.process(via).clock.monotonicMs() + operationMs
    const options = { consistency, deadlineMs, ...bounds }
    if (value === undefined) return node.delete(keyBytes(key), options)
    return node.put(keyBytes(key), text.encode(value), { ...options, ttlMs, returnPrevious })
  }
}
