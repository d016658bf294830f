import { KvError, limits } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import type { Clock } from '@quorumkv/internal/env'
import { type FiguresResponse, Liveness, type MemberView } from '@quorumkv/proto/kv/v1/cluster'
import type { CalledMember } from '../calls/member-calls.js'
import { clusterFacts, handoverView, livenessOf, ringView } from './cluster-view.js'
import { EventLog } from './events.js'
import type { ViewSource } from './feed.js'
import { healthOf, type Observed } from './health.js'
import { opinionOf, steady, type Told, toldParts } from './node-view.js'
import { type ClusterView, eventsKept, type NodeView, type RingView } from './view.js'

/** The last moment that a `Date` can hold. */
const dateMsMax = 8_640_000_000_000_000

export interface CollectorOptions {
  readonly clock: Clock
  readonly node: () => Node | undefined
  /** What this node measures of itself. */
  readonly own: (node: Node, eventsAfter: bigint) => FiguresResponse
  /** What another member measures of itself. Rejects with a KvError that says why it does not answer. */
  readonly ask: (member: CalledMember, eventsAfter: bigint) => Promise<FiguresResponse>
  /** Nobody is asked any more for now. */
  readonly hangUp: () => void
  readonly replaceAfterMs: number
  readonly onBug: (error: unknown) => void
}

/** What is known of one member. */
class Known {
  told: Told | undefined
  /** On the monotonic clock. */
  heardMs = Number.NEGATIVE_INFINITY
  obstacle = ''
  asking: Promise<void> | undefined
  lastEvent = 0n
  view: NodeView | undefined

  take(now: FiguresResponse, nowMs: number): void {
    const last = this.told?.now
    const restarted = last !== undefined && now.uptimeMs < last.uptimeMs
    // It counts its events from 1 again.
    if (restarted) this.lastEvent = 0n
    else this.lastEvent = now.events.at(-1)?.number ?? this.lastEvent
    this.told = { now, before: restarted ? undefined : last }
    this.heardMs = nowMs
    this.obstacle = ''
  }
}

/**
 * Looks at the cluster through one node: the topology and who is alive as that node sees it, and of each member what it
 * measures of itself. Members are asked all at once; one that does not answer in time is passed over, and asked again only
 * when it has answered or failed.
 */
export class Collector implements ViewSource {
  readonly #options: CollectorOptions
  #known = new Map<string, Known>()
  #events = new EventLog()
  #ring: { readonly of: unknown; readonly view: RingView } | undefined

  constructor(options: CollectorOptions) {
    this.#options = options
  }

  async view(): Promise<ClusterView> {
    const { clock, node: current, own } = this.#options
    const node = current()
    if (node?.topology !== undefined) {
      const asked = this.#ask(node)
      await Promise.race([Promise.all(asked), new Promise<void>((done) => clock.setTimer(limits.feedGatherMs, done))])
    }
    if (node !== undefined) this.#take(node.id, this.#of(node.id), own(node, this.#of(node.id).lastEvent))
    const observed = this.#observe(node)
    return { ...observed, health: healthOf(observed) }
  }

  rest(): void {
    this.#known = new Map()
    this.#events = new EventLog()
    this.#options.hangUp()
  }

  #of(id: string): Known {
    const known = this.#known.get(id) ?? new Known()
    this.#known.set(id, known)
    return known
  }

  #ask(node: Node): Promise<void>[] {
    const members = node.topology?.members ?? []
    const ids = new Set<string>(members.map(({ id }) => id))
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id)
    return members.flatMap((member) => {
      if (member.id === node.id) return []
      const known = this.#of(member.id)
      const { status } = node.liveness(member)
      if (status === 'dead' || status === 'left') {
        known.obstacle = status === 'dead' ? 'it is dead' : 'it was stopped'
        return []
      }
      known.asking ??= this.#askOne(member, known)
      return [known.asking]
    })
  }

  async #askOne(member: CalledMember, known: Known): Promise<void> {
    try {
      const figures = await this.#options.ask(member, known.lastEvent)
      // Otherwise it was asked before everybody left, and would tell its events twice.
      if (this.#known.get(member.id) === known) this.#take(member.id, known, figures)
    } catch (error) {
      if (error instanceof KvError) known.obstacle = error.message
      else this.#options.onBug(error)
    } finally {
      known.asking = undefined
    }
  }

  #take(id: string, known: Known, figures: FiguresResponse): void {
    known.take(figures, this.#options.clock.monotonicMs())
    const told = figures.events.slice(-eventsKept).map(({ atMs, kind, subject, text }) => {
      return { atMs: Math.max(0, Math.min(Number(atMs), dateMsMax)), kind, subject, text }
    })
    this.#events.add(id, told)
  }

  #observe(node: Node | undefined): Observed {
    const { clock, replaceAfterMs } = this.#options
    return {
      atMs: clock.wallMs(),
      self: node?.id ?? '',
      cluster: clusterFacts(node, replaceAfterMs),
      ring: this.#ringOf(node),
      handover: node === undefined ? null : handoverView(node),
      nodes: node === undefined ? {} : this.#nodes(node),
      events: this.#events.events,
    }
  }

  #ringOf(node: Node | undefined): RingView {
    const { topology } = node ?? {}
    if (this.#ring === undefined || this.#ring.of !== topology) this.#ring = { of: topology, view: ringView(node) }
    return this.#ring.view
  }

  #nodes(node: Node): Record<string, NodeView> {
    const opinions = this.#opinions()
    const nodes: Record<string, NodeView> = {}
    for (const member of node.topology?.members ?? []) {
      const { id, number, address, zone, weight, incarnation, state } = member
      const known = this.#of(id)
      const { told, view: before } = known
      const { status, forMs } = livenessOf(node, member)
      const same = before?.member.liveness === status
      const sinceMs = Math.round(this.#options.clock.wallMs() - forMs)
      const silentMs = this.#options.clock.monotonicMs() - known.heardMs
      const ok = known.obstacle === '' && silentMs < limits.feedSilentMs
      const parts = told === undefined ? {} : toldParts(told, before)
      known.view = {
        member: {
          number,
          address,
          zone,
          weight,
          incarnation,
          state,
          liveness: status,
          linked: id === node.id || node.linked(id),
          sinceMs: same ? steady(before.member.sinceMs, sinceMs) : sinceMs,
        },
        telling: { ok, obstacle: ok ? '' : known.obstacle || 'it has not answered yet' },
        opinion: opinionOf(opinions.get(id) ?? [], ({ liveness }) => liveness === Liveness.ALIVE),
        ...parts,
      }
      nodes[id] = known.view
    }
    return nodes
  }

  /** What those who answer say of each member. */
  #opinions(): ReadonlyMap<string, MemberView[]> {
    const opinions = new Map<string, MemberView[]>()
    const nowMs = this.#options.clock.monotonicMs()
    for (const { told, heardMs } of this.#known.values()) {
      if (told === undefined || nowMs - heardMs >= limits.feedSilentMs) continue
      for (const view of told.now.members) {
        const views = opinions.get(view.id)
        if (views === undefined) opinions.set(view.id, [view])
        else views.push(view)
      }
    }
    return opinions
  }
}
