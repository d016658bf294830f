import { assert, limits } from '../base/index.js'
import type { Link, LinkHandlers } from '../env/index.js'
import { Pipe } from './pipe.js'
import type { EventOwner, Scheduler } from './scheduler.js'

/** Where a link is in its life. `opening`: made, but the one who asked for it has not been told. */
type LinkState = 'opening' | 'open' | 'closed'

/** What a link needs to know of the world around it. */
export interface Wire {
  readonly scheduler: Scheduler
  /** Whether a packet from one host arrives at the other now: both are up, and nothing lies between them. */
  reaches(from: string, to: string): boolean
  /** How long a packet takes now, in milliseconds. */
  latencyMs(from: string, to: string): number
  /** Whether the message that is about to be delivered breaks its link instead. */
  breaksNow(): boolean
  /** An end has closed. */
  closed(link: SimLink): void
}

/** One end of a connection. */
export class SimLink implements Link {
  readonly remote: string
  readonly proved = undefined
  readonly host: string
  readonly owner: EventOwner
  readonly #wire: Wire
  #outgoing: Pipe | undefined
  #handlers: LinkHandlers | undefined
  #state: LinkState = 'opening'

  constructor(wire: Wire, owner: EventOwner, host: string, remote: string) {
    this.#wire = wire
    this.owner = owner
    this.host = host
    this.remote = remote
  }

  /** Two ends that belong to each other. What the second sends arrives at `openMs` at the earliest. */
  static pair(wire: Wire, near: SimLink, far: SimLink, openMs: number): void {
    near.#outgoing = new Pipe(wire, near, far, 0)
    far.#outgoing = new Pipe(wire, far, near, openMs)
  }

  get isOpen(): boolean {
    return this.#state === 'open' && this.owner.alive
  }

  get isClosed(): boolean {
    return this.#state === 'closed' || !this.owner.alive
  }

  get started(): boolean {
    return this.#handlers !== undefined
  }

  /** The other end. */
  get peer(): SimLink {
    return this.outgoing.target
  }

  get outgoing(): Pipe {
    assert(this.#outgoing !== undefined, 'a link has two ends')
    return this.#outgoing
  }

  open(): void {
    this.#state = 'open'
  }

  start(handlers: LinkHandlers): void {
    assert(this.#handlers === undefined, 'a link is started once')
    this.#handlers = handlers
  }

  send(message: Uint8Array): boolean {
    const length = message.length
    assert(length <= limits.messageBytesMax, `a message has at most ${limits.messageBytesMax} bytes, not ${length}`)
    if (!this.isOpen) return false
    return this.outgoing.push(message)
  }

  close(reason: string): void {
    if (!this.isOpen) return
    this.#state = 'closed'
    this.outgoing.pushClose(`closed by the other side: ${reason}`)
    this.#wire.scheduler.schedule(this.owner, 'close', 0, () => this.#close(reason))
  }

  /** The link breaks for this end: it is told `delayMs` from now, and what it sent and has not arrived is lost. */
  fail(reason: string, delayMs: number): void {
    if (this.isClosed) return
    this.#wire.scheduler.schedule(this.owner, 'close', delayMs, () => {
      if (this.isClosed) return
      const wasOpen = this.#state === 'open'
      this.#state = 'closed'
      this.outgoing.clear()
      if (wasOpen) this.#close(reason)
      else this.#wire.closed(this)
    })
  }

  /** @internal */
  receive(bytes: Uint8Array): void {
    if (!this.isOpen) return
    assert(this.#handlers !== undefined, `the link to ${this.remote} was not started before a message arrived`)
    this.#handlers.message(bytes)
  }

  /** @internal */
  receiveClose(reason: string): void {
    if (!this.isOpen) return
    this.#state = 'closed'
    this.outgoing.clear()
    this.#close(reason)
  }

  /** @internal */
  drained(): void {
    if (this.isOpen) this.#handlers?.drain()
  }

  #close(reason: string): void {
    this.#wire.closed(this)
    assert(this.#handlers !== undefined, `the link to ${this.remote} was not started before it closed`)
    this.#handlers.close(reason)
  }
}
