import { assert, KvError } from '@quorumkv/internal/base'
import type { MiddlewareHandler } from 'hono'
import type { HttpEnv } from './http-parts.js'

/** Bytes that many requests hold together, so that slow senders and slow readers cannot fill the memory. */
export class ByteBudget {
  readonly #bytesMax: number
  #held = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get held(): number {
    return this.#held
  }

  /** Throws `overloaded`, and takes nothing, where that would be too many. */
  take(bytes: number): void {
    if (this.#held + bytes > this.#bytesMax) {
      throw new KvError('overloaded', 'too many bytes are on their way over HTTP', { outcome: 'not-applied' })
    }
    this.#held += bytes
  }

  /** Gives back what was taken. */
  give(bytes: number): void {
    assert(bytes <= this.#held, 'bytes are given back that were taken')
    this.#held -= bytes
  }
}

/** What one request holds of a budget, from its first byte until its answer has been taken or its caller has gone. */
export class Holding {
  readonly #budget: ByteBudget
  readonly #makeRoom: (() => void) | undefined
  #bytes = 0
  #released = false

  /** `makeRoom` is called where there is none: not for this request, which is refused, but for those that come after it. */
  constructor(budget: ByteBudget, makeRoom?: () => void) {
    this.#budget = budget
    this.#makeRoom = makeRoom
  }

  /** Throws `overloaded`, or `cancelled` where the caller has gone. */
  take(bytes: number): void {
    if (this.#released) throw new KvError('cancelled', 'the caller has gone')
    try {
      this.#budget.take(bytes)
    } catch (error) {
      this.#makeRoom?.()
      throw error
    }
    this.#bytes += bytes
  }

  /** Gives everything back. Idempotent. */
  release(): void {
    this.#released = true
    this.#budget.give(this.#bytes)
    this.#bytes = 0
  }
}

/** Gives each request a holding, as `holding` in its context. */
export function holdBytes(budget: ByteBudget): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const holding = new Holding(budget, c.env?.makeRoom)
    c.set('holding', holding)
    // Emitted whether the answer was taken or not. Tests that ask without a server have none.
    const outgoing = c.env?.outgoing
    outgoing?.once('close', () => holding.release())
    await next()
    if (outgoing === undefined) holding.release()
  }
}
