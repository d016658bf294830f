import type {
  ErrorCode,
  Instruments,
  KvError,
  OperationInstrument,
  OperationKind,
  QuorumLevel,
} from '../../base/index.js'
import type { Clock } from '../../env/index.js'
import type { OperationOptions } from './operations.js'
import type { OperationContext } from './routing.js'

/**
 * Counts how the operations of one kind end that this node coordinates, and tells of those that took long. One object for
 * each kind, not for each operation.
 */
export class OperationMeter {
  readonly #clock: Clock
  readonly #kind: OperationKind
  readonly #instrument: OperationInstrument
  readonly #quorumFailures: Record<QuorumLevel, number>
  readonly #watch: Instruments['slow']
  readonly #slowMs: number

  constructor({ clock, instruments }: Pick<OperationContext, 'clock' | 'instruments'>, kind: OperationKind) {
    this.#clock = clock
    this.#kind = kind
    this.#instrument = instruments.coordinated[kind]
    this.#quorumFailures = instruments.quorumFailures[kind]
    this.#watch = instruments.slow
    this.#slowMs = this.#watch?.thresholdMs ?? Number.POSITIVE_INFINITY
  }

  /** One that began then and has ended now, in monotonic milliseconds; `key`: or the prefix of a scan. */
  succeeded(startedMs: number, nowMs: number, key: Uint8Array, options: OperationOptions): void {
    this.#instrument.succeeded(startedMs, nowMs)
    if (nowMs - startedMs >= this.#slowMs) this.#tell(nowMs - startedMs, key, options, undefined)
  }

  failed(startedMs: number, key: Uint8Array, options: OperationOptions, { code }: KvError): void {
    this.#instrument.failed(code)
    if (code === 'unavailable' || code === 'timeout') this.#quorumFailures[options.consistency]++
    const tookMs = this.#clock.monotonicMs() - startedMs
    if (tookMs >= this.#slowMs) this.#tell(tookMs, key, options, code)
  }

  /** One that was not admitted: it has failed, but no quorum is to blame. */
  refused({ code }: KvError): void {
    this.#instrument.failed(code)
  }

  #tell(
    tookMs: number,
    key: Uint8Array,
    { consistency: level, request }: OperationOptions,
    code: ErrorCode | undefined,
  ): void {
    this.#watch?.slow({ kind: this.#kind, level, key, tookMs, code, request })
  }
}

/** One for each kind, over the instruments of a node. */
export function operationMeters(context: OperationContext): Readonly<Record<OperationKind, OperationMeter>> {
  const meter = (kind: OperationKind): OperationMeter => new OperationMeter(context, kind)
  return { get: meter('get'), put: meter('put'), delete: meter('delete'), scan: meter('scan') }
}
