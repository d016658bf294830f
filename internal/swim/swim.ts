import { assert, limits, type NodeId } from '../base/index.js'
import type { Random } from '../env/index.js'
import { Beliefs } from './beliefs.js'
import {
  checkMeta,
  checkSettings,
  type MemberView,
  type SwimMember,
  type SwimOptions,
  type SwimOutput,
  type SwimSettings,
} from './face.js'
import { LocalHealth } from './local-health.js'
import { accusation, digestEntry, type MemberState, MemberTable, viewOf } from './members.js'
import { checkMessage, type MessageKind, messageBytes, type Rumour, type SwimMessage } from './messages.js'
import { Outbox } from './outbox.js'
import { type Hearing, OwnState } from './own-state.js'
import { Prober } from './prober.js'
import { differences, fitting, rumoursOf } from './sync.js'

/** What is left of a message for rumours that answer an exchange, after header, `wanted` and what travels with any message. */
const replyBytesMax = limits.swimMessageBytesMax - limits.swimPiggybackBytesMax - limits.swimHeaderBytesMax

/**
 * Where a process begins to count. Not always at the same number: it would take what the others remember of an earlier
 * process, with another address or meta, for what it has said itself. Three bytes in a message.
 */
function firstRefutation(random: Random): number {
  return 1 + (random.u32() >>> 11)
}

/**
 * Who of the members can be reached: SWIM (Das, Gupta and Motivala, 2002) with Lifeguard (Dadgar, Phillips and Currey,
 * 2018), as a pure core. Each call takes the monotonic time and gives what is to be sent and what has happened; nothing
 * happens in between. It wants `tick` every `limits.swimTickMs`, and notices when that comes late.
 *
 * Every member counts its `refutation`: how often it has spoken for itself. It alone raises it, when it hears that it is
 * suspected, dead, or described as it is not any more. The count lasts as long as the process. It is not the incarnation
 * of the data directory, which lasts as long as that does and stands behind the member's number in the topology.
 *
 * Members are those of the topology. `dead` says that one cannot be reached and nothing else: it stays a member, is
 * asked from time to time for as long as it is one, and so two halves of a cluster find each other again by themselves.
 */
export class Swim {
  readonly #settings: SwimSettings
  readonly #random: Random
  readonly #self: OwnState
  readonly #health = new LocalHealth()
  readonly #outbox: Outbox
  readonly #beliefs: Beliefs
  readonly #prober: Prober
  /** To be published when that may be. */
  #nextMeta: Uint8Array | undefined
  #metaMs: number
  /** The topology names this node. */
  #belongs = false
  #left = false
  #tickedMs: number
  #gossipMs: number
  #syncMs: number
  #rejoinMs: number
  /** An exchange has been answered since the start. */
  #synced = false
  /** No death is declared before: after a pause, what has come meanwhile is heard first. */
  #verdictsFromMs = Number.NEGATIVE_INFINITY

