import { limits } from '../base/index.js'
import type { Random } from '../env/index.js'
import type { LocalHealth } from './local-health.js'
import { type MemberState, type MemberTable, shuffle } from './members.js'

/** What probing needs of the node around it. */
export interface ProberPort {
  readonly members: MemberTable
  readonly health: LocalHealth
  readonly random: Random
  /** `target`: the member asked, or asked about. */
  send(to: MemberState, kind: 'ping' | 'pingRequest' | 'ack' | 'nack', seq: number, target: number): void
  /** No answer in time, direct or by others. */
  failed(nowMs: number, member: MemberState): void
}

export interface ProberTimes {
  readonly probeIntervalMs: number
  readonly probeTimeoutMs: number
}

/** The one probe that runs. */
interface Probe {
  readonly seq: number
  readonly target: number
  /** From then on others are asked to try. */
  readonly indirectMs: number
  /** From then on it has failed. */
  readonly endMs: number
  /** The helpers that were asked, and those of them that said that they had no answer either. */
  readonly asked: number[]
  readonly nacked: Set<number>
}

/** A ping on behalf of another member. */
interface Errand {
  readonly target: number
  readonly asker: number
  readonly askerSeq: number
  readonly nackMs: number
  readonly endMs: number
}

/**
 * Failure detection proper: one member after the other is asked, in a random order that is drawn anew when all have had
 * their turn, so that each is asked within a bounded time (SWIM, 4.3). Who does not answer is asked again through others.
 */
export class Prober {
  readonly #port: ProberPort
  readonly #times: ProberTimes
  #seq: number
  #probe: Probe | undefined
  #nextMs: number
  #begunMs = Number.NEGATIVE_INFINITY
  /** Members that wait for their turn; the next one is the last. */
  #turns: number[] = []
  /** Errands by the seq of our own ping. */
  readonly #errands = new Map<number, Errand>()

  constructor(nowMs: number, times: ProberTimes, port: ProberPort) {
    this.#port = port
    this.#times = times
    this.#seq = port.random.u32()
    // Nodes that were started together do not probe in step.
    this.#nextMs = nowMs + port.random.float() * times.probeIntervalMs
  }

  /** Never 0, and not the same again for a long time: no late answer is taken for that to another question. */
  nextSeq(): number {
    this.#seq = (this.#seq % 0xffff_ffff) + 1
    return this.#seq
  }

