import { KvError } from '@quorumkv/internal/base'
import type { MiddlewareHandler } from 'hono'
import { addressOf } from '../limits/connection-gate.js'
import { type Holder, Shares } from '../limits/shares.js'
import type { HttpEnv } from './http-parts.js'

/**
 * Closes a connection of an address which has let its answers wait, or its body, for longest: for a while at least, or `atOnce` for however
 * little. False: there is none.
 */
export type MakeRoom = (address: string, atOnce: boolean) => boolean

/** Bytes that many requests hold together, so that slow senders and slow readers cannot fill the memory. */
export class ByteBudget {
  readonly #bytesMax: number
  readonly #shares = new Shares<Holding>()

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get held(): number {
    return this.#shares.bytes
  }

  /** Has a request hold so many bytes in all. Throws `overloaded`, and changes nothing, where that would be too many. */
  set(holding: Holding, before: number, bytes: number): void {
    const more = bytes - before
    while (more > 0 && this.held + more > this.#bytesMax) {
      if (!this.#makeRoomFor(holding)) {
        throw new KvError('overloaded', 'too many bytes are on their way over HTTP', { outcome: 'not-applied' })
      }
    }
    this.#shares.set(holding, bytes)
  }

  /**
   * Has the address make room that holds most. Where that is another one than the caller's, there is room for him at once; else he is
   * refused, and there is room for those who come after him.
   */
  #makeRoomFor(holding: Holding): boolean {
    const { largest } = this.#shares
    if (largest === undefined) return false
    const isOther = largest !== holding.address
    const before = this.held
    // Whoever is closed may hold nothing, as a page that follows the node; each of them is closed once.
    while (holding.makeRoom?.(largest, isOther) === true && isOther) {
      for (const each of [...this.#shares.holdersOf(largest)]) if (each.isOver()) each.release()
      if (this.held < before) return true
    }
    return false
  }
}

/** What one request holds of a budget, from its first byte until its answer has been taken or its caller has gone. */
export class Holding implements Holder {
  readonly address: string
  readonly makeRoom: MakeRoom | undefined
  /** Whether its caller has gone. */
  readonly isOver: () => boolean
  readonly #budget: ByteBudget
  #bytes = 0
  #released = false

  constructor(budget: ByteBudget, address = '', makeRoom?: MakeRoom, isOver: () => boolean = () => false) {
    this.#budget = budget
    this.address = address
    this.makeRoom = makeRoom
    this.isOver = isOver
  }

  /** Throws `overloaded`, or `cancelled` where the caller has gone. */
  take(bytes: number): void {
    if (this.#released) throw new KvError('cancelled', 'the caller has gone')
    this.#budget.set(this, this.#bytes, this.#bytes + bytes)
    this.#bytes += bytes
  }

  /** Gives everything back. Idempotent. */
  release(): void {
    this.#released = true
    this.#budget.set(this, this.#bytes, 0)
    this.#bytes = 0
  }
}

/** Gives each request a holding, as `holding` in its context. */
export function holdBytes(budget: ByteBudget): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    // Tests that ask without a server have none of these.
    const { incoming, makeRoom, outgoing } = c.env ?? {}
    const socket = incoming?.socket
    const address = socket === undefined ? '' : addressOf(socket)
    const holding = new Holding(budget, address, makeRoom, () => socket?.destroyed === true)
    c.set('holding', holding)
    // Emitted whether the answer was taken or not.
    outgoing?.once('close', () => holding.release())
    await next()
    if (outgoing === undefined) holding.release()
  }
}
