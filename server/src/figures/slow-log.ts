import type { NodeEvents, SlowOperation, SlowWatch } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import type { Clock, Log } from '@quorumkv/internal/env'
import { murmur3_32 } from '@quorumkv/internal/hash'
import { slotOfHash } from '@quorumkv/internal/slots'
import { requestFacts } from '../calls/request-name.js'

/** So many lines at once, and then one in each of so many milliseconds: what is slow comes in swarms, and one says it all. */
const linesAtOnce = 10
const lineEveryMs = 1_000

export interface SlowLogOptions {
  readonly clock: Clock
  readonly log: Log
  /** The node whose operations they are; undefined while it is started. */
  readonly node: () => Node | undefined
  /** 0: nothing is told. */
  readonly thresholdMs: number
}

/**
 * Tells of operations that take long, in the log and as events. Never which key: its hash finds it again for whoever knows
 * it, and says where it is.
 */
export class SlowLog implements SlowWatch {
  readonly thresholdMs: number
  readonly #options: SlowLogOptions
  readonly #events: () => NodeEvents | undefined
  #lines = linesAtOnce
  #countedMs: number
  #passedOver = 0

  constructor(options: SlowLogOptions) {
    this.#options = options
    this.#events = () => options.node()?.instruments.events
    this.#countedMs = options.clock.monotonicMs()
    this.thresholdMs = options.thresholdMs === 0 ? Number.POSITIVE_INFINITY : options.thresholdMs
  }

  slow({ kind, level, key, tookMs, code, request }: SlowOperation): void {
    if (!this.#hasLine()) {
      this.#passedOver++
      return
    }
    const hash = murmur3_32(key)
    const what = kind === 'scan' ? { prefixBytes: key.length } : { keyHash: hex(hash), ...this.#placeOf(hash) }
    const ms = Math.round(tookMs)
    const passedOver = this.#passedOver === 0 ? {} : { passedOver: this.#passedOver }
    this.#passedOver = 0
    const facts = {
      kind,
      role: 'coordinator',
      consistency: level,
      ms,
      code: code ?? 'ok',
      ...what,
      ...requestFacts(request),
    }
    this.#options.log.warn('a slow operation', { ...facts, ...passedOver })
    const end = code === undefined ? '' : `, and failed: ${code}`
    this.#events()?.add('slow', '', `a ${kind} at ${level} took ${ms} ms${end}`)
  }

  #hasLine(): boolean {
    const nowMs = this.#options.clock.monotonicMs()
    const more = Math.floor((nowMs - this.#countedMs) / lineEveryMs)
    if (more > 0) {
      this.#lines = Math.min(linesAtOnce, this.#lines + more)
      this.#countedMs += more * lineEveryMs
    }
    if (this.#lines === 0) return false
    this.#lines--
    return true
  }

  #placeOf(hash: number): { slot: number; owners?: readonly string[] } {
    const slot = slotOfHash(hash)
    const table = this.#options.node()?.slotTable
    if (table === undefined) return { slot }
    return { slot, owners: Array.from(table.owners(slot), (member) => table.members[member]!.id) }
  }
}

function hex(hash: number): string {
  return hash.toString(16).padStart(8, '0')
}
