import { type LaneContext, noMore, runLane } from './lane.js'
import type { TargetClient } from './target.js'

/** What ends a loop. */
export interface LoopEnd {
  /** No operation starts after this, on the lanes' clock. */
  readonly deadlineMs: number
  /** Ends it early, after what is in flight has ended. */
  readonly signal: AbortSignal
}

/**
 * Does operations in a closed loop: each of `inFlight` lanes per client starts an operation when its last one has ended.
 * A store that stalls is so asked less, and the latencies tell less than an open loop's would about those who would have
 * asked meanwhile ("coordinated omission"). Resolves to when the last operation ended.
 */
export async function runClosedLoop(
  clients: readonly TargetClient[],
  inFlight: number,
  shared: Omit<LaneContext, 'nextDue'>,
  { deadlineMs, signal }: LoopEnd,
): Promise<number> {
  const { errors, clock } = shared
  const nextDue = (nowMs: number): number => (nowMs >= deadlineMs || signal.aborted || errors.isFull ? noMore : nowMs)
  const context: LaneContext = { ...shared, nextDue }
  const firstDue = nextDue(clock.now())
  const lanes: Promise<number>[] = []
  // Client by client in turn: a workload that ends soon has used them all alike.
  for (let lane = 0; lane < inFlight; lane++) {
    for (const client of clients) lanes.push(runLane(client, context, firstDue))
  }
  return Math.max(...(await Promise.all(lanes)))
}
