import { ClusterService } from '@quorumkv/proto/kv/v1/cluster'
import { KvError } from '../errors.js'
import type { Lifetime } from '../lifetime.js'
import { limits } from '../limits.js'
import type { NodePool } from '../session/nodes.js'
import type { Session } from '../session/session.js'
import { TopologyView } from './topology.js'

/**
 * Keeps the topology that requests are routed by: one round of asking at a time, after a random pause (many clients
 * hear of a change in the same moment), and never in a tight loop (a node may speak of an epoch that no node can show).
 */
export class TopologyKeeper {
  private readonly nodes: NodePool
  private readonly lifetime: Lifetime
  private running: Promise<TopologyView> | undefined
  private timer: NodeJS.Timeout | undefined
  private wantedEpoch = 1
  /** Rounds since the last one that brought what was wanted. */
  private fruitless = 0
  private lastRoundAt = Number.NEGATIVE_INFINITY

  constructor(nodes: NodePool, lifetime: Lifetime) {
    this.nodes = nodes
    this.lifetime = lifetime
  }

  get epoch(): number {
    return this.nodes.view?.epoch ?? 0
  }

  /** Asks in the background, if the topology of this epoch is not there yet. */
  want(epoch: number): void {
    if (epoch <= this.epoch) return
    if (epoch > this.wantedEpoch) this.wantedEpoch = epoch
    this.schedule()
  }

  /** Asks in the background whether anything has changed: a node could not be reached. */
  recheck(): void {
    this.schedule()
  }

  stop(): void {
    clearTimeout(this.timer)
  }

  /** Asks now, or takes part in the round that runs. Ends within the time of a round; rejects with a KvError. */
  fetch(): Promise<TopologyView> {
    this.running ??= this.round().finally(() => {
      this.running = undefined
      this.lastRoundAt = performance.now()
      if (this.epoch < this.wantedEpoch) {
        this.fruitless++
        this.schedule()
      } else this.fruitless = 0
    })
    return this.running
  }

  private schedule(): void {
    if (this.timer !== undefined || this.running !== undefined || this.lifetime.error !== undefined) return
    const jitterMs = this.epoch === 0 && this.fruitless === 0 ? 0 : Math.random() * limits.topologyJitterMs
    const pauseMs = Math.min(limits.topologyPauseMsMax, limits.topologyPauseMsMin * 2 ** Math.min(this.fruitless, 10))
    const delayMs = Math.max(0, this.lastRoundAt + pauseMs - performance.now()) + jitterMs
    this.timer = setTimeout(() => {
      this.timer = undefined
      // A failed round has arranged for the next one; whoever needs its error calls fetch.
      this.fetch().catch(() => undefined)
    }, delayMs)
    this.timer.unref()
  }

  private async round(): Promise<TopologyView> {
    const endAt = performance.now() + limits.topologyRoundMs
    let lastError: unknown
    // Says more than that others could not be reached, and does not pass.
    let refusal: KvError | undefined
    let answered = false
    for (const session of this.nodes.candidates()) {
      const remainingMs = Math.min(limits.topologyAttemptMs, endAt - performance.now())
      if (remainingMs <= 0) break
      try {
        const view = await this.ask(session, remainingMs)
        answered = true
        if (view.epoch >= this.epoch) this.nodes.adopt(view)
        if (this.epoch >= this.wantedEpoch) return this.nodes.view!
      } catch (error) {
        this.lifetime.check()
        lastError = error
        if (isRefusal(error)) refusal ??= error
      }
    }
    // All who answered know no newer one, whatever somebody said.
    if (this.nodes.view !== undefined && answered) return this.nodes.view
    const cause = refusal ?? lastError
    throw new KvError(refusal?.code ?? 'unavailable', `no node gave the topology${reasonOf(cause)}`, { cause })
  }

  private async ask(session: Session, timeoutMs: number): Promise<TopologyView> {
    const node = session.address
    const answer = session.unary(ClusterService.topology, {}, performance.now() + timeoutMs)
    const response = await this.lifetime.within(answer, timeoutMs, undefined, () => {
      return new KvError('timeout', `${node}: gave no topology within ${Math.ceil(timeoutMs)} ms`, { node })
    })
    const view = TopologyView.from(response, node)
    if (view === undefined) throw new KvError('unavailable', `${node}: has no topology yet`, { node })
    const known = this.nodes.view
    if (known !== undefined && known.clusterId !== view.clusterId) {
      const message = `${node}: belongs to cluster ${view.clusterId}, not to ${known.clusterId}`
      throw new KvError('unavailable', message, { node })
    }
    return view
  }
}

function isRefusal(error: unknown): error is KvError {
  return error instanceof KvError && (error.code === 'unauthenticated' || error.code === 'permission-denied')
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? ` (${error.message})` : ''
}
