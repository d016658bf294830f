/**
 * The load generator of `kv bench`, for programs that measure a store of their own with it: implement `Target`, open a
 * `BenchSession`, `load()`, `measure(…)` as often as wanted.
 */

export { UsageError } from '../exit.js'
export { type Axis, type Chart, type ChartSeries, drawChart, escapeHtml, labelsThatFit, linearTicks } from './chart.js'
export { type LoadClock, systemClock } from './clock.js'
export { type DistributionName, distributionNames } from './distribution.js'
export { type Environment, fileSystemOf, readEnvironment } from './environment.js'
export { ErrorTally } from './error-tally.js'
export { kindNames } from './figures.js'
export { KvTarget, type KvTargetOptions, type LoadClient } from './kv-target.js'
export type { Arrivals } from './open-loop.js'
export { LoadRandom } from './random.js'
export type { Interval } from './recorder.js'
export type {
  BenchReport,
  ErrorSummary,
  KindSummaries,
  KindSummary,
  OpenLoopSummary,
  PhaseReport,
} from './report.js'
export { formatCsv } from './report-csv.js'
export { formatHtml, htmlPage, htmlTable } from './report-html.js'
export { formatTable, textTable } from './report-table.js'
export { type BenchPlan, runBench } from './run.js'
export { BenchSession, type LivePhase, type SessionHooks, UnsupportedError } from './session.js'
export type { DataSettings, Loop, PhaseSettings } from './settings.js'
export { type Spread, spreadOf } from './spread.js'
export {
  type OperationKind,
  operationKinds,
  type ProcessUsage,
  type ScannedEntry,
  type Target,
  type TargetClient,
} from './target.js'
export { localUsage, ownUsage, type Process, processUsage, type Usage, usageBetween } from './usage.js'
export { keyBytes, keyName, keyPrefix, Values, valueBytesMin, WrongValueError } from './values.js'
export { type Mix, parseWorkload, scanEntriesMax, type Workload, workloads } from './workload.js'
