import { KvError } from '@quorumkv/internal/base'
import type { Channel, Clock, Link, LinkHandlers, Network } from '@quorumkv/internal/env'

/** One that this side has opened. */
interface OpenLink {
  readonly from: number
  readonly to: number
  readonly link: Link
  /** Part of its messages may be missing: it must not be used again. */
  holed: boolean
}

/**
 * What lies between the nodes of a cluster, and can be cut. Every link between two nodes is opened by one of them through
 * here, so cutting it at that end cuts both ways.
 */
export class Fabric {
  readonly #nodes = new Map<string, number>()
  readonly #links = new Set<OpenLink>()
  /** The side that each node is on; undefined: there is no partition. */
  #sides: ReadonlyMap<number, number> | undefined
  #silent = false

  /** A node can be reached at an address. */
  place(address: string, node: number): void {
    this.#nodes.set(address, node)
  }

  /** Whether nothing gets from one node to the other. */
  isCut(one: number, other: number): boolean {
    return this.#sides !== undefined && this.#sides.get(one) !== this.#sides.get(other)
  }

  /**
   * Cuts all links between groups of nodes, in place of those that were cut before. Both ends learn of it at once; `silent`:
   * they do not, messages vanish, and attempts to connect come to nothing.
   */
  partition(groups: readonly (readonly number[])[], silent: boolean): void {
    this.#sides = new Map(groups.flatMap((group, side) => group.map((node) => [node, side] as const)))
    this.#silent = silent
    for (const open of this.#links) {
      if (this.isCut(open.from, open.to)) {
        if (!silent) open.link.close('the network was cut')
      } else this.#closeIfHoled(open)
    }
  }

  /** Takes everything back. Links that have lost messages break now. */
  heal(): void {
    this.#sides = undefined
    for (const open of this.#links) this.#closeIfHoled(open)
  }

  /** The way of one node to the others. */
  network(from: number, sockets: Network, clock: Clock): Network {
    return {
      connect: (address, channel, timeoutMs) => this.#connect(from, sockets, clock, address, channel, timeoutMs),
      listen: (address, accept) => sockets.listen(address, accept),
    }
  }

  async #connect(
    from: number,
    sockets: Network,
    clock: Clock,
    address: string,
    channel: Channel,
    timeoutMs: number,
  ): Promise<Link> {
    const to = this.#nodes.get(address)
    if (to === undefined) return await sockets.connect(address, channel, timeoutMs)
    if (this.isCut(from, to)) {
      if (this.#silent) await new Promise<void>((resolve) => clock.setTimer(timeoutMs, resolve))
      throw new KvError('unavailable', `${address} cannot be reached: the network is cut`)
    }
    const link = await sockets.connect(address, channel, timeoutMs)
    if (!this.isCut(from, to)) return this.#watch({ from, to, link, holed: false })
    // It has to be started before it can be closed.
    link.start({ message: () => undefined, drain: () => undefined, close: () => undefined })
    link.close('the network was cut')
    throw new KvError('unavailable', `${address} cannot be reached: the network is cut`)
  }

  #watch(open: OpenLink): Link {
    const { from, to, link } = open
    this.#links.add(open)
    const passes = (): boolean => {
      if (!this.isCut(from, to)) return !open.holed
      open.holed = true
      return false
    }
    return {
      remote: link.remote,
      proved: link.proved,
      start: (handlers: LinkHandlers) =>
        link.start({
          message: (bytes) => {
            if (passes()) handlers.message(bytes)
          },
          drain: () => handlers.drain(),
          close: (reason) => {
            this.#links.delete(open)
            handlers.close(reason)
          },
        }),
      send: (message) => (passes() ? link.send(message) : true),
      close: (reason) => link.close(reason),
    }
  }

  #closeIfHoled(open: OpenLink): void {
    if (open.holed) open.link.close('it has lost messages')
  }
}