  /** Throws `invalid-argument` where settings or meta cannot be. */
  constructor(options: SwimOptions) {
    const { self, meta = new Uint8Array(), random, nowMs, refutation = firstRefutation(random) } = options
    checkSettings(options)
    checkMeta(meta)
    this.#settings = options
    this.#random = random
    this.#self = new OwnState(self, refutation, meta)
    this.#tickedMs = nowMs
    this.#metaMs = nowMs
    this.#gossipMs = nowMs + random.float() * options.gossipIntervalMs
    this.#syncMs = nowMs
    this.#rejoinMs = nowMs + random.float() * limits.swimRejoinIntervalMs
    const health = this.#health
    const members = new MemberTable()
    const outbox = new Outbox(this.#self, members)
    this.#outbox = outbox
    this.#beliefs = new Beliefs(options, {
      self: self.number,
      health,
      members,
      queue: outbox.queue,
      event: (kind, member) => outbox.event(kind, member),
      warn: (now, member, rumour) => this.#warn(now, member, rumour),
    })
    this.#prober = new Prober(nowMs, options, {
      members,
      health,
      random,
      send: (to, kind, seq, target) => outbox.send(to, kind, { seq, target }),
      failed: (now, member) => this.#beliefs.accuse(now, member),
    })
  }

  /** 0: this node trusts its own eyes; more, up to `limits.swimHealthMax`: it has reason not to. */
  get healthScore(): number {
    return this.#health.score
  }

  get refutation(): number {
    return this.#self.refutation
  }

  /** The other members, by number. */
  get members(): readonly MemberView[] {
    return this.#beliefs.members.all.map(viewOf)
  }

  /** One of them. */
  member(number: number): MemberView | undefined {
    const member = this.#beliefs.members.get(number)
    return member === undefined ? undefined : viewOf(member)
  }

  /**
   * The members of the topology, this node among them; without it this node neither asks nor tells anything. Members
   * that are new count as alive until a probe has failed; those that are left out are forgotten.
   */
  setMembers(nowMs: number, members: readonly SwimMember[]): void {
    assert(members.length <= limits.membersMax, `${members.length} members`)
    const { number: self } = this.#self.member
    const others = members.filter(({ number }) => number !== self)
    const fresh = others.filter(({ number }) => this.#beliefs.members.get(number) === undefined)
    this.#belongs = others.length < members.length
    this.#beliefs.setMembers(nowMs, others)
    this.#prober.enlist(fresh.map(({ number }) => number))
    if (fresh.length > 0) this.#syncMs = nowMs
  }

  /** What all should know of this node, from the next tick on, though it changes at most once in a probe interval. */
  setMeta(meta: Uint8Array): void {
    checkMeta(meta)
    this.#nextMeta = meta
  }

  /** There is reason to doubt a member (its link broke): it is asked next. */
  doubt(nowMs: number, number: number): void {
    this.#prober.hasten(nowMs, number)
  }

  /** This node stops: all are told, and it says and does nothing any more. */
  leave(nowMs: number): SwimOutput {
    this.#notice(nowMs)
    if (this.#belongs && !this.#left) {
      this.#self.leave()
      for (const member of this.#beliefs.members.all) {
        if (member.status === 'alive' || member.status === 'suspect')
          this.#outbox.send(member, 'gossip', { rumours: [this.#self.rumour] })
      }
    }
    this.#left = true
    return this.#outbox.flush()
  }

  /** Time has passed. */
  tick(nowMs: number): SwimOutput {
    this.#notice(nowMs)
    this.#tickedMs = nowMs
    if (!this.#belongs || this.#left) return this.#outbox.flush()
    if (nowMs >= this.#verdictsFromMs) this.#beliefs.expire(nowMs)
    this.#publish(nowMs)
    this.#prober.tick(nowMs)
    if (nowMs >= this.#gossipMs) this.#gossip(nowMs)
    if (nowMs >= this.#syncMs) this.#sync(nowMs)
    if (nowMs >= this.#rejoinMs) this.#rejoin(nowMs)
    return this.#outbox.flush()
  }

  /**
   * A message has come from the node `from`. Throws `invalid-argument` for one that no node sends; it has then changed
   * nothing. Who is not a member here, or not yet, may ask whether this node is there, and nothing else.
   */
  received(nowMs: number, from: NodeId, message: SwimMessage): SwimOutput {
    checkMessage(message)
    this.#notice(nowMs)
    if (this.#left) return this.#outbox.flush()
    const sender = this.#beliefs.members.get(message.number)
    if (!this.#belongs || sender === undefined || sender.id !== from) {
      this.#answerStranger(from, message)
      return this.#outbox.flush()
    }
    this.#outbox.answering = message
    this.#greet(sender, message)
    for (const rumour of message.rumours) this.#hear(nowMs, sender, rumour, message.kind)
    // It has spoken for itself, and this was missed: an exchange brings it.
    if (message.refutation > sender.described) this.#hastenSync(nowMs)
    this.#handle(nowMs, sender, message)
    // What it has wrong about this node was not put right by an answer.
    if (sender.owed) this.#warn(nowMs, sender, this.#self.rumour)
    this.#outbox.answering = undefined
    return this.#outbox.flush()
  }

  /** What the head of a message says about its sender. */
  #greet(sender: MemberState, { refutation, address }: SwimMessage): void {
    if (sender.refutation > refutation) sender.behind = true
    if (refutation >= sender.described && address !== sender.address) {
      sender.address = address
      this.#outbox.event('updated', sender)
    }
  }

  #handle(nowMs: number, sender: MemberState, message: SwimMessage): void {
    const { kind, seq, target } = message
    switch (kind) {
      case 'ping':
        if (target === this.#self.member.number) this.#outbox.send(sender, 'ack', { seq, target })
        break
      case 'pingRequest':
        this.#prober.help(nowMs, sender, seq, target)
        break
      case 'ack':
        this.#prober.acked(nowMs, sender, seq)
        break
      case 'nack':
        this.#prober.nacked(sender, seq)
        break
      case 'gossip':
        break
      case 'sync':
        this.#answerSync(nowMs, sender, message)
        break
      case 'syncReply':
        this.#endSync(nowMs, sender, message)
        break
      default:
        kind satisfies never
    }
  }

  // --- what is heard

  #hear(nowMs: number, sender: MemberState, rumour: Rumour, kind: MessageKind): void {
    if (rumour.number === this.#self.member.number) this.#heardOfSelf(sender, this.#self.hear(rumour))
    else this.#beliefs.take(nowMs, rumour, kind === 'syncReply' ? 'sync' : 'gossip')
  }

  #heardOfSelf(sender: MemberState, heard: Hearing): void {
    if (heard === 'agrees') return
    sender.owed = true
    if (heard === 'outdated') return
    // Who is suspected may well be slow.
    if (heard === 'refuted') this.#health.worsen(1)
    this.#outbox.queue.put(this.#self.rumour)
  }

  #answerStranger(to: NodeId, { kind, seq, target, address }: SwimMessage): void {
    if (kind !== 'ping' || target !== this.#self.member.number) return
    this.#outbox.sendTo(to, address, 'ack', { seq, target })
  }

  // --- exchanges

  #sync(nowMs: number): void {
    const { probeIntervalMs } = this.#settings
    // At random times, so that nodes that were started together do not exchange in step.
    const wait = this.#synced ? limits.swimSyncIntervalMs * (0.5 + this.#random.float()) : probeIntervalMs
    this.#syncMs = nowMs + wait
    const [partner] = this.#pick(1, ({ status }) => status === 'alive' || status === 'suspect')
    if (partner !== undefined) this.#beginSync(partner)
  }

  /** Members that cannot be reached are asked all the same, one at a time: nobody else ends a partition. */
  #rejoin(nowMs: number): void {
    const crowd = Math.max(1, this.#beliefs.count / 10)
    this.#rejoinMs = nowMs + limits.swimRejoinIntervalMs * crowd * (0.5 + this.#random.float())
    const [lost] = this.#pick(1, ({ status }) => status === 'dead' || status === 'left')
    if (lost !== undefined) this.#beginSync(lost)
  }

  #beginSync(to: MemberState): void {
    const digest = [this.#self.digestEntry, ...this.#beliefs.members.all.map(digestEntry)]
    this.#outbox.send(to, 'sync', { seq: this.#prober.nextSeq(), digest })
  }

  #answerSync(nowMs: number, sender: MemberState, { seq, digest }: SwimMessage): void {
    const { members } = this.#beliefs
    const own = digest.find(({ number }) => number === this.#self.member.number)
    if (own !== undefined) this.#heardOfSelf(sender, this.#self.hearDigest(own))
    // Compared before anything is taken, so that the answer says what this side had known.
    const { better, wanted, gone } = differences(members, digest)
    for (const { number, status, refutation } of gone) {
      if (status === 'dead' || status === 'left') {
        this.#beliefs.take(nowMs, accusation(number, status, refutation, []), 'sync')
      }
    }
    this.#outbox.send(sender, 'syncReply', { seq, rumours: fitting(better, replyBytesMax), wanted })
  }

  #endSync(nowMs: number, sender: MemberState, message: SwimMessage): void {
    this.#synced = true
    const rumours = fitting(rumoursOf(this.#beliefs.members, message.wanted), replyBytesMax)
    if (rumours.length > 0) this.#outbox.send(sender, 'gossip', { rumours })
    // There may be more than fitted into the answer.
    if (messageBytes(message) > limits.swimMessageBytesMax / 2) this.#hastenSync(nowMs)
  }

  #hastenSync(nowMs: number): void {
    this.#syncMs = Math.min(this.#syncMs, nowMs + this.#settings.probeIntervalMs)
  }

  // --- gossip

  #gossip(nowMs: number): void {
    const { gossipIntervalMs, gossipFanout } = this.#settings
    this.#gossipMs = nowMs + gossipIntervalMs
    const suits = ({ status, sinceMs }: MemberState): boolean =>
      status === 'alive' || status === 'suspect' || (status === 'dead' && nowMs - sinceMs < limits.swimGossipToDeadMs)
    for (const member of this.#pick(gossipFanout, suits)) {
      if (this.#outbox.queue.hasFor(member.number)) this.#outbox.send(member, 'gossip')
    }
  }

  #publish(nowMs: number): void {
    if (this.#nextMeta === undefined || nowMs - this.#metaMs < this.#settings.probeIntervalMs) return
    if (this.#self.describe(this.#nextMeta)) this.#outbox.queue.put(this.#self.rumour)
    this.#nextMeta = undefined
    this.#metaMs = nowMs
  }

  /** Lifeguard's buddy: the accused hears of it from the accuser, the accuser of its refutation; neither waits for gossip. */
  #warn(nowMs: number, member: MemberState, rumour: Rumour): void {
    if (nowMs - member.toldMs < this.#settings.gossipIntervalMs) return
    member.toldMs = nowMs
    this.#outbox.send(member, 'gossip', { rumours: [rumour] })
  }

  // --- lateness

  /**
   * A node that was paused or starved has heard nothing meanwhile, whoever has spoken. It takes none of that silence
   * for theirs: probes under way are forgotten, suspicions run on only from here, and everything is asked anew.
   */
  #notice(nowMs: number): void {
    const { probeIntervalMs, probeTimeoutMs } = this.#settings
    const lateMs = nowMs - this.#tickedMs - limits.swimTickMs
    // A tick or two late is what timers are on any busy machine.
    if (lateMs <= Math.max(probeTimeoutMs / 2, 2 * limits.swimTickMs)) return
    this.#tickedMs = nowMs
    this.#health.worsen(1 + Math.floor(lateMs / probeIntervalMs))
    this.#beliefs.postpone(lateMs)
    this.#verdictsFromMs = nowMs + 2 * probeIntervalMs
    this.#prober.restart(nowMs)
    this.#syncMs = nowMs
    this.#gossipMs = nowMs
  }

  #pick(count: number, suits: (member: MemberState) => boolean): MemberState[] {
    return this.#beliefs.members.pick(this.#random, count, suits)
  }
}
