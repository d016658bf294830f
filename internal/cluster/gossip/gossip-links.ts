import type { Hello, PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { type Address, limits, type NodeId } from '../../base/index.js'
import type { Link } from '../../env/index.js'
import { Pauses, type PeerLink } from '../../replication/index.js'
import type { LinkOptions } from '../links/dialer.js'
import type { Greeting, HelloVerdict } from '../links/handshake.js'
import { Inbound, type InboundRefusal } from '../links/inbound.js'
import { callForGossip, GossipLink } from './gossip-link.js'

/** The node on whose behalf there is gossip. */
export interface GossipHost {
  greeting(): Greeting
  /** Who says hello, on either side of a link. */
  judge(hello: Hello): HelloVerdict
  /** What to answer a greeting on a link that another node has opened. */
  greetedBy(greeting: Greeting): Greeting | InboundRefusal
  /** A message from a member. Returns why the link must end, or undefined. */
  message(from: NodeId, message: PeerMessage, link: PeerLink): string | undefined
  guard(run: Promise<void>): void
}

interface Waiting {
  readonly part: Partial<PeerMessage>
  readonly asks: boolean
}

/** The ways to one member. */
interface Ways {
  /** The link that this node has opened, and where to. */
  called: GossipLink | undefined
  address: string
  /** What waits for it to open; undefined: it is not being opened. */
  waiting: Waiting[] | undefined
  /** The link that the member has opened. */
  accepted: GossipLink | undefined
}

/**
 * Links for gossip, apart from all others, so that nothing large or slow stands in front of a probe. One is opened when there
 * is something to say, and closed when nothing has been said on it for long: in a large cluster, nodes are linked to whom
 * they talk to and not to all. What cannot be sent is lost, which failure detection expects; but a link that has gone silent is
 * given up as soon as somebody does not answer on it, because what was lost on it is repeated ever more slowly.
 */
export class GossipLinks {
  readonly #options: LinkOptions
  readonly #host: GossipHost
  readonly #inbound: Inbound
  readonly #pauses: Pauses
  readonly #ways = new Map<NodeId, Ways>()
  /** Whose link it is. */
  readonly #owners = new WeakMap<PeerLink, { readonly from: NodeId; readonly way: GossipLink }>()
  readonly #calls = new Set<Promise<void>>()
  #stopped = false

  constructor(options: LinkOptions, host: GossipHost) {
    const { clock, log, envelope } = options
    this.#options = options
    this.#host = host
    this.#pauses = new Pauses(clock)
    this.#inbound = new Inbound({
      clock,
      log,
      envelope,
      // The side that has opened it closes it before.
      silenceMaxMs: 2 * limits.gossipIdleMs,
      handlers: {
        greeted: (greeting, link) => this.#greetedBy(greeting, link),
        message: (message, link) => this.#received(message, link),
        ended: (link) => this.#ended(link),
      },
    })
  }

  accept(link: Link): void {
    this.#inbound.accept(link)
  }

  /**
   * To a member, which is reached at `address`; `on` the link on which it has asked, if it has. `asks`: it is to answer at once.
   * May be lost.
   */
  send(to: NodeId, address: string, part: Partial<PeerMessage>, asks: boolean, on?: PeerLink): void {
    if (this.#stopped) return
    const nowMs = this.#options.clock.monotonicMs()
    const asked = on === undefined ? undefined : this.#owners.get(on)
    if (asked?.from === to && asked.way.open) {
      asked.way.send(nowMs, part, asks)
      return
    }
    const ways = this.#waysTo(to)
    if (ways.called !== undefined && ways.address !== address) ways.called.close('it has moved')
    const way = this.#usable(nowMs, ways.called) ?? this.#usable(nowMs, ways.accepted)
    if (way !== undefined) {
      way.send(nowMs, part, asks)
      return
    }
    if (ways.waiting === undefined) this.#call(to, address as Address, ways)
    ways.waiting!.push({ part, asks })
    if (ways.waiting!.length > limits.gossipWaitingMax) ways.waiting!.shift()
  }

  /** To be called now and then: closes what nobody needs. */
  sweep(): void {
    const nowMs = this.#options.clock.monotonicMs()
    for (const { called } of this.#ways.values()) {
      if (called !== undefined && called.idleMs(nowMs) >= limits.gossipIdleMs) called.close('nothing is said on it')
    }
  }

  /** Who the members are: nobody else is talked to. */
  keep(members: ReadonlySet<NodeId>): void {
    for (const [id, { called, accepted }] of this.#ways) {
      if (members.has(id)) continue
      called?.close('it is no member any more')
      accepted?.close('it is no member any more')
      this.#ways.delete(id)
    }
  }

  /** Resolves when all that is to be sent is on its way, and after `limits.gossipFarewellMs` at the latest. */
  async flushed(): Promise<void> {
    if (this.#calls.size === 0) return
    await this.#pauses.answer<void>(limits.gossipFarewellMs, undefined, (done) => {
      void Promise.all(this.#calls).then(() => done())
    })
  }

  /** Idempotent. */
  stop(): void {
    this.#stopped = true
    this.#pauses.stop()
    for (const { called } of this.#ways.values()) called?.close('the node stops')
    this.#inbound.close('the node stops')
  }

  #waysTo(id: NodeId): Ways {
    const known = this.#ways.get(id)
    if (known !== undefined) return known
    const ways: Ways = { called: undefined, address: '', waiting: undefined, accepted: undefined }
    this.#ways.set(id, ways)
    return ways
  }

  #usable(nowMs: number, way: GossipLink | undefined): GossipLink | undefined {
    if (way?.open !== true) return undefined
    const { probeIntervalMs, probeTimeoutMs } = this.#options
    if (way.silentMs(nowMs) <= probeIntervalMs + probeTimeoutMs) return way
    way.close('no answer')
    return undefined
  }

  #call(to: NodeId, address: Address, ways: Ways): void {
    const waiting: Waiting[] = []
    ways.address = address
    ways.waiting = waiting
    const call = this.#open(to, address, ways).finally(() => {
      if (ways.waiting === waiting) ways.waiting = undefined
      this.#calls.delete(call)
    })
    this.#calls.add(call)
    this.#host.guard(call)
  }

  /** Resolves when what waited has been sent, or is lost. */
  async #open(to: NodeId, address: Address, ways: Ways): Promise<void> {
    const { clock, envelope, log, network, probeIntervalMs, probeTimeoutMs } = this.#options
    const timeoutMs = probeIntervalMs + probeTimeoutMs
    let raw: Link
    try {
      raw = await network.connect(address, 'gossip', timeoutMs)
    } catch (error) {
      log.debug('no link for gossip', { node: to, address, reason: String(error) })
      return
    }
    return new Promise((resolve) => {
      const greeting = this.#host.greeting()
      callForGossip(raw, {
        clock,
        envelope,
        greeting,
        timeoutMs,
        greeted: (hello, link) => {
          const objection = this.#stopped ? 'the node stops' : this.#objectionTo(hello, to)
          if (objection !== undefined) return objection
          ways.called = this.#welcome(to, hello, link, ways.accepted)
          const nowMs = clock.monotonicMs()
          for (const { part, asks } of ways.waiting ?? []) ways.called.send(nowMs, part, asks)
          ways.waiting = undefined
          resolve()
          return undefined
        },
        message: (message, link) => this.#received(message, link),
        ended: (link, reason) => {
          log.debug('a link for gossip has ended', { node: to, address, reason })
          this.#ended(link)
          resolve()
        },
      })
    })
  }

  #objectionTo(hello: Hello, expected: NodeId): string | undefined {
    const verdict = this.#host.judge(hello)
    if (verdict.kind === 'welcome' && verdict.remote.id === expected) return undefined
    return 'not the member that is meant'
  }

  #greetedBy(greeting: Greeting, link: PeerLink): Greeting | InboundRefusal {
    const answer = this.#host.greetedBy(greeting)
    if ('code' in answer) return answer
    const verdict = this.#host.judge(greeting.hello)
    if (verdict.kind !== 'welcome') return { code: 'not-a-member', message: 'gossip is for members' }
    const ways = this.#waysTo(verdict.remote.id)
    const before = ways.accepted
    ways.accepted = this.#welcome(verdict.remote.id, greeting.hello, link, ways.called)
    if (before !== undefined && before.link !== link) before.close('it has opened another one')
    return answer
  }

  /** `other`: the link in the other direction; one to a former process of the same member leads nowhere any more. */
  #welcome(from: NodeId, hello: Hello, link: PeerLink, other: GossipLink | undefined): GossipLink {
    const way = new GossipLink(link, hello.life, this.#options.clock.monotonicMs())
    this.#owners.set(link, { from, way })
    if (other !== undefined && other.life !== hello.life) other.close('its process is another one now')
    return way
  }

  #received(message: PeerMessage, link: PeerLink): string | undefined {
    const owner = this.#owners.get(link)
    if (owner === undefined || !owner.way.heard(this.#options.clock.monotonicMs())) return undefined
    return this.#host.message(owner.from, message, link)
  }

  #ended(link: PeerLink): void {
    const owner = this.#owners.get(link)
    const ways = owner === undefined ? undefined : this.#ways.get(owner.from)
    if (ways?.called?.link === link) ways.called = undefined
    if (ways?.accepted?.link === link) ways.accepted = undefined
  }
}
