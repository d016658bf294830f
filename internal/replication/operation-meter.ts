import type { KvError, OperationInstrument, OperationKind, QuorumLevel } from '../base/index.js'
import type { Clock } from '../env/index.js'
import type { Consistency } from './operations.js'
import type { OperationContext } from './routing.js'

/** Counts how the operations of one kind end that this node coordinates. One object for each kind, not for each operation. */
export class OperationMeter {
  readonly #clock: Clock
  readonly #instrument: OperationInstrument
  readonly #quorumFailures: Record<QuorumLevel, number>

  constructor(clock: Clock, instrument: OperationInstrument, quorumFailures: Record<QuorumLevel, number>) {
    this.#clock = clock
    this.#instrument = instrument
    this.#quorumFailures = quorumFailures
  }

  /** One that began then, in monotonic milliseconds. */
  succeeded(startedMs: number): void {
    this.#instrument.succeeded(startedMs, this.#clock.monotonicMs())
  }

  failed({ code }: KvError, consistency: Consistency): void {
    this.#instrument.failed(code)
    if (code === 'unavailable' || code === 'timeout') this.#quorumFailures[consistency]++
  }

  /** One that was not admitted: it has failed, but no quorum is to blame. */
  refused({ code }: KvError): void {
    this.#instrument.failed(code)
  }
}

/** One for each kind, over the instruments of a node. */
export function operationMeters({
  clock,
  instruments,
}: OperationContext): Readonly<Record<OperationKind, OperationMeter>> {
  const { coordinated, quorumFailures } = instruments
  const meter = (kind: OperationKind): OperationMeter =>
    new OperationMeter(clock, coordinated[kind], quorumFailures[kind])
  return { get: meter('get'), put: meter('put'), delete: meter('delete'), scan: meter('scan') }
}
