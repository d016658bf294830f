import type { Hello, PeerMessage, Topology as TopologyMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { type Address, assert, type FatalError, KvError, type NodeId } from '../../base/index.js'
import type { Channel, Link } from '../../env/index.js'
import type { PeerLink } from '../../replication/index.js'
import type { Topology } from '../../slots/index.js'
import { GossipLinks } from '../gossip/gossip-links.js'
import type { PeerName } from '../node-face.js'
import type { Serving } from '../serving.js'
import type { Founding } from '../topology/founding.js'
import { topologyFromMessage, topologyToMessage } from '../topology/topology-codec.js'
import { TopologyNews } from '../topology/topology-news.js'
import { Belonging } from './belonging.js'
import { BulkLinks } from './bulk-links.js'
import type { DialerHandlers, LinkOptions } from './dialer.js'
import { Dialers } from './dialers.js'
import {
  type Founder,
  type Greeting,
  greetingOf,
  helloOf,
  judgeHello,
  type LocalNode,
  type RefusedHello,
} from './handshake.js'
import { Inbound, type InboundRefusal } from './inbound.js'

/** The node on whose behalf peers are talked to. What it is may change with every message. */
export interface PeersHost {
  readonly local: LocalNode
  readonly topology: Topology | undefined
  /** Undefined while it belongs to no cluster. */
  readonly serving: Serving | undefined
  /** Undefined when it did not have to form one. */
  readonly founding: Founding | undefined
  /** Another node has handed over a topology. */
  learned(topology: Topology): void
  /** A node without a cluster asks to be taken in, or back. Returns what to tell it. */
  knocked(founder: Founder): InboundRefusal
  /** What a message says about topologies to come; `from` answers on the link to it. Returns why the link must end. */
  agreeing(from: NodeId | undefined, message: PeerMessage, link: PeerLink): string | undefined
  /** The same of who can be reached. */
  gossiped(from: NodeId, message: PeerMessage, link: PeerLink): string | undefined
  /** The link to a member broke. */
  lost(id: NodeId): void
  /** This node cannot go on among these peers. */
  end(error: FatalError): void
  /** Takes charge of work in the background. */
  guard(work: Promise<void>): void
}

export interface PeersOptions extends LinkOptions {
  readonly id: NodeId
  readonly named: readonly PeerName[]
}

/** The conversations of a node: whom it greets and calls, who may talk to it, and where each message goes. */
export class Peers {
  /** Apart from the others: it goes to whom there is something to say. */
  readonly gossip: GossipLinks
  readonly #options: PeersOptions
  readonly #host: PeersHost
  readonly #inbound: Inbound
  readonly #dialers: Dialers
  readonly #bulk: BulkLinks
  readonly #belonging: Belonging
  readonly #news = new TopologyNews()

  constructor(options: PeersOptions, host: PeersHost) {
    this.#options = options
    this.#host = host
    this.#belonging = new Belonging(options.id)
    const { clock, log, envelope, probeIntervalMs, probeTimeoutMs } = options
    this.#inbound = new Inbound({
      clock,
      log,
      envelope,
      silenceMaxMs: 3 * (probeIntervalMs + probeTimeoutMs),
      handlers: {
        greeted: (greeting, link) => this.#greetedBy(greeting, link),
        message: (message, link) => this.#requested(message, link),
      },
    })
    this.#dialers = new Dialers(
      options,
      'requests',
      (address) => this.#dialerHandlers(address),
      (run) => host.guard(run),
    )
    this.#bulk = new BulkLinks(options, {
      judge: (greeting) => judgeHello(host.local, host.topology, greeting.hello),
      greeting: () => this.#greeting(),
      objection: (message, link) => host.serving?.objectionToClock(message) ?? this.#heeded(message, link),
      replica: (id) => host.serving?.bulk(id),
      guard: (run) => host.guard(run),
    })
    this.gossip = new GossipLinks(options, {
      greeting: () => this.#greeting(),
      judge: (hello) => judgeHello(host.local, host.topology, hello),
      greetedBy: (greeting) => this.#greetedForGossip(greeting),
      message: (from, message, link) => this.#heeded(message, link) ?? host.gossiped(from, message, link),
      guard: (run) => host.guard(run),
    })
  }

  accept(link: Link, channel: Channel): void {
    if (channel === 'gossip') this.gossip.accept(link)
    else this.#inbound.accept(link)
  }

  /** A member can be reached (again). */
  hasten(address: Address): void {
    this.#dialers.hasten(address)
  }

  dial(address: Address): void {
    this.#dialers.dial(address)
  }

  /** Why the last call to this address came to nothing; empty: nothing is known of one. */
  obstacle(address: Address): string {
    return this.#dialers.obstacle(address)
  }

  /**
   * Calls all other members, and nobody else; but a node that has moved calls also those that were named to it, because
   * they may have moved as well.
   */
  callMembers({ members }: Topology): void {
    const { id: self, named } = this.#options
    const others = members.filter(({ id }) => id !== self)
    const addresses = new Set(others.map(({ address }) => address))
    const known = members.find(({ id }) => id === self)?.address
    if (known !== this.#host.local.address) for (const { address } of named) addresses.add(address)
    this.#dialers.keep(addresses)
    this.#bulk.follow(others)
  }

  /** Keeps links for what is large to all other members, or gives them up. */
  stream(on: boolean): void {
    this.#bulk.open(on)
  }

  /** A newer topology is in force: those who have changed are greeted anew, and everybody hears of it. */
  follow(topology: Topology, before: Topology): void {
    for (const { id, incarnation, address } of before.members) {
      const now = topology.members.find((member) => member.id === id)
      if (now?.incarnation !== incarnation) this.#dialers.hangUp(address)
    }
    this.callMembers(topology)
    this.#news.spread(topology, this.#links())
  }

  /** Tells everybody on a link who this node is. */
  announce(): void {
    const { hello } = this.#greeting()
    for (const link of this.#links()) link.outbox(0).addControl({ hello })
  }

  stopCalling(): void {
    this.#dialers.stop()
    this.#bulk.stop()
    this.gossip.stop()
  }

  close(reason: string): void {
    this.#inbound.close(reason)
  }

  *#links(): Iterable<PeerLink> {
    yield* this.#dialers.links()
    yield* this.#inbound.links()
  }

  #greeting(): Greeting {
    const { local, topology, founding } = this.#host
    const hello = helloOf(local, topology, founding?.view() ?? { met: [], unmet: [] })
    // Who has not heard yet that this node has become a member would refuse it: so it brings the news itself.
    const changed = topology !== undefined && topology.epoch > 1
    return greetingOf(hello, changed ? topologyToMessage(topology) : undefined)
  }

  #dialerHandlers(address: Address): DialerHandlers {
    const host = this.#host
    let remote: NodeId | undefined
    let life = ''
    return {
      greeting: () => this.#greeting(),
      greeted: ({ hello, topology: brought }, link) => {
        const verdict = judgeHello(host.local, host.topology, hello)
        if (verdict.kind === 'refused') {
          // The other side finds nothing wrong, and is to learn what it does not know.
          const { message, topology } = this.#refusal(verdict, brought)
          if (topology !== undefined) link.sendNow({ topology })
          return `refused here: ${message}`
        }
        if (verdict.kind === 'returning') return `refused here: ${host.knocked(verdict.remote).message}`
        // It has not asked for anything: it may be forming a cluster of its own where a member was once.
        if (verdict.kind === 'joining') return `refused here: ${verdict.remote.id} is not a member`
        if (verdict.kind === 'self') {
          host.founding?.isSelf(address)
          this.#dialers.hangUp(address)
          return 'this is the node itself'
        }
        remote = verdict.remote.id
        life = hello.life
        return this.#objectionToName(address, remote)
      },
      message: (message, link) => {
        assert(remote !== undefined, 'a message before the greeting')
        if (message.hello !== undefined) {
          const verdict = judgeHello(host.local, host.topology, message.hello)
          if (verdict.kind === 'refused') return `refused here: ${verdict.message}`
          this.#heard(message.hello, address)
        }
        const objection =
          host.serving?.objectionToClock(message) ?? this.#heeded(message, link) ?? host.agreeing(remote, message, link)
        if (objection !== undefined) return objection
        return host.serving?.replied({ id: remote, life }, message, link)
      },
      refused: (refusal, topology) => {
        if (refusal.code === 'wait' && host.serving === undefined) {
          const known = topology === undefined ? undefined : this.#parsed(topology)
          host.founding?.waits(address, refusal.message, typeof known === 'string' ? undefined : known)
          return
        }
        this.#options.log.warn('refused by another node', { address, code: refusal.code, message: refusal.message })
        const malformed = topology === undefined ? undefined : this.#learned(topology)
        if (malformed !== undefined) this.#options.log.warn('a node hands over nonsense', { address, malformed })
        const end = this.#belonging.refused(address, refusal, host.topology)
        if (end !== undefined) host.end(end)
      },
      lost: (link, reason) => {
        if (remote === undefined) return
        this.#options.log.info('lost a node', { node: remote, address, reason })
        host.serving?.remote(remote)?.detach(link)
        host.lost(remote)
      },
      unreached: () => {
        const there = host.topology?.members.filter((member) => member.address === address) ?? []
        for (const { id } of there) host.serving?.remote(id)?.giveUp()
      },
    }
  }

  #objectionToName(address: Address, answered: NodeId): string | undefined {
    const expected = this.#options.named.find((peer) => peer.address === address)?.id
    if (expected === undefined || expected === answered) return undefined
    this.#options.log.warn('another node than the named one answers', { address, expected, answered })
    return `${answered} answers where ${expected} was named`
  }

  #greetedBy({ hello, topology: brought }: Greeting, link: PeerLink): Greeting | InboundRefusal {
    const verdict = judgeHello(this.#host.local, this.#host.topology, hello)
    if (verdict.kind === 'refused') return this.#refusal(verdict, brought)
    if (verdict.kind === 'returning' || verdict.kind === 'joining') return this.#host.knocked(verdict.remote)
    if (verdict.kind === 'welcome') {
      link.peer = verdict.remote.id
      this.#heard(hello)
    }
    return this.#greeting()
  }

  #greetedForGossip({ hello, topology: brought }: Greeting): Greeting | InboundRefusal {
    const verdict = judgeHello(this.#host.local, this.#host.topology, hello)
    if (verdict.kind === 'refused') return this.#refusal(verdict, brought)
    if (verdict.kind === 'welcome' && this.#host.serving !== undefined) return this.#greeting()
    return { code: 'wait', message: 'gossip is for members' }
  }

  /**
   * Where two go by different incarnations of a member, or one of them by a member that is none, one is behind: the
   * newer topology tells it.
   */
  #refusal({ code, message }: RefusedHello, brought: TopologyMessage | undefined): InboundRefusal {
    const { topology } = this.#host
    const behind = code === 'incarnation' || code === 'not-a-member'
    if (!behind || topology === undefined) return { code, message }
    if (brought !== undefined && brought.epoch > topology.epoch) {
      const malformed = this.#learned(brought)
      return { code: 'wait', message: malformed ?? 'the topology that it has brought is being followed' }
    }
    return { code, message, topology: topologyToMessage(topology) }
  }

  /** What a forming node learns from a hello; `dialled` is where it answered if this node had called. */
  #heard(hello: Hello, dialled?: Address): void {
    const host = this.#host
    this.#belonging.welcomed()
    if (host.serving !== undefined || hello.clusterId !== '') return
    const verdict = judgeHello(host.local, undefined, hello)
    if (verdict.kind === 'welcome') host.founding?.heard(verdict.remote, verdict.view, dialled)
  }

  #requested(message: PeerMessage, link: PeerLink): string | InboundRefusal | undefined {
    const { serving } = this.#host
    const drifted = serving?.objectionToClock(message)
    if (drifted !== undefined) return { code: 'clock', message: drifted }
    const objection = this.#heeded(message, link) ?? this.#host.agreeing(undefined, message, link)
    return objection ?? serving?.requested(message, link)
  }

  /** A newer topology that a message brings, or the need for one that it shows. */
  #heeded(message: PeerMessage, link: PeerLink): string | undefined {
    const objection = message.topology === undefined ? undefined : this.#learned(message.topology)
    if (objection === undefined) this.#news.heard(message, this.#host.topology, link)
    return objection
  }

  #learned(message: TopologyMessage): string | undefined {
    const topology = this.#parsed(message)
    if (typeof topology === 'string') return topology
    this.#host.learned(topology)
    return undefined
  }

  /** The topology, or what is wrong with it. */
  #parsed(message: TopologyMessage): Topology | string {
    try {
      return topologyFromMessage(message)
    } catch (error) {
      if (error instanceof KvError) return `malformed topology: ${error.message}`
      throw error
    }
  }
}
