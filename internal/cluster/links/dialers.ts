import type { Address } from '../../base/index.js'
import type { Channel } from '../../env/index.js'
import type { PeerLink } from '../../replication/index.js'
import { Dialer, type DialerHandlers, type LinkOptions } from './dialer.js'

/** The addresses that a node keeps in touch with on one channel, one dialer each. */
export class Dialers {
  readonly #options: LinkOptions
  readonly #channel: Channel
  readonly #handlers: (address: Address) => DialerHandlers
  /** Takes charge of a dialer's run: it must not fail unseen. */
  readonly #watch: (run: Promise<void>) => void
  readonly #dialers = new Map<Address, Dialer>()
  #stopped = false

  constructor(
    options: LinkOptions,
    channel: Channel,
    handlers: (address: Address) => DialerHandlers,
    watch: (run: Promise<void>) => void,
  ) {
    this.#options = options
    this.#channel = channel
    this.#handlers = handlers
    this.#watch = watch
  }

  dial(address: Address): void {
    if (this.#stopped || this.#dialers.has(address)) return
    const dialer = new Dialer({ ...this.#options, channel: this.#channel, address, handlers: this.#handlers(address) })
    this.#dialers.set(address, dialer)
    this.#watch(dialer.run())
  }

  /** See `Dialer.hasten`. */
  hasten(address: Address): void {
    this.#dialers.get(address)?.hasten()
  }

  /** See `Dialer.obstacle`. */
  obstacle(address: Address): string {
    return this.#dialers.get(address)?.obstacle ?? ''
  }

  hangUp(address: Address): void {
    this.#dialers.get(address)?.stop()
    this.#dialers.delete(address)
  }

  /** Dials all of these and hangs up on all others. */
  keep(addresses: ReadonlySet<Address>): void {
    for (const address of this.#dialers.keys()) if (!addresses.has(address)) this.hangUp(address)
    for (const address of addresses) this.dial(address)
  }

  *links(): Iterable<PeerLink> {
    for (const { link } of this.#dialers.values()) if (link !== undefined) yield link
  }

  stop(): void {
    this.#stopped = true
    for (const dialer of this.#dialers.values()) dialer.stop()
  }
}
