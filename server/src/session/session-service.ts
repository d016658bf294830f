import { KvError, limits } from '@quorumkv/internal/base'
import { principalOf } from '../access/guarded-server.js'
import { toStatus } from '../calls/errors.js'
import { reportBug, requireNode, type ServiceContext } from '../calls/service-context.js'
import { ResultBudget } from './result-budget.js'
import { Session, type SessionCall } from './session.js'

/** A client with a broken clock sends its reading with every message; once a minute is enough to hear of it. */
const driftLogIntervalMs = 60_000

/** So many places are made at most for one look at all sessions. */
const idleKept = 256

/** All sessions of a node. */
export class SessionService {
  readonly #context: ServiceContext
  readonly #sessions = new Set<Session>()
  readonly #budget = new ResultBudget()
  /** Some that had asked nothing for longest when all were looked at, and since when, the longest last. */
  #idle: [Session, number][] = []
  #driftLoggedMs = Number.NEGATIVE_INFINITY
  #closedBecause: string | undefined

  constructor(context: ServiceContext) {
    this.#context = context
    context.access.onChange(() => {
      for (const session of this.#sessions) session.checkPrincipal()
    })
  }

  /** How many are open. */
  get size(): number {
    return this.#sessions.size
  }

  /** Bytes of results that wait for clients, also of sessions that have ended meanwhile. */
  get heldBytes(): number {
    return this.#budget.heldBytes
  }

  /** Takes a new stream. */
  serve(call: SessionCall): void {
    try {
      if (this.#closedBecause !== undefined) throw new KvError('unavailable', this.#closedBecause)
      if (this.#sessions.size >= limits.sessionsMax && !this.#closeIdle()) {
        throw new KvError('overloaded', `the node has ${limits.sessionsMax} sessions already, and all are busy`)
      }
      const session: Session = new Session({
        call,
        principal: principalOf(call, this.#context.access),
        node: requireNode(this.#context),
        context: this.#context,
        budget: this.#budget,
        readers: this.#context.readers,
        onDriftingClient: (peer) => this.#logDrift(peer),
        onClose: () => this.#sessions.delete(session),
      })
      this.#sessions.add(session)
    } catch (error) {
      reportBug(this.#context, error)
      call.emit('error', toStatus(error, 'read'))
    }
  }

  /** Tells every client that its operations are to go elsewhere. Idempotent. */
  drain(): void {
    for (const session of this.#sessions) session.drain()
  }

  /** Ends every session in order, and refuses new ones. Idempotent. */
  close(reason: string): void {
    this.#closedBecause ??= reason
    this.hangUp(reason)
  }

  /** Ends every session that is open now. */
  hangUp(reason: string): void {
    for (const session of this.#sessions) session.close(reason)
  }

  /** A client that asks nothing opens its session again when it does: strangers who sit there keep nobody out. */
  #closeIdle(): boolean {
    const longest = this.#nextIdle() ?? (this.#findIdle() ? this.#nextIdle() : undefined)
    longest?.close('this session asked nothing for longest, and others need its place')
    return longest !== undefined
  }

  /** Of those that were found the next one that has asked nothing since. */
  #nextIdle(): Session | undefined {
    for (let next = this.#idle.pop(); next !== undefined; next = this.#idle.pop()) {
      const [session, sinceMs] = next
      if (this.#sessions.has(session) && session.idleSinceMs === sinceMs) return session
    }
    return undefined
  }

  /** Looks at all sessions for some of those that have asked nothing for longest: a thousand may be opened in one turn. */
  #findIdle(): boolean {
    const idle: [Session, number][] = []
    for (const session of this.#sessions) {
      const { idleSinceMs } = session
      if (idleSinceMs !== undefined) idle.push([session, idleSinceMs])
    }
    idle.sort(([, one], [, other]) => one - other)
    this.#idle = idle.slice(0, idleKept).reverse()
    return idle.length > 0
  }

  #logDrift(peer: string): void {
    const nowMs = this.#context.clock.monotonicMs()
    if (nowMs - this.#driftLoggedMs < driftLogIntervalMs) return
    this.#driftLoggedMs = nowMs
    this.#context.log.warn('a client sent a clock reading too far ahead of our clock; it was not merged', { peer })
  }
}
