import type { LoadClock } from './clock.js'
import type { ErrorTally } from './error-tally.js'
import type { KeySpace } from './key-space.js'
import type { Recorder } from './recorder.js'
import type { OperationKind, TargetClient } from './target.js'
import type { KeyNames } from './values.js'
import type { Verifier } from './verifier.js'
import type { OperationSource } from './workload.js'

/** What the lanes of one phase share. */
export interface LaneContext {
  readonly source: OperationSource
  readonly verifier: Verifier
  readonly names: KeyNames
  readonly keys: KeySpace
  readonly recorder: Recorder
  /** Latencies from the actual start, where `recorder` has those from the intended start. */
  readonly service?: Recorder | undefined
  readonly errors: ErrorTally
  readonly clock: LoadClock
  /**
   * When the operation that follows one that ended at `endedMs` was due to begin, not after now; `noMore`: none follows.
   */
  nextDue(endedMs: number): number
  /**
   * Read the clock again before each operation: what the generator does between two of them, checking one value and
   * making the next, is then no part of the later one. Worth its 40 ns where values are large.
   */
  readonly twoReadings: boolean
}

/** No operation follows. Times are never negative. */
export const noMore = -1

/**
 * Does operations one after the other, the first one due at `firstDueMs`, until none follows. Resolves to when the last
 * one ended. What fails is tallied; it never rejects.
 *
 * One function with its state in local variables, awaiting the target's own promises: nothing else is allocated for an
 * operation but its value.
 */
export async function runLane(client: TargetClient, context: LaneContext, firstDueMs: number): Promise<number> {
  const { source, verifier, names, keys, recorder, service, errors, clock, twoReadings } = context
  let due = firstDueMs
  let ended = clock.now()
  while (due !== noMore && source.advance()) {
    const kind: OperationKind = source.kind
    const key = source.key
    let started = twoReadings ? clock.now() : ended
    // 0: no write was begun. Without verification writes have no numbers, and nothing hangs on them.
    let write = 0
    try {
      if (kind === 'read') {
        const floor = verifier.floor(key)
        const value = await client.read(names.of(key))
        ended = clock.now()
        verifier.check(key, value, floor)
      } else if (kind === 'scan') {
        await client.scan!(source.scanStart, source.scanCount, verifier.checkScanned)
        ended = clock.now()
      } else {
        if (kind === 'readModifyWrite') {
          const floor = verifier.floor(key)
          verifier.check(key, await client.read(names.of(key)), floor)
        }
        write = verifier.begin(key)
        const settled = verifier.settledBelow(key)
        const value = verifier.value(key, write)
        if (twoReadings && kind !== 'readModifyWrite') started = clock.now()
        await client.write(names.of(key), value)
        ended = clock.now()
        verifier.acknowledged(key, write, settled)
      }
      // An operation of a closed loop is due when it is started.
      recorder.record(kind, ended - (service === undefined ? started : due))
      service?.record(kind, ended - started)
    } catch (error) {
      ended = clock.now()
      if (write !== 0) verifier.failed(key, write, error)
      errors.add(error)
      // What is refused at once ends without the event loop: a backlog of such would keep answers from coming in.
      await clock.turn()
    }
    if (kind === 'insert') keys.ended(key)
    due = context.nextDue(ended)
  }
  return ended
}
