import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { type Epoch, type Incarnation, KvError, limits, type NodeId } from '../../base/index.js'
import { majority } from '../../consensus/index.js'
import type { Clock, Log } from '../../env/index.js'
import { type Handover, Pauses, type Routing } from '../../replication/index.js'
import { type HandoverStep, incomingSlots, slotTables, type Topology, voters } from '../../slots/index.js'
import type { Store } from '../../store/index.js'
import type { TopologyRegister } from '../topology/topology-register.js'
import { begun, cancelled, done, settledStep, switched } from './changes.js'
import { reportFromMessage, reportToMessage } from './handover-codec.js'
import { HandoverJudgement, type HandoverReport } from './handover-judgement.js'
import { Leftovers } from './leftovers.js'

export interface HandoverDriverOptions {
  readonly clock: Clock
  readonly log: Log
  readonly store: Store
  readonly self: { readonly id: NodeId; readonly incarnation: Incarnation }
  readonly register: TopologyRegister
  readonly worker: Handover
  routing(): Routing
  /** Whether there is a link to a member. */
  live(id: NodeId): boolean
  /** Whether nothing runs any more that clients have asked of this node. */
  drained(): boolean
  /** To another member, by whatever link there is; without one nothing happens. */
  send(to: NodeId, part: Partial<PeerMessage>): void
  /** Takes charge of work in the background. */
  guard(work: Promise<void>): void
}

/** How a handover stands, as this node knows. */
export interface HandoverStatus {
  readonly since: Epoch
  readonly step: HandoverStep
  /** What members say of themselves, this one included; who has said nothing yet is missing. Ordered by id. */
  readonly reports: readonly HandoverReport[]
  /** For whom its next step waits; empty: it is about to be taken. */
  readonly waitsFor: readonly NodeId[]
}

/** A step that the topology may take now. */
interface DueStep {
  /** What comes of it; undefined: it is not due any more. */
  readonly take: (topology: Topology) => Topology | undefined
  /** It waits for so long after the epoch before, for what may come together with it. */
  readonly gatherMs: number
}

/**
 * Moves handovers on. Every member runs one: it tells the others how far it is, and proposes the next step to the register
 * when all that the step waits for has been reported. That may be done by several at once, because the register takes
 * a step only once; so that it is mostly done by one, the live voter with the lowest id goes first, and each other one waits
 * longer. Nobody has to be elected, and nothing is lost with whoever dies.
 */
export class HandoverDriver {
  readonly #options: HandoverDriverOptions
  readonly #pauses: Pauses
  readonly #leftovers: Leftovers
  readonly #reports = new Map<NodeId, HandoverReport>()
  /** Incarnations that have left and answered all their clients. */
  readonly #drained = new Set<string>()
  #judgement: { readonly topology: Topology; readonly judgement: HandoverJudgement } | undefined
  /** The handover of which this node has adopted the step `switch`, with all that was admitted before on its disk. */
  #switched: Epoch | undefined
  /** Since when a step from this epoch is due. */
  #due: { readonly epoch: Epoch; readonly sinceMs: number } | undefined
  #proposing = false
  /** What the others were told last, and when. */
  #reported: { readonly report: HandoverReport; readonly atMs: number } | undefined
  #liveBefore = new Set<NodeId>()
  #told = ''

  constructor(options: HandoverDriverOptions) {
    const { clock, log, store, routing } = options
    this.#options = options
    this.#pauses = new Pauses(clock)
    this.#leftovers = new Leftovers({ clock, log, store, routing })
    this.#follow(options.register.topology)
  }

  /** In the same turn in which a topology comes into force. */
  adopted(topology: Topology): void {
    this.#follow(topology)
    this.#leftovers.wake()
    this.#pauses.endAll()
  }

  /** The worker has got on. */
  progressed(): void {
    this.#pauses.endAll()
  }

