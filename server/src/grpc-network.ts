import { Metadata, type ServerDuplexStream, type ServiceDefinition, status } from '@grpc/grpc-js'
import { assert } from '@quorumkv/internal/base'
import type { Channel, Link, Listener, Network } from '@quorumkv/internal/env'
import { channelKey, type Exchange, exchangePath } from './exchange.js'
import { ExchangeClient } from './exchange-client.js'
import { ExchangeServer } from './exchange-server.js'
import { GrpcLink } from './grpc-link.js'
import { freshTraffic, type Traffic } from './link-traffic.js'

const channels: readonly string[] = ['requests', 'gossip', 'bulk'] satisfies Channel[]

/** Messages between nodes are made and read by the node: here they are bytes. */
const identity = (bytes: Buffer): Buffer => bytes

/** kv.peer.v1.Peer with messages left as bytes. */
export const peerBytesService: ServiceDefinition = {
  exchange: {
    path: exchangePath,
    requestStream: true,
    responseStream: true,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  },
}

function parseChannel(metadata: Metadata): Channel | undefined {
  const value = metadata.get(channelKey)[0]
  return typeof value === 'string' && channels.includes(value) ? (value as Channel) : undefined
}

function refuse(code: status, details: string): Error {
  return Object.assign(new Error(details), { code, details })
}

/**
 * Connections between nodes over gRPC: for each link one stream on an HTTP/2 connection of its own. Accepted links
 * arrive on the server that serves clients too, and which is bound already: `listen` only begins to take them.
 */
export class GrpcNetwork implements Network {
  readonly #isBound: (address: string) => boolean
  readonly #onBug: (error: unknown) => void
  #accept: ((link: Link, channel: Channel) => void) | undefined
  readonly #links = new Set<Link>()
  /** What went over links so far. */
  readonly traffic: Traffic = freshTraffic()

  /** `onBug` is told what an acceptor throws: gRPC would turn it into a reply. */
  constructor(isBound: (address: string) => boolean, onBug: (error: unknown) => void) {
    this.#isBound = isBound
    this.#onBug = onBug
  }

  async connect(address: string, channel: Channel, timeoutMs: number): Promise<Link> {
    return this.#link(await ExchangeClient.open(address, channel, timeoutMs), channel)
  }

  async listen(address: string, accept: (link: Link, channel: Channel) => void): Promise<Listener> {
    assert(this.#isBound(address), `the server is not bound to ${address}`)
    assert(this.#accept === undefined, 'a node listens once')
    this.#accept = accept
    return {
      address,
      close: async () => {
        this.#accept = undefined
      },
    }
  }

  /** Takes a stream that another node opened. Until the node listens it is told to try again. */
  readonly serve = (call: ServerDuplexStream<Buffer, Buffer>): void => {
    const channel = parseChannel(call.metadata)
    if (channel === undefined) {
      call.emit('error', refuse(status.INVALID_ARGUMENT, `${channelKey} must be one of ${channels.join(', ')}`))
    } else if (this.#accept === undefined) {
      call.emit('error', refuse(status.UNAVAILABLE, 'this node takes no connections from other nodes now'))
    } else {
      call.sendMetadata(new Metadata())
      try {
        this.#accept(this.#link(new ExchangeServer(call), channel), channel)
      } catch (error) {
        this.#onBug(error)
      }
    }
  }

  #link(exchange: Exchange, channel: Channel): Link {
    const traffic = this.traffic[channel]
    const link: Link = new GrpcLink(exchange, traffic, () => {
      if (this.#links.delete(link)) traffic.links--
    })
    this.#links.add(link)
    traffic.links++
    return link
  }

  /** Closes every link, in both directions. */
  closeLinks(reason: string): void {
    for (const link of this.#links) link.close(reason)
  }
}
