import type { Environment } from '@quorumkv/cli/bench'
import type { LatencySummary } from './store-meters.js'

/** What can be measured of one node's store; in the order in which it is. */
export const figureNames = ['stress', 'put-get', 'memory', 'snapshot', 'recovery', 'commits'] as const
export type FigureName = (typeof figureNames)[number]

export type Unit = '/s' | 'MB/s' | 'B' | 'ms' | 'writes'

/** What the store is to keep. */
export interface Budget {
  readonly bound: 'at least' | 'at most'
  readonly value: number
}

export const budgets: Readonly<
  Record<'putPerSecond' | 'getPerSecond' | 'entryBytes' | 'recoveredPerSecond' | 'stallMs', Budget>
> = {
  putPerSecond: { bound: 'at least', value: 1_500_000 },
  getPerSecond: { bound: 'at least', value: 3_000_000 },
  /** Over key and value. */
  entryBytes: { bound: 'at most', value: 64 },
  recoveredPerSecond: { bound: 'at least', value: 1_500_000 },
  /** Of the event loop, while a snapshot is taken. */
  stallMs: { bound: 'at most', value: 20 },
}

/** One figure, before it is held against its budget. */
export interface Measurement {
  readonly name: string
  readonly value: number
  readonly unit: Unit
  /** Where it was measured in several rounds: the lowest and the highest; `value` is then the median. */
  readonly range?: { readonly min: number; readonly max: number }
  /** Of one operation, in microseconds. */
  readonly latencyUs?: LatencySummary
  readonly budget?: Budget
}

export interface Verdict {
  readonly met: boolean
  /** The value over the budget's. */
  readonly ratio: number
}

export type JudgedMeasurement = Measurement & { readonly verdict?: Verdict }

/** What was measured on one store. */
export interface Section {
  readonly figure: FigureName
  /** What was done, in words. */
  readonly title: string
  readonly measurements: readonly JudgedMeasurement[]
}

/** What was measured, and on what. */
export interface StoreReport {
  readonly benchmark: 'store'
  readonly startedAt: string
  readonly form: 'quick' | 'full'
  readonly environment: Environment
  /** Where the stores were kept. */
  readonly fileSystem: string
  readonly keyBytes: number
  readonly valueBytes: number
  readonly seed: string
  readonly sections: readonly Section[]
}

/** Holds a measurement against its budget, if it has one. A bound that is just reached is met. */
export function judge(measurement: Measurement): JudgedMeasurement {
  const { value, budget } = measurement
  if (budget === undefined) return measurement
  const met = budget.bound === 'at least' ? value >= budget.value : value <= budget.value
  return { ...measurement, verdict: { met, ratio: value / budget.value } }
}
