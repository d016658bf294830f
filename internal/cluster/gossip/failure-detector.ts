import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { type Address, type Instruments, KvError, limits, type NodeEventKind, type NodeId } from '../../base/index.js'
import type { Clock, Log, Random, Timer } from '../../env/index.js'
import type { PeerLink } from '../../replication/index.js'
import type { Topology } from '../../slots/index.js'
import { Swim, type SwimEvent, type SwimOutput, type SwimSettings } from '../../swim/index.js'
import type { Liveness } from '../node-face.js'
import { epochOfMeta, gossipFromMessage, gossipToMessage, metaToBytes } from './gossip-codec.js'
import type { GossipLinks } from './gossip-links.js'

export interface FailureDetectorOptions extends SwimSettings {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly instruments: Instruments
  readonly self: { readonly id: NodeId; readonly address: Address }
  readonly links: Pick<GossipLinks, 'send' | 'sweep' | 'keep'>
  /** A member can be reached (again). */
  readonly reached: (id: NodeId) => void
  /** What is believed of some members has changed. */
  readonly changed: () => void
}

const eventTexts: Readonly<Record<Exclude<SwimEvent['kind'], 'updated'>, string>> = {
  alive: 'a member is alive',
  returned: 'a member is back',
  suspect: 'a member is suspected to be dead',
  dead: 'a member is held for dead',
  left: 'a member has stopped',
}

const eventKinds: Readonly<Record<keyof typeof eventTexts, NodeEventKind>> = {
  ...{ alive: 'alive', returned: 'alive', suspect: 'suspected', dead: 'dead', left: 'left' },
}

/**
 * Runs failure detection (`internal/swim`, docs/adr/0027) for this node: brings it the time and messages, carries what it has to
 * say, and remembers for how long members have been away. The epoch of the topology travels with what every node tells all
 * others about itself, so a node that has missed a change learns of it from anybody, and asks for the document.
 */
export class FailureDetector {
  readonly #options: FailureDetectorOptions
  readonly #swim: Swim
  /** Since when members are away, by number; moved on by as long as this process stood still. */
  readonly #absentSince = new Map<number, number>()
  readonly #numbers = new Map<NodeId, number>()
  #epoch: number
  #timer: Timer | undefined
  #running = false
  #tickedMs: number
  #sweptMs: number
  #askedMs = Number.NEGATIVE_INFINITY
  /** Whoever is away may have come back while this process stood still: until then it has not asked them yet. */
  #doubtUntilMs = Number.NEGATIVE_INFINITY

  /** `topology` names this node. Throws KvError `invalid-argument` for settings that cannot work. */
  constructor(options: FailureDetectorOptions, topology: Topology) {
    const { clock, random, self } = options
    const nowMs = clock.monotonicMs()
    const { number } = topology.members.find(({ id }) => id === self.id)!
    this.#options = options
    this.#epoch = topology.epoch
    this.#tickedMs = nowMs
    this.#sweptMs = nowMs
    const meta = metaToBytes(topology.epoch)
    this.#swim = new Swim({ ...options, self: { ...self, number }, meta, random, nowMs })
    this.#setMembers(nowMs, topology)
  }

