import { Metadata, type ServerDuplexStream, type ServiceDefinition, status } from '@grpc/grpc-js'
import { assert, KvError, limits } from '@quorumkv/internal/base'
import type { Channel, Link, Listener, Log, Network, PeerProof } from '@quorumkv/internal/env'
import { AddressPlaces } from '../limits/address-places.js'
import { datesKey } from '../tls/channel-binding.js'
import { Distrust } from '../tls/distrust.js'
import { AcceptorProof } from '../tls/link-proof.js'
import { type LinkTrust, provedByCertificate } from '../tls/link-trust.js'
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

type PeerCall = ServerDuplexStream<Buffer, Buffer>

export interface GrpcNetworkOptions {
  /** Whether the server listens there. */
  readonly isBound: (address: string) => boolean
  /** Is told what an acceptor throws: gRPC would turn it into a reply. */
  readonly onBug: (error: unknown) => void
  readonly log: Log
  readonly trust: LinkTrust
}

/**
 * Connections between nodes over gRPC: for each link one stream on an HTTP/2 connection of its own. Accepted links
 * arrive on the server that serves clients too, and which is bound already: `listen` only begins to take them.
 */
export class GrpcNetwork implements Network {
  readonly #options: GrpcNetworkOptions
  readonly #distrust: Distrust
  #accept: ((link: Link, channel: Channel) => void) | undefined
  readonly #links = new Set<Link>()
  readonly #unproved = new AddressPlaces({
    max: limits.linksProvingMax,
    perAddressMax: limits.linksProvingPerAddressMax,
  })
  /** What went over links so far. */
  readonly traffic: Traffic = freshTraffic()

  constructor(options: GrpcNetworkOptions) {
    this.#options = options
    this.#distrust = new Distrust(options.log)
  }

  async connect(address: string, channel: Channel, timeoutMs: number): Promise<Link> {
    try {
      const client = await ExchangeClient.open(address, channel, timeoutMs, this.#options.trust)
      this.#distrust.trusts(address)
      return this.#link(client, channel)
    } catch (error) {
      if (error instanceof KvError && error.code === 'unauthenticated') this.#distrust.refuses(address, error.message)
      throw error
    }
  }

  async listen(address: string, accept: (link: Link, channel: Channel) => void): Promise<Listener> {
    assert(this.#options.isBound(address), `the server is not bound to ${address}`)
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
  readonly serve = (call: PeerCall): void => {
    const { secret, self } = this.#options.trust
    const channel = parseChannel(call.metadata)
    if (channel === undefined) {
      call.emit('error', refuse(status.INVALID_ARGUMENT, `${channelKey} must be one of ${channels.join(', ')}`))
      return
    }
    try {
      const byCertificate = this.#certificateOf(call)
      const proof = secret === undefined ? undefined : new AcceptorProof(secret, self(), channel, call.metadata)
      if (!this.#takesLinks(call)) return
      const metadata = new Metadata()
      proof?.addTo(metadata)
      call.sendMetadata(metadata)
      if (proof === undefined) this.#hand(call, channel, byCertificate)
      else this.#awaitProof(call, (answer) => this.#hand(call, channel, proof.check(answer, byCertificate)))
    } catch (error) {
      this.#turnAway(call, error)
    }
  }

  /** Whom the caller's certificate proves it to be. Throws `unauthenticated` and `permission-denied`. */
  #certificateOf(call: PeerCall): PeerProof | undefined {
    const { certificates } = this.#options.trust
    if (certificates === undefined || !certificates.material.hasAuthority) return undefined
    const certificate = call.getAuthContext().sslPeerCertificate
    if (certificate === undefined) {
      const [problem] = call.metadata.get(datesKey)
      throw new KvError(
        'unauthenticated',
        `links are for nodes with a certificate that the --tls-ca of this one vouches for${problem ? ` [${problem}]` : ''}`,
      )
    }
    return provedByCertificate(certificates.material, certificate.subjectaltname)
  }

  #takesLinks(call: PeerCall): boolean {
    if (this.#accept !== undefined) return true
    call.emit('error', refuse(status.UNAVAILABLE, 'this node takes no connections from other nodes now'))
    return false
  }

  /** `check` is called with the first message, unless none comes in time; what it throws is the answer. */
  #awaitProof(call: PeerCall, check: (answer: Buffer) => void): void {
    const leave = this.#unproved.enter(call.getPeer(), (why) => {
      clearTimeout(late)
      call.emit('error', refuse(status.UNAVAILABLE, `this node waits for a proof no longer: ${why}`))
    })
    const done = (): boolean => {
      clearTimeout(late)
      return leave()
    }
    const late = setTimeout(() => {
      if (done()) call.emit('error', refuse(status.UNAUTHENTICATED, 'no proof of the cluster secret has come in time'))
    }, limits.greetingMsMax)
    for (const event of ['error', 'end', 'cancelled', 'close']) call.on(event, done)
    call.once('data', (answer: Buffer) => {
      if (!done()) return
      try {
        check(answer)
      } catch (error) {
        this.#turnAway(call, error)
      }
    })
  }

  #turnAway(call: PeerCall, error: unknown): void {
    if (!(error instanceof KvError)) {
      this.#options.onBug(error)
      return
    }
    const code = error.code === 'permission-denied' ? status.PERMISSION_DENIED : status.UNAUTHENTICATED
    this.#distrust.turnsAway(call.getPeer(), error.message)
    call.emit('error', refuse(code, error.message))
  }

  #hand(call: PeerCall, channel: Channel, proved: PeerProof | undefined): void {
    if (this.#accept === undefined) return
    try {
      this.#accept(this.#link(new ExchangeServer(call, proved), channel), channel)
    } catch (error) {
      this.#options.onBug(error)
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
