import type { Channel, Link, LinkHandlers, Listener, Network } from '@quorumkv/internal/env'

type Accept = (link: Link, channel: Channel) => void

/** Links within this process that copy nothing and cost nothing but a turn of the event loop. They never break. */
export class MemoryNetwork implements Network {
  readonly #listeners = new Map<string, Accept>()

  async connect(address: string, channel: Channel, _timeoutMs: number): Promise<Link> {
    const accept = this.#listeners.get(address)
    if (accept === undefined) throw new Error(`nobody listens at ${address}`)
    const [near, far] = [new MemoryLink(address), new MemoryLink('memory')]
    near.other = far
    far.other = near
    accept(far, channel)
    return near
  }

  async listen(address: string, accept: Accept): Promise<Listener> {
    this.#listeners.set(address, accept)
    return { address, close: async () => void this.#listeners.delete(address) }
  }
}

class MemoryLink implements Link {
  readonly remote: string
  readonly proved = undefined
  other!: MemoryLink
  #handlers: LinkHandlers | undefined
  #closed = false
  /** What the other side has sent and this one has not seen. */
  #arrived: Uint8Array[] = []
  #delivering = false

  constructor(remote: string) {
    this.remote = remote
  }

  start(handlers: LinkHandlers): void {
    this.#handlers = handlers
    this.#deliverSoon()
  }

  send(message: Uint8Array): boolean {
    if (this.#closed) return false
    this.other.#arrived.push(message)
    this.other.#deliverSoon()
    return true
  }

  close(reason: string): void {
    this.#end(reason)
    // Behind the messages that were sent before.
    setImmediate(() => this.other.#end(reason))
  }

  #end(reason: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#handlers?.close(reason)
  }

  #deliverSoon(): void {
    if (this.#delivering || this.#arrived.length === 0 || this.#handlers === undefined) return
    this.#delivering = true
    setImmediate(() => {
      this.#delivering = false
      const arrived = this.#arrived
      this.#arrived = []
      for (const message of arrived) if (!this.#closed) this.#handlers!.message(message)
    })
  }
}
