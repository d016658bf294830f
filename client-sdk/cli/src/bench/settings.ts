import { UsageError } from '../exit.js'
import { limits } from '../limits.js'
import type { DistributionName } from './distribution.js'
import type { Arrivals } from './open-loop.js'
import { valueBytesMin } from './values.js'
import type { Workload } from './workload.js'

/** When operations start: when an earlier one has ended, or when they are due. */
export type Loop =
  | { readonly kind: 'closed' }
  | { readonly kind: 'open'; readonly ratePerSecond: number; readonly arrivals: Arrivals }

/** What the store holds before anything is measured, and how it is checked. */
export interface DataSettings {
  /** That are loaded first. */
  readonly keys: number
  readonly valueBytes: number
  /** Check that what is read is what was written: see `Verifier`. */
  readonly verify: boolean
  /** The same seed gives the same operations. */
  readonly seed: string
  /** Each with connections of its own. */
  readonly clients: number
}

/** One measurement. */
export interface PhaseSettings {
  readonly workload: Workload
  /** Default: the workload's. */
  readonly distribution?: DistributionName | undefined
  /** Operations at a time, of each client. In an open loop: at most. */
  readonly inFlight: number
  readonly loop: Loop
  /** Before the measurement, likewise. */
  readonly warmUpMs: number
  readonly durationMs: number
  /** Errors after which the phase ends; `Infinity`: never. Default: `limits.benchErrorsMax`. */
  readonly errorsMax?: number | undefined
}

function check(field: string, value: number, min: number, max: number, whole: boolean): void {
  if (value >= min && value <= max && (!whole || Number.isInteger(value))) return
  const kind = whole ? 'a whole number' : 'a number'
  throw new UsageError(field, `${field} must be ${kind} from ${min} to ${max}, got ${value}`)
}

/** Throws a UsageError that names what is wrong. */
export function checkData({ keys, valueBytes, clients }: DataSettings): void {
  check('keys', keys, 1, limits.benchKeysMax, true)
  check('valueBytes', valueBytes, valueBytesMin, limits.benchValueBytesMax, true)
  check('clients', clients, 1, limits.benchClientsMax, true)
}

/** Throws a UsageError that names what is wrong. */
export function checkPhase({ inFlight, loop, warmUpMs, durationMs }: PhaseSettings, clients: number): void {
  check('inFlight', inFlight, 1, Math.floor(limits.benchInFlightMax / clients), true)
  check('warmUpMs', warmUpMs, 0, limits.benchSecondsMax * 1000, false)
  check('durationMs', durationMs, 1, limits.benchSecondsMax * 1000, false)
  if (loop.kind === 'open') check('ratePerSecond', loop.ratePerSecond, limits.benchRateMin, limits.benchRateMax, false)
}