  /** What another member says of itself. Returns why its link must end, or undefined. */
  received(message: PeerMessage): string | undefined {
    if (message.drained !== '') this.#answered(message.drained)
    if (message.handoverReport === undefined) return undefined
    try {
      const report = reportFromMessage(message.handoverReport)
      // Of members only, so that their number bounds what is kept.
      if (!this.#topology.members.some(({ id }) => id === report.id)) return undefined
      const before = this.#reports.get(report.id)
      this.#reports.set(report.id, report)
      if (isNews(before, report)) this.#pauses.endAll()
      return undefined
    } catch (error) {
      if (error instanceof KvError) return `malformed report on a handover: ${error.message}`
      throw error
    }
  }

  #answered(incarnation: string): void {
    // Of members only, so that their number bounds what is kept. And what is known wakes nobody: two that have both left would
    // answer each other's farewells with their own, as fast as the links are.
    if (this.#drained.has(incarnation)) return
    if (!this.#topology.members.some((member) => member.incarnation === incarnation)) return
    this.#drained.add(incarnation)
    this.#pauses.endAll()
  }

  get streamBytesPerSecond(): number {
    return this.#options.worker.bytesPerSecond
  }

  set streamBytesPerSecond(bytes: number) {
    this.#options.worker.bytesPerSecond = bytes
  }

  /** How the handover that runs stands; undefined: none runs. */
  status(): HandoverStatus | undefined {
    const { handover, members } = this.#topology
    if (handover === undefined) return undefined
    this.#reportSelf(handover.since)
    const reports = members.flatMap(({ id, incarnation }) => {
      const report = this.#reports.get(id)
      return report?.incarnation === incarnation && report.since === handover.since ? [report] : []
    })
    return { since: handover.since, step: handover.step, reports, waitsFor: this.#waitsFor(this.#topology) }
  }

  /**
   * Takes the handover that runs back, and what it was for. Resolves when the topology says so. Rejects with KvError:
   * `invalid-argument` once its new owners are read, or where none runs; `unavailable` without a majority.
   */
  async cancel(): Promise<void> {
    const since = this.#topology.handover?.since
    if (since === undefined) throw new KvError('invalid-argument', 'no handover runs', { field: 'handover' })
    await this.#options.register.change((topology) => cancelled(topology, since), limits.handoverProposeMs)
  }

  /** Works until stopped. Rejects with bugs, DiskErrors and FatalError only. */
  async run(): Promise<void> {
    await Promise.all([this.#drive(), this.#options.worker.run(), this.#leftovers.run()])
  }

  /** Idempotent. */
  stop(): void {
    this.#pauses.stop()
    this.#options.worker.stop()
    this.#leftovers.stop()
  }

  get #topology(): Topology {
    return this.#options.register.topology
  }

  #follow(topology: Topology): void {
    const { self, store, worker } = this.#options
    const { handover, members } = topology
    const incarnations = new Set<string>(members.map(({ incarnation }) => incarnation))
    for (const gone of this.#drained) if (!incarnations.has(gone)) this.#drained.delete(gone)
    if (handover === undefined) {
      worker.follow(undefined)
      this.#reports.clear()
      return
    }
    const { since, step } = handover
    const member = members.findIndex(({ id }) => id === self.id)
    const slots = incomingSlots(topology, slotTables(topology), member)
    worker.follow({ since, slots, streams: step === 'both' })
    if (step !== 'switch' || this.#switched === since) return
    void store.settled().then(() => {
      this.#switched = since
      this.#pauses.endAll()
    })
  }

  async #drive(): Promise<void> {
    while (!this.#pauses.stopped) {
      const topology = this.#topology
      this.#welcomeBack(topology)
      this.#bidFarewell(topology)
      if (topology.handover !== undefined) this.#report(topology)
      const due = this.#dueStep(topology)
      if (due === undefined || this.#due?.epoch !== topology.epoch) this.#due = undefined
      if (due !== undefined) this.#proposeInTurn(topology, due)
      const busy = due !== undefined || topology.handover !== undefined || somebodyWaits(topology)
      await this.#pauses.pause(busy ? limits.handoverReportMs : limits.handoverIdleMs)
    }
  }

  /** Streaming may have waited for somebody who is here again. */
  #welcomeBack({ members }: Topology): void {
    const { live, worker } = this.#options
    const now = new Set(members.filter(({ id }) => live(id)).map(({ id }) => id))
    if ([...now].some((id) => !this.#liveBefore.has(id))) worker.returned()
    this.#liveBefore = now
  }

  #reportSelf(since: Epoch): void {
    const { self, worker } = this.#options
    const progress = worker.progress()
    // While it is not known what is here, it must not look as if nothing came.
    if (progress === undefined) return
    this.#reports.set(self.id, { ...self, ...progress, since, switched: this.#switched === since })
  }

  /** To everybody, when there is news and every now and then: a report that is lost is followed by another. */
  #report({ members, handover }: Topology): void {
    const { clock, self, send, log } = this.#options
    this.#reportSelf(handover!.since)
    const own = this.#reports.get(self.id)
    const nowMs = clock.monotonicMs()
    if (own === undefined) return
    if (!isNews(this.#reported?.report, own) && nowMs - this.#reported!.atMs < limits.handoverReportMs) return
    this.#reported = { report: own, atMs: nowMs }
    const message = reportToMessage(own)
    for (const { id } of members) if (id !== self.id) send(id, { handoverReport: message })
    const told = `${own.since} ${handover!.step} ${own.done === own.slots}`
    if (told === this.#told) return
    this.#told = told
    log.info('a handover runs', { since: own.since, step: handover!.step, slots: own.slots, done: own.done })
  }

  #waitsFor(topology: Topology): readonly NodeId[] {
    if (this.#judgement?.topology !== topology) {
      this.#judgement = { topology, judgement: new HandoverJudgement(topology) }
    }
    const { judgement } = this.#judgement
    const isBoth = topology.handover!.step === 'both'
    return isBoth ? judgement.lacking(this.#reports) : judgement.unswitched(this.#reports)
  }

  #dueStep(topology: Topology): DueStep | undefined {
    const { live } = this.#options
    const { handover } = topology
    if (handover === undefined) {
      const settled = (before: Topology): Topology | undefined => settledStep(before, (id) => this.#mayGo(before, id))
      if (settled(topology) !== undefined) return { take: settled, gatherMs: 0 }
      const take = (before: Topology): Topology | undefined => begun(before, live)
      return take(topology) === undefined ? undefined : { take, gatherMs: limits.handoverGatherMs }
    }
    if (this.#waitsFor(topology).length > 0) return undefined
    const { since, step } = handover
    const take = (before: Topology): Topology | undefined => {
      // An incarnation may have changed meanwhile, and with it what has been reported.
      if (before.handover?.since !== since || this.#waitsFor(before).length > 0) return undefined
      return step === 'both' ? switched(before, since) : done(before, since)
    }
    return { take, gatherMs: 0 }
  }

  /**
   * Whoever has left and lives says when its clients have had their answers. It does not take its own name off: it
   * would end at once, and the others might not hear of what was decided with its vote. And it keeps its vote until
   * those who stay are a majority without it: else one of two that is wiped meanwhile could never come back.
   */
  #mayGo(topology: Topology, id: NodeId): boolean {
    const { live, self } = this.#options
    const { incarnation } = topology.members.find((member) => member.id === id)!
    const staying = voters(topology).filter((voter) => voter.id !== id)
    if (staying.filter((voter) => live(voter.id)).length < majority(staying.length)) return false
    return id !== self.id && (this.#drained.has(incarnation) || !live(id))
  }

  /** Again and again, because the first one may be lost. */
  #bidFarewell({ members }: Topology): void {
    const { drained, self, send } = this.#options
    if (members.find(({ id }) => id === self.id)?.state !== 'left' || !drained()) return
    for (const { id } of members) if (id !== self.id) send(id, { drained: self.incarnation })
  }

  #proposeInTurn(topology: Topology, due: DueStep): void {
    const { clock, guard, live, log, register, self } = this.#options
    const nowMs = clock.monotonicMs()
    this.#due ??= { epoch: topology.epoch, sinceMs: nowMs }
    const before = voters(topology).filter(({ id }) => id < self.id && live(id)).length
    const isVoter = voters(topology).some(({ id }) => id === self.id)
    const afterMs = due.gatherMs + before * limits.handoverTurnMs
    if (!isVoter || this.#proposing || nowMs - this.#due.sinceMs < afterMs) return
    this.#proposing = true
    const { epoch } = topology
    const step = (now: Topology): Topology | undefined => (now.epoch === epoch ? due.take(now) : undefined)
    const proposed = register
      .change(step, limits.handoverProposeMs)
      .catch((error: unknown) => {
        // Without a majority; it is tried again for as long as it is due.
        if (!(error instanceof KvError)) throw error
        log.warn('a step of the topology could not be taken', { epoch, cause: error.message })
      })
      .finally(() => {
        this.#proposing = false
        this.#pauses.endAll()
      })
    guard(proposed)
  }
}

/** A step of the handover may depend on what is new in it. */
function isNews(before: HandoverReport | undefined, now: HandoverReport): boolean {
  if (before?.since !== now.since || before.incarnation !== now.incarnation) return true
  const complete = now.done === now.slots && before.done < before.slots
  return complete || now.switched !== before.switched || now.obstacle !== before.obstacle
}

/** Somebody joins, or a change is planned, and may begin as soon as somebody can be reached. */
function somebodyWaits({ members, planned }: Topology): boolean {
  return planned.length > 0 || members.some(({ state }) => state !== 'serving')
}
