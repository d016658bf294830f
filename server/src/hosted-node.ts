import { type Address, type ClusterId, limits, type NodeId } from '@quorumkv/internal/base'
import type { Node, NodeStatus } from '@quorumkv/internal/cluster'

/** A node with its gRPC server. */
export interface RunningNode extends AsyncDisposable {
  readonly id: NodeId
  /** Where clients and other nodes are told to reach it. */
  readonly address: Address
  /** Where it listens. */
  readonly addresses: readonly string[]
  /** Where it listens for HTTP; empty: nowhere. */
  readonly httpAddresses: readonly string[]
  /** Undefined until it belongs to a cluster, at the latest when `ready` resolves. */
  readonly clusterId: ClusterId | undefined
  /**
   * Resolves when it serves requests, which may take until the nodes named as peers are there. Rejects when it is
   * stopped before, or must end.
   */
  readonly ready: Promise<void>
  status(): NodeStatus
  /**
   * Reads certificates again, which it does by itself when their files change. What is no good is logged, and what was in use
   * before stays.
   */
  reload(): Promise<void>
  /**
   * Takes no more requests, lets those that run finish (at most `graceMs`, 10 s unless given), closes the log, and
   * gives the data directory free. Idempotent.
   */
  stop(graceMs?: number): Promise<void>
}

/** A node as the modules of this package have it. */
export interface ConfiguredNode extends RunningNode {
  /** What is behind the servers. */
  readonly core: Node
  /**
   * Closes its sockets and servers at once, without a word to anyone, and leaves the rest of it where it is: for whoever
   * has seen to it that nothing of it moves any more. Instead of `stop`.
   */
  cutOff(): Promise<void>
  /** Ends the sessions of all clients. */
  hangUp(): void
}

/** What is done to a node: the ways in which it ends, and what it does again. */
export interface Handles {
  readonly reload: () => Promise<void>
  readonly shutDown: (graceMs: number) => Promise<void>
  readonly cutOff: () => Promise<void>
  readonly hangUp: () => void
}

/** The parts of a node, put together in the one place where that is done. */
export class HostedNode implements ConfiguredNode {
  readonly id: NodeId
  readonly address: Address
  readonly addresses: readonly string[]
  readonly httpAddresses: readonly string[]
  readonly ready: Promise<void>
  readonly core: Node
  readonly #handles: Handles
  #stopping: Promise<void> | undefined

  constructor(
    core: Node,
    address: Address,
    bound: { readonly grpc: readonly string[]; readonly http: readonly string[] },
    ready: Promise<void>,
    handles: Handles,
  ) {
    this.id = core.id
    this.address = address
    this.addresses = bound.grpc
    this.httpAddresses = bound.http
    this.ready = ready
    this.core = core
    this.#handles = handles
  }

  get clusterId(): ClusterId | undefined {
    return this.core.status().clusterId
  }

  status(): NodeStatus {
    return this.core.status()
  }

  reload(): Promise<void> {
    return this.#handles.reload()
  }

  stop(graceMs: number = limits.shutdownGraceMs): Promise<void> {
    this.#stopping ??= this.#handles.shutDown(graceMs)
    return this.#stopping
  }

  cutOff(): Promise<void> {
    this.#stopping ??= this.#handles.cutOff()
    return this.#stopping
  }

  hangUp(): void {
    this.#handles.hangUp()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
