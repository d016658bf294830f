import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { FatalError, invalidArgument, KvError, limits, type NodeId, type Slot } from '../base/index.js'
import type { Log, Random } from '../env/index.js'
import type { PeerLink } from '../replication/index.js'
import type { TightestSlot, Topology } from '../slots/index.js'
import { type AccessChange, accessAlteration } from './changes/access-changes.js'
import { alteration, mostIncoming, ownedSlots, planOf, tightestOf, type WantedChange } from './changes/change-plan.js'
import { type ForcedPlan, type ForcedRemoval, forcedRemoval } from './changes/forced-removal.js'
import type { HandoverDriver } from './changes/handover-driver.js'
import { objectionToFencing } from './changes/replaceable.js'
import { type StandingReport, Standings, type StandingsOptions } from './gossip/standings.js'
import type { Members, PlanWithEstimate, StopVerdict } from './node-face.js'
import type { Serving } from './serving.js'
import type { TopologyRegister } from './topology/topology-register.js'

export interface OperatorOptions extends Pick<StandingsOptions, 'clock' | 'send'> {
  readonly log: Log
  readonly random: Random
  readonly self: NodeId
  readonly serving: Serving
  readonly register: TopologyRegister
  readonly handovers: HandoverDriver
}

/** What people, and the tools that act for them, ask of a member about the cluster: changes of the ring, and going down. */
export class Operator implements Members {
  readonly #options: OperatorOptions
  readonly #standings: Standings

  constructor(options: OperatorOptions) {
    const { clock, send, self, serving } = options
    this.#options = options
    const lostSlots = (): readonly Slot[] => serving.store.lostSlots()
    const readOnly = (): boolean => serving.store.statistics().readOnly
    this.#standings = new Standings({
      clock,
      self,
      linked: (id) => this.#linked(id),
      send,
      lostSlots,
      readOnly,
      topology: () => this.#topology,
    })
  }

  /** What a message says or asks about copies; `from` answers on the link to it. Nothing in it ends the link. */
  received(from: NodeId | undefined, { standingRequest, standing }: PeerMessage, link: PeerLink): undefined {
    if (standingRequest !== undefined) link.sendNow({ standing: this.#standings.asked(standingRequest) })
    if (standing !== undefined && from !== undefined) this.#standings.answered(from, standing)
  }

  /** Idempotent. What is being asked ends soon. */
  stop(): void {
    this.#standings.stop()
  }

  /** See `Members`. */
  async request(change: WantedChange, timeoutMs: number = limits.returnChangeMs): Promise<void> {
    this.#checkLiveness(change)
    await this.#alter(alteration(this.#topology, change), timeoutMs)
  }

  /** See `Members`. */
  async changeAccess(change: AccessChange, timeoutMs: number = limits.returnChangeMs): Promise<void> {
    await this.#alter(accessAlteration(change), timeoutMs)
  }

  async #alter(alter: (now: Topology) => Topology | undefined, timeoutMs: number): Promise<void> {
    const { register } = this.#options
    try {
      await register.change(alter, Math.min(timeoutMs, limits.returnChangeMs))
    } catch (error) {
      // The process ends for it; who asked has done nothing wrong, and may ask another member.
      if (!(error instanceof FatalError) || error.reason !== 'disk-failed') throw error
      throw new KvError('unavailable', `this node ends: ${error.message}`, { outcome: 'unknown', cause: error })
    }
  }

  /** See `Members`. */
  async plan(change: WantedChange): Promise<PlanWithEstimate> {
    const { handovers, serving, self } = this.#options
    this.#checkLiveness(change)
    const report = await this.#standings.ask()
    const topology = this.#topology
    const fit = (id: NodeId): boolean => id === self || this.#linked(id)
    const plan = planOf(topology, change, fit, (id, slot) => countsBy(report, id, slot))
    const held = ownedSlots(topology, self)
    if (held === 0 || plan.movement === undefined) return { ...plan, bytes: undefined, durationMs: undefined }
    const slotBytes = serving.store.statistics().tableBytes / held
    const durationMs = ((mostIncoming(plan.movement) * slotBytes) / handovers.streamBytesPerSecond) * 1000
    return { ...plan, bytes: Math.round(plan.movement.copies * slotBytes), durationMs: Math.round(durationMs) }
  }

  /** See `Members`. */
  async force(removal: ForcedRemoval, dryRun: boolean): Promise<ForcedPlan> {
    const { log, register, random, self } = this.#options
    const lives = (id: NodeId): boolean => id === self || this.#linked(id)
    const plan = forcedRemoval(register.topology, removal, lives, random.float())
    if (dryRun) return plan
    log.warn('members are removed by force', { ids: removal.ids, epoch: plan.topology.epoch, empty: plan.empty.length })
    await register.adopt(plan.topology)
    return plan
  }

  /** See `Members`. */
  async safeToStop(id: NodeId): Promise<StopVerdict> {
    const report = await this.#standings.ask()
    const topology = this.#topology
    if (!topology.members.some((member) => member.id === id)) throw invalidArgument('id', `${id} is not a member`)
    const counts = (member: NodeId, slot: Slot): boolean => member !== id && countsBy(report, member, slot)
    const tightest = tightestOf(topology, counts, id)
    if (tightest === undefined || tightest.spare >= 0) return { safe: true, reason: '' }
    return { safe: false, reason: this.#whyNot(id, tightest, report) }
  }

  /** See `Members`. */
  drain(): void {
    if (this.draining) return
    this.#options.log.info('draining: requests of clients are sent to other members until this node is started again')
    this.#options.serving.coordinator.stop('this node is being drained')
  }

  get draining(): boolean {
    return this.#options.serving.coordinator.stopped
  }

  get operations(): number {
    return this.#options.serving.coordinator.operations
  }

  get #topology(): Topology {
    return this.#options.register.topology
  }

  #linked(id: NodeId): boolean {
    return this.#options.serving.remote(id)?.up === true
  }

  #whyNot(id: NodeId, { slot, counting, needed, absent, short }: TightestSlot, report: StandingReport): string {
    const names = absent.map((member) => this.#topology.members[member]!.id).filter((member) => member !== id)
    const why = names.map((name) => {
      const copies = report.get(name)
      if (copies === undefined) return `${name} is down`
      return copies.readOnly ? `${name} takes no writes, because its disk is full` : `${name} has lost it`
    })
    const example = `slot ${slot} would have ${counting} of the ${needed} copies that a quorum takes`
    const because = why.length === 0 ? '' : ` (${why.join(', ')})`
    return `${short} of the slots of ${id} would be without a quorum: ${example}${because}`
  }

  #checkLiveness({ kind, id }: WantedChange): void {
    if (kind !== 'decommission' && kind !== 'remove' && kind !== 'replace') return
    const member = this.#topology.members.find((each) => each.id === id)
    if (member === undefined || member.state === 'joining') return
    const lives = id === this.#options.self || this.#linked(member.id)
    if (kind === 'remove' && lives) {
      throw invalidArgument('id', `${id} is alive: decommission it, so that it hands over what it has`)
    }
    if (kind === 'decommission' && !lives) {
      throw invalidArgument('id', `${id} cannot be reached, so it cannot hand over what it has: start it, or remove it`)
    }
    const unfenced = lives ? undefined : objectionToFencing(this.#topology, member)
    if (unfenced !== undefined) throw invalidArgument('id', unfenced)
  }
}

function countsBy(report: StandingReport, id: NodeId, slot: Slot): boolean {
  const copies = report.get(id)
  return copies !== undefined && !copies.readOnly && !copies.lost.has(slot)
}
