import { constants } from 'node:os'
import { formatTable } from '@quorumkv/cli/bench'
import { Command, CommanderError } from 'commander'
import { runClusterBenchmark, writeFiles } from './cluster-benchmark.js'
import { addGrowthOptions, formatGrowthReport } from './growth/command.js'
import { type GrowthSettings, runGrowth } from './growth/run.js'
import { addReportOptions, type ReportSettings, writeReport } from './history/command.js'
import { clusterRun, growthRun, microRun, modelRun, peersRun, storeRun } from './history/figures.js'
import { type HistoryRun, recordRun } from './history/history.js'
import { addMicroOptions, formatMicroReport } from './micro/command.js'
import { type MicroSettings, runMicroBenchmark } from './micro/run.js'
import { addModelOptions, formatModelReport } from './model/command.js'
import { type ModelSettings, runModelBenchmark } from './model/run.js'
import { addClusterOptions, type ClusterSettings } from './options.js'
import { addOverloadOptions, formatOverloadReport } from './overload/command.js'
import { type OverloadSettings, runOverload } from './overload/run.js'
import { addOverwriteOptions, formatOverwriteReport } from './overwrite/command.js'
import { type OverwriteSettings, runOverwrite } from './overwrite/run.js'
import { addPathOptions } from './path/command.js'
import { formatPathReport, type PathSettings, runPathBenchmark } from './path/path-benchmark.js'
import { addPeersOptions } from './peers/command.js'
import { type PeersSettings, runPeersBenchmark } from './peers/peers-benchmark.js'
import { formatPeersReport } from './peers/peers-report.js'
import { reportJson } from './report-json.js'
import { runStoreBenchmark } from './store-benchmark.js'
import { formatStoreReport } from './store-format.js'
import { addStoreOptions, type StoreSettings } from './store-options.js'
import { addSwimOptions, formatSwimReport, runSwimBenchmark, type SwimBenchmarkSettings } from './swim-benchmark.js'

/** 0: measured, and every operation was right. Ended by a signal: 128 and its number, as shells report it. */
const exitStatus = { done: 0, failed: 1, usage: 2 } as const

class InterruptedError extends Error {
  override readonly name = 'InterruptedError'
  readonly status: number

  constructor(signal: NodeJS.Signals) {
    super(`ended by ${signal}`)
    this.status = 128 + constants.signals[signal]
  }
}

/** Aborted by the first Ctrl-C, SIGTERM or SIGHUP, which lets what was started be stopped; a second one ends this process at once. */
function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      const error = new InterruptedError(name)
      if (controller.signal.aborted) process.exit(error.status)
      controller.abort(error)
    })
  }
  return controller.signal
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Keeps what was measured, where that was asked for. */
async function keep(isAskedFor: boolean, run: HistoryRun): Promise<void> {
  if (!isAskedFor) return
  await recordRun(run)
  progress('recorded in bench/history/runs.ndjson')
}

async function cluster(settings: ClusterSettings): Promise<void> {
  const signal = interruption()
  const report = await runClusterBenchmark(settings, signal, progress)
  process.stdout.write(settings.json ? reportJson(report) : formatTable(report))
  await writeFiles(report, settings)
  await keep(settings.record && report.ok && !report.interrupted, clusterRun(report, settings))
  if (report.interrupted) throw signal.reason
  process.exitCode = report.ok ? exitStatus.done : exitStatus.failed
}

async function store(settings: StoreSettings): Promise<void> {
  const report = await runStoreBenchmark(settings, interruption(), progress)
  process.stdout.write(settings.json ? reportJson(report) : formatStoreReport(report))
  await keep(settings.record, storeRun(report))
}

async function swim(settings: SwimBenchmarkSettings): Promise<void> {
  const report = runSwimBenchmark(settings, progress)
  process.stdout.write(settings.json ? reportJson(report) : formatSwimReport(report))
}

async function micro(settings: MicroSettings): Promise<void> {
  const report = await runMicroBenchmark(settings, interruption())
  process.stdout.write(settings.json ? reportJson(report) : formatMicroReport(report))
  await keep(settings.record, microRun(report))
}

async function path(settings: PathSettings): Promise<void> {
  const report = await runPathBenchmark(settings, interruption())
  process.stdout.write(settings.json ? reportJson(report) : formatPathReport(report))
}

/** Prints a report. Whether it is as it should be is the exit status, and whether it may be kept. */
async function conclude<Report extends { readonly ok: boolean }>(
  settings: { readonly json: boolean; readonly record?: boolean },
  report: Report,
  format: (report: Report) => string,
  runOf?: (report: Report) => HistoryRun,
): Promise<void> {
  process.stdout.write(settings.json ? reportJson(report) : format(report))
  if (runOf !== undefined) await keep(settings.record === true && report.ok, runOf(report))
  process.exitCode = report.ok ? exitStatus.done : exitStatus.failed
}

async function peers(settings: PeersSettings): Promise<void> {
  await conclude(settings, await runPeersBenchmark(settings, interruption(), progress), formatPeersReport, peersRun)
}

async function model(settings: ModelSettings): Promise<void> {
  await conclude(settings, await runModelBenchmark(settings, interruption(), progress), formatModelReport, modelRun)
}

async function overload(settings: OverloadSettings): Promise<void> {
  await conclude(settings, await runOverload(settings, interruption(), progress), formatOverloadReport)
}

async function overwrite(settings: OverwriteSettings): Promise<void> {
  await conclude(settings, await runOverwrite(settings, interruption(), progress), formatOverwriteReport)
}

async function growth(settings: GrowthSettings): Promise<void> {
  await conclude(settings, await runGrowth(settings, interruption(), progress), formatGrowthReport, growthRun)
}

async function report(settings: ReportSettings): Promise<void> {
  process.stdout.write(await writeReport(settings))
}

function buildProgram(): Command {
  const program = new Command('bench').description('Benchmarks of QuorumKV.').exitOverride()
  const command = program
    .command('cluster', { isDefault: true })
    .description(
      'every workload of kv bench on a cluster of processes: one at a time, and many in flight (the default)',
    )
    .allowExcessArguments(false)
  addClusterOptions(command, cluster)
  addStoreOptions(
    program.command('store').description("one node's storage: table, log, snapshots and recovery, without network"),
    store,
  )
  addSwimOptions(
    program.command('swim').description('failure detection in virtual time: how fast, how often wrong'),
    swim,
  )
  addPeersOptions(program.command('peers').description('the store beside Redis and etcd, in alternating rounds'), peers)
  addModelOptions(program.command('model').description('suites that were published for a store in Go'), model)
  addGrowthOptions(program.command('growth').description('what an operation costs as there is more work'), growth)
  addOverloadOptions(program.command('overload').description('asks for more than a cluster can do'), overload)
  addOverwriteOptions(
    program.command('overwrite').description('the same keys over and over: what the nodes take'),
    overwrite,
  )
  addMicroOptions(program.command('micro').description('pieces of the store by themselves: nanoseconds'), micro)
  addReportOptions(program.command('report').description('draws the recorded runs as one HTML page'), report)
  addPathOptions(program.command('path').description('whole nodes in one process, without gRPC: processor time'), path)
  return program
}

function statusOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitStatus.done : exitStatus.usage
  return error instanceof InterruptedError ? error.status : exitStatus.failed
}

try {
  await buildProgram().parseAsync()
} catch (error) {
  // Commander has already said what it found wrong.
  if (!(error instanceof CommanderError)) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  }
  process.exitCode = statusOf(error)
}
