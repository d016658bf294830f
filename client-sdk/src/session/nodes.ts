import type { KvError } from '../errors.js'
import { limits } from '../limits.js'
import { hashOf, type TopologyView } from '../topology/topology.js'
import type { Operation } from './operation.js'
import { Session } from './session.js'
import type { SessionContext } from './session-context.js'

/** The nodes that the client knows, one session each, and the choice between them. */
export class NodePool {
  private readonly context: SessionContext
  private readonly sessions = new Map<string, Session>()
  private readonly seeds: readonly Session[]
  private current: TopologyView | undefined
  /** In the order of the topology's members, so that an index from the owner table leads straight to a session. */
  private members: readonly Session[] = []
  /** Likewise; empty: reads take the owners in their order, wherever they are. */
  private near: readonly boolean[] = []
  private closed: KvError | undefined
  private timer: NodeJS.Timeout | undefined
  private sweptAt = 0

  constructor(context: SessionContext) {
    this.context = context
    this.seeds = context.config.endpoints.map((address) => this.session(address))
  }

  get view(): TopologyView | undefined {
    return this.current
  }

  /** Routes by this topology from now on. Throws `invalid-argument` where the caller's map of addresses fails. */
  adopt(view: TopologyView): void {
    const { zone } = this.context.config
    const members = view.members.map(({ address }) => this.session(this.reachedAt(address)))
    const near = zone === undefined ? [] : view.members.map((member) => member.zone === zone)
    const isNew = view.epoch !== this.current?.epoch
    this.current = view
    this.members = members
    this.near = near.includes(true) ? near : []
    if (isNew) this.context.onTopology(view)
  }

  /** Where a member is reached from here. Throws `invalid-argument` where the caller's map of addresses fails. */
  reachedAt(address: string): string {
    return this.context.config.addressMap(address)
  }

  /** The id of the member at the other end; undefined: none that is known. */
  memberIdOf(session: Session): string | undefined {
    return this.current?.members[this.members.indexOf(session)]?.id
  }

  session(address: string): Session {
    let session = this.sessions.get(address)
    if (session === undefined) {
      session = new Session(address, this.context)
      if (this.closed !== undefined) session.close(this.closed)
      this.sessions.set(address, session)
      this.startSweeping()
    }
    return session
  }

  /** Every session there is. */
  all(): Iterable<Session> {
    return this.sessions.values()
  }

  /**
   * The node to send an operation to: the first owner of its slot that is well, else any node that is. The node that
   * failed it last comes last. Undefined: none is well, wait.
   */
  pick(operation: Operation): Session | undefined {
    return this.pickOwner(operation) ?? this.pickAny(operation.session) ?? usable(operation.session)
  }

  /** Any node that is well, other than `except` where there is a choice; connected ones first. */
  pickAny(except: Session | undefined): Session | undefined {
    return anyOf(this.members, except) ?? anyOf(this.seeds, except) ?? usable(except)
  }

  /** What to tell where all endpoints turn connections away, and no cluster has been reached through them before. */
  refusal(): KvError | undefined {
    if (this.current !== undefined) return undefined
    const refusals = this.seeds.map((session) => session.refusal)
    return refusals.includes(undefined) ? undefined : refusals.at(-1)
  }

  /** All nodes worth asking about the cluster, the likeliest to answer first. */
  candidates(): Session[] {
    const known = [...new Set([...shuffled(this.members), ...shuffled(this.seeds)])]
    return known.sort((a, b) => rank(a) - rank(b))
  }

  close(error: KvError): void {
    this.closed = error
    clearInterval(this.timer)
    for (const session of this.sessions.values()) session.close(error)
  }

  private pickOwner(operation: Operation): Session | undefined {
    const view = this.current
    if (view === undefined) return undefined
    const slot = view.slotOf(hashOf(operation.key))
    const nearby = this.near.length > 0 && operation.mayReadNearby
    return (
      (nearby ? this.ownerOf(view, slot, operation, true) : undefined) ?? this.ownerOf(view, slot, operation, false)
    )
  }

  /** The first owner that is well, and did not fail the operation last. */
  private ownerOf(view: TopologyView, slot: number, operation: Operation, nearby: boolean): Session | undefined {
    for (let i = 0; i < view.ownersPerSlot; i++) {
      const index = view.ownerIndex(slot, i)
      const session = this.members[index]!
      if (nearby && !this.near[index]!) continue
      if (session !== operation.session && !session.avoided) return session
    }
    return undefined
  }

  private startSweeping(): void {
    if (this.timer !== undefined || this.closed !== undefined) return
    this.sweptAt = performance.now()
    this.timer = setInterval(() => this.sweep(), limits.sweepIntervalMs)
    this.timer.unref()
  }

  private sweep(): void {
    const now = performance.now()
    const stoodStill = now - this.sweptAt > 3 * limits.sweepIntervalMs
    this.sweptAt = now
    for (const session of this.sessions.values()) {
      if (stoodStill) session.forgiveSilence(now)
      session.sweep(now)
      if (!session.busy && now - session.lastUsedAt > limits.idleConnectionMs) this.dropIfNoMember(session)
    }
  }

  private dropIfNoMember(session: Session): void {
    if (this.members.includes(session)) return
    if (!this.seeds.includes(session)) this.sessions.delete(session.address)
    // Without a topology the seeds are all there is.
    else if (this.current === undefined) return
    session.rest()
  }
}

function usable(session: Session | undefined): Session | undefined {
  return session === undefined || session.avoided ? undefined : session
}

function rank(session: Session): number {
  if (session.avoided) return 2
  return session.kind === 'up' ? 0 : 1
}

/** Starts anywhere in the list, so that many clients with the same list spread over it. */
function anyOf(sessions: readonly Session[], except: Session | undefined): Session | undefined {
  let found: Session | undefined
  const start = Math.floor(Math.random() * sessions.length)
  for (let i = 0; i < sessions.length; i++) {
    const session = sessions[(start + i) % sessions.length]!
    if (session === except || session.avoided) continue
    if (session.kind === 'up') return session
    found ??= session
  }
  return found
}

function shuffled<T>(items: readonly T[]): T[] {
  const copy = [...items]
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    const item = copy[i]!
    copy[i] = copy[j]!
    copy[j] = item
  }
  return copy
}