  /** Begins to ask and to tell. Idempotent. */
  start(): void {
    if (this.#running) return
    this.#running = true
    this.#tickedMs = this.#options.clock.monotonicMs()
    this.#schedule()
  }

  /** Tells the others that this node stops, and says nothing any more. Idempotent. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (!this.#running) return
    this.#running = false
    this.#carry(this.#swim.leave(this.#options.clock.monotonicMs()))
  }

  /** A newer topology is in force here. */
  follow(topology: Topology): void {
    this.#epoch = topology.epoch
    this.#setMembers(this.#options.clock.monotonicMs(), topology)
    this.#swim.setMeta(metaToBytes(topology.epoch))
  }

  /** What a member says about members. Returns why its link must end, or undefined. */
  received(from: NodeId, { gossip }: PeerMessage, link: PeerLink): string | undefined {
    if (gossip === undefined || !this.#running) return undefined
    this.#options.instruments.gossipReceived++
    this.#notice()
    try {
      const message = gossipFromMessage(gossip)
      this.#carry(this.#swim.received(this.#options.clock.monotonicMs(), from, message), from, link)
      return undefined
    } catch (error) {
      if (error instanceof KvError) return `malformed gossip: ${error.message}`
      throw error
    }
  }

  /** The link to a member broke: it is asked soon whether it is there. */
  doubt(id: NodeId): void {
    const number = this.#numbers.get(id)
    if (number !== undefined && this.#running) this.#swim.doubt(this.#options.clock.monotonicMs(), number)
  }

  /** Of another member, by the number of its life; undefined: there is none of that number. */
  liveness(number: number): Liveness | undefined {
    const member = this.#swim.member(number)
    if (member === undefined) return undefined
    const status = member.status === 'alive' && member.refutation === 0 ? 'suspect' : member.status
    return { status, forMs: this.#options.clock.monotonicMs() - member.sinceMs }
  }

  /** For how long a member has been dead, or stopped, before the eyes of this process; 0: it is not, or that cannot be told. */
  absentMs(number: number): number {
    this.#notice()
    const nowMs = this.#options.clock.monotonicMs()
    const sinceMs = this.#absentSince.get(number)
    return sinceMs === undefined || nowMs < this.#doubtUntilMs ? 0 : nowMs - sinceMs
  }

  #setMembers(nowMs: number, { members }: Topology): void {
    this.#swim.setMembers(nowMs, members)
    this.#numbers.clear()
    for (const { id, number } of members) this.#numbers.set(id, number)
    const numbers = new Set(this.#numbers.values())
    for (const number of this.#absentSince.keys()) if (!numbers.has(number)) this.#absentSince.delete(number)
    const ids = new Set(this.#numbers.keys())
    this.#options.links.keep(ids)
    this.#options.instruments.keepMembers(ids)
    this.#options.changed()
  }

  #schedule(): void {
    this.#timer = this.#options.clock.setTimer(limits.swimTickMs, () => this.#tick())
  }

  #tick(): void {
    this.#notice()
    const { clock, links } = this.#options
    const nowMs = clock.monotonicMs()
    this.#tickedMs = nowMs
    this.#carry(this.#swim.tick(nowMs))
    if (nowMs - this.#askedMs >= limits.gossipTopologyAskMs) {
      this.#askedMs = nowMs
      this.#askForTopology()
    }
    if (nowMs - this.#sweptMs >= limits.gossipIdleMs / 4) {
      this.#sweptMs = nowMs
      links.sweep()
    }
    this.#schedule()
  }

  /**
   * A process that stood still has seen nothing of that time: it counts nobody as away in it, and leaves all who are away
   * time to be asked again before it says so of them.
   */
  #notice(): void {
    if (!this.#running) return
    const { clock, probeIntervalMs, probeTimeoutMs, suspicionMult } = this.#options
    const nowMs = clock.monotonicMs()
    const lateMs = nowMs - this.#tickedMs - limits.swimTickMs
    if (lateMs <= Math.max(probeTimeoutMs, 2 * limits.swimTickMs)) return
    this.#tickedMs = nowMs
    for (const [number, sinceMs] of this.#absentSince) this.#absentSince.set(number, sinceMs + lateMs)
    this.#doubtUntilMs = nowMs + limits.replaceDoubtFactor * (suspicionMult + 1) * probeIntervalMs
    this.#options.log.warn('this process stood still', { ms: Math.round(lateMs) })
  }

  /** `answered`: who has asked, on which link. */
  #carry({ messages, events }: SwimOutput, answered?: NodeId, link?: PeerLink): void {
    this.#options.instruments.gossipSent += messages.length
    for (const { to, address, message } of messages) {
      const asks = message.kind === 'ping' || message.kind === 'sync'
      const part = { gossip: gossipToMessage(message) }
      this.#options.links.send(to, address, part, asks, to === answered ? link : undefined)
    }
    for (const event of events) this.#happened(event)
    if (events.length > 0) this.#options.changed()
  }

  #happened({ kind, id, number }: SwimEvent): void {
    const { clock, log, instruments, reached } = this.#options
    if (kind === 'updated') return
    if (kind === 'dead' || kind === 'left') {
      if (!this.#absentSince.has(number)) this.#absentSince.set(number, clock.monotonicMs())
    } else if (kind === 'alive' || kind === 'returned') {
      this.#absentSince.delete(number)
      reached(id)
    }
    const text = eventTexts[kind]
    instruments.events.add(eventKinds[kind], id, text)
    if (kind === 'suspect') instruments.member(id).suspicions++
    if (kind === 'dead') log.warn(text, { node: id })
    else log.info(text, { node: id })
  }

  /** Somebody who goes by a newer topology is asked for it: whoever spread it may not have reached this node. */
  #askForTopology(): void {
    const ahead = this.#swim.members.find(({ status, meta }) => status === 'alive' && epochOf(meta) > this.#epoch)
    if (ahead === undefined) return
    this.#options.links.send(ahead.id, ahead.address, { topologyWanted: true }, false)
  }
}

/** What is not understood says nothing: it may come from a newer version. */
function epochOf(meta: Uint8Array): number {
  try {
    return epochOfMeta(meta)
  } catch (error) {
    if (error instanceof KvError) return 0
    throw error
  }
}