  /** Members that are new have their first turn at random (SWIM, 4.3). */
  enlist(numbers: readonly number[]): void {
    // Who is no member any more has no turn to wait for.
    const waiting = this.#turns.filter((number) => this.#port.members.get(number) !== undefined)
    this.#turns = [...waiting, ...numbers]
    shuffle(this.#port.random, this.#turns)
  }

  /** There is reason to doubt this member: it has its turn next, and soon, but no two probes begin at once. */
  hasten(nowMs: number, number: number): void {
    this.#turns = this.#turns.filter((each) => each !== number)
    this.#turns.push(number)
    this.#nextMs = Math.min(this.#nextMs, Math.max(nowMs, this.#begunMs + this.#times.probeTimeoutMs))
  }

  /** After a pause of this node: whatever was under way has lost its meaning. The next probe begins now. */
  restart(nowMs: number): void {
    this.#probe = undefined
    this.#errands.clear()
    this.#nextMs = nowMs
  }

  tick(nowMs: number): void {
    for (const [seq, errand] of this.#errands) this.#tickErrand(nowMs, seq, errand)
    const probe = this.#probe
    if (probe !== undefined && nowMs >= probe.indirectMs && probe.asked.length === 0) this.#askOthers(probe)
    if (probe !== undefined && nowMs >= probe.endMs) this.#fail(nowMs, probe)
    if (this.#probe === undefined && nowMs >= this.#nextMs) this.#begin(nowMs)
  }

  /** Somebody's probe goes through us. */
  help(nowMs: number, asker: MemberState, askerSeq: number, number: number): void {
    const target = this.#port.members.get(number)
    if (target === undefined || this.#errands.size >= limits.swimErrandsMax) {
      this.#port.send(asker, 'nack', askerSeq, number)
      return
    }
    const { probeTimeoutMs } = this.#times
    const seq = this.nextSeq()
    // Before the asker gives up (Lifeguard: 80 % of the timeout), so that it learns that its own line is well.
    const nackMs = nowMs + 0.8 * probeTimeoutMs
    const endMs = nowMs + probeTimeoutMs * (limits.swimHealthMax + 1)
    this.#errands.set(seq, { target: number, asker: asker.number, askerSeq, nackMs, endMs })
    this.#port.send(target, 'ping', seq, number)
  }

  acked(nowMs: number, from: MemberState, seq: number): void {
    const probe = this.#probe
    if (probe?.seq === seq) {
      if (from.number === probe.target) from.ackedMs = nowMs
      else if (!probe.asked.includes(from.number)) return
      this.#probe = undefined
      this.#port.health.improve()
      return
    }
    const errand = this.#errands.get(seq)
    if (errand === undefined || errand.target !== from.number) return
    from.ackedMs = nowMs
    this.#errands.delete(seq)
    const asker = this.#port.members.get(errand.asker)
    if (asker !== undefined) this.#port.send(asker, 'ack', errand.askerSeq, errand.target)
  }

  nacked(from: MemberState, seq: number): void {
    const probe = this.#probe
    if (probe?.seq === seq && probe.asked.includes(from.number)) probe.nacked.add(from.number)
  }

  /** The asker may have heard `nack` when the answer comes after all, and still has time for it if it is slow. */
  #tickErrand(nowMs: number, seq: number, errand: Errand): void {
    const { target, asker, askerSeq, nackMs, endMs } = errand
    if (nowMs >= nackMs) {
      const to = this.#port.members.get(asker)
      if (to !== undefined) this.#port.send(to, 'nack', askerSeq, target)
      this.#errands.set(seq, { ...errand, nackMs: Number.POSITIVE_INFINITY })
    }
    if (nowMs >= endMs) this.#errands.delete(seq)
  }

  #askOthers(probe: Probe): void {
    const { members, random } = this.#port
    const suits = ({ number, status }: MemberState): boolean => number !== probe.target && status === 'alive'
    for (const helper of members.pick(random, limits.swimHelpersMax, suits)) {
      probe.asked.push(helper.number)
      this.#port.send(helper, 'pingRequest', probe.seq, probe.target)
    }
  }

  #fail(nowMs: number, probe: Probe): void {
    this.#probe = undefined
    const { members, health } = this.#port
    const member = members.get(probe.target)
    if (member === undefined || member.status === 'dead' || member.status === 'left') return
    this.#port.failed(nowMs, member)
    // Helpers that are silent as well speak against this node's own line rather than against the target.
    health.worsen(probe.asked.length === 0 ? 1 : probe.asked.length - probe.nacked.size)
  }

  #begin(nowMs: number): void {
    const { probeIntervalMs, probeTimeoutMs } = this.#times
    const { factor } = this.#port.health
    const target = this.#nextTarget()
    const window = Math.max(probeIntervalMs, 2 * probeTimeoutMs) * factor
    this.#nextMs = nowMs + (target === undefined ? probeIntervalMs : window)
    if (target === undefined) return
    this.#begunMs = nowMs
    const seq = this.nextSeq()
    const indirectMs = nowMs + probeTimeoutMs * factor
    this.#probe = {
      seq,
      target: target.number,
      indirectMs,
      endMs: nowMs + window,
      asked: [],
      nacked: new Set(),
    }
    this.#port.send(target, 'ping', seq, target.number)
  }

  #nextTarget(): MemberState | undefined {
    const { members, random } = this.#port
    for (let rounds = 0; rounds < 2; rounds++) {
      for (let number = this.#turns.pop(); number !== undefined; number = this.#turns.pop()) {
        const member = members.get(number)
        if (member !== undefined && (member.status === 'alive' || member.status === 'suspect')) return member
      }
      this.#turns = members.all.map(({ number }) => number)
      shuffle(random, this.#turns)
    }
    return undefined
  }
}
