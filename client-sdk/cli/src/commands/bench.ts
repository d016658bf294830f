import { open, writeFile } from 'node:fs/promises'
import { type Command, Option } from 'commander'
import { examples, wholeNumber } from '../arguments.js'
import { distributionNames } from '../bench/distribution.js'
import type { BenchReport, DistributionName, LivePhase, PhaseSettings, Workload } from '../bench/index.js'
import { valueBytesMin } from '../bench/values.js'
import { parseWorkload, workloads } from '../bench/workload.js'
import type { Context, Execute } from '../context.js'
import { formatDuration, parseDuration } from '../duration.js'
import { exitStatus, FailedError, InterruptedError, interruptStatus, UsageError } from '../exit.js'
import type { Interrupt } from '../io.js'
import { limits } from '../limits.js'
import { write, writeJson } from '../output.js'
import { Progress } from '../progress.js'
import { parseBytes } from '../text.js'

interface BenchOptions {
  readonly workload: readonly Workload[]
  readonly distribution?: DistributionName
  readonly keys: number
  readonly valueSize: number
  readonly clients: number
  readonly inFlight: readonly number[]
  readonly rate?: number
  readonly arrivals?: 'fixed' | 'poisson'
  readonly duration: number
  readonly warmUp: number
  readonly runs: number
  readonly load: boolean
  readonly verify: boolean
  readonly seed: string
  readonly csv?: string
  readonly html?: string
  readonly progress: boolean
}

export function registerBench(program: Command, execute: Execute): void {
  const command = program
    .command('bench')
    .summary('measure throughput and latency under a load')
    .description(
      'Writes --keys keys that begin with "bench:", and leaves them there; then reads and writes them as the workload says, ' +
        'for --duration after --warm-up, and prints throughput and latencies. Everything that is read is checked: it must ' +
        'have been written under its key, and must not be older than what had been acknowledged before the read began, scans ' +
        'apart. Any failed operation or wrong value makes the exit status 1. Ctrl-C ends the run with a report of what was ' +
        'measured, a second one at once and without.\n\n' +
        'Without --rate the loop is closed: each operation starts when another one has ended, as fast as the cluster allows. ' +
        'With --rate it is open: operations start when they are due, and their latencies count from then.\n\n' +
        `Workloads: ${workloads.map(({ name }) => name).join(', ')}, or reads/updates in percent, such as 70/30.`,
    )
  for (const option of benchOptions()) command.addOption(option)
  command
    .helpGroup('The cluster:')
    .addHelpText(
      'after',
      examples(
        'kv bench',
        'kv bench --workload ycsb-a,ycsb-b --duration 30s --runs 3 --html report.html',
        'kv bench --workload read-heavy --distribution zipfian --in-flight 1,64,256',
        'kv bench --rate 20000 --arrivals poisson      # open loop',
        'kv --json bench --value-size 10KiB > report.json',
      ),
    )
    .action((options: BenchOptions) => execute((context) => bench(context, options)))
}

function benchOptions(): Option[] {
  const option = (flags: string, description: string): Option => new Option(flags, description)
  const whole = (field: string, max: number): ((text: string) => number) => wholeNumber(field, 1, max)
  const durationOf = (field: string) => (text: string) => upTo(field, parseDuration(text, field), text)
  return [
    option('--workload <name,…>', 'what is done, one after the other; "all": every workload that has a name')
      .argParser(workloadList)
      .default([parseWorkload('mixed', '--workload')], 'mixed'),
    option('--distribution <name>', "how keys are chosen (default: the workload's)").choices(distributionNames),
    option('--keys <n>', 'keys that there are').argParser(whole('--keys', limits.benchKeysMax)).default(100_000),
    option('--value-size <size>', 'of each value, such as 100B or 1KiB').argParser(valueSize).default(100, '100B'),
    option('--clients <n>', 'with connections of their own')
      .argParser(whole('--clients', limits.benchClientsMax))
      .default(1),
    option('--in-flight <n,…>', 'operations at a time, of each client; several: one after the other')
      .argParser(inFlightList)
      .default([256], '256'),
    option('--rate <n>', 'start so many operations per second: an open loop').argParser(rate),
    option('--arrivals <kind>', 'when they are due: evenly, or as independent users come (default: fixed)').choices([
      'fixed',
      'poisson',
    ]),
    option('--duration <time>', 'of each measurement').argParser(durationOf('--duration')).default(10_000, '10s'),
    option('--warm-up <time>', 'before each measurement; 0: none').argParser(warmUp).default(2_000, '2s'),
    option('--runs <n>', 'how often all of it is measured').argParser(whole('--runs', limits.benchRunsMax)).default(1),
    option('--seed <text>', 'the same seed gives the same operations').default('1'),
    option('--no-load', 'the keys are there from an earlier run with the same --keys'),
    option('--no-verify', 'only check that keys are there'),
    option('--csv <path>', 'write the figures to this file as CSV'),
    option('--html <path>', 'write a report with charts to this file'),
    option('--no-progress', 'show no progress'),
  ]
}

function workloadList(text: string): Workload[] {
  if (text === 'all') return [...workloads]
  return text.split(',').map((name) => parseWorkload(name.trim(), '--workload'))
}

function inFlightList(text: string): number[] {
  return text.split(',').map((one) => wholeNumber('--in-flight', 1, limits.benchInFlightMax)(one.trim()))
}

function valueSize(text: string): number {
  const bytes = parseBytes(text)
  if (bytes !== undefined && bytes >= valueBytesMin && bytes <= limits.benchValueBytesMax) return bytes
  const range = `from ${valueBytesMin}B to ${limits.benchValueBytesMax / 2 ** 20}MiB`
  throw new UsageError('--value-size', `--value-size must be a size ${range}, got ${JSON.stringify(text)}`)
}

function rate(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (value >= limits.benchRateMin && value <= limits.benchRateMax) return value
  const range = `from ${limits.benchRateMin} to ${limits.benchRateMax}`
  throw new UsageError('--rate', `--rate must be operations per second ${range}, got ${JSON.stringify(text)}`)
}

function warmUp(text: string): number {
  return /^0(ms|s|m)?$/.test(text) ? 0 : upTo('--warm-up', parseDuration(text, '--warm-up'), text)
}

function upTo(field: string, ms: number, text: string): number {
  if (ms <= limits.benchSecondsMax * 1000) return ms
  const most = formatDuration(limits.benchSecondsMax * 1000)
  throw new UsageError(field, `${field} must be at most ${most}, got ${JSON.stringify(text)}`)
}

function phasesOf(options: BenchOptions): PhaseSettings[] {
  const { workload, distribution, inFlight, rate: ratePerSecond, arrivals = 'fixed', clients } = options
  if (ratePerSecond === undefined && options.arrivals !== undefined) {
    throw new UsageError('--arrivals', '--arrivals goes with --rate: without it, operations start when others end')
  }
  if (Math.max(...inFlight) * clients > limits.benchInFlightMax) {
    const most = `${limits.benchInFlightMax} operations may be in flight`
    throw new UsageError('--in-flight', `--in-flight: at most ${most}, --clients times --in-flight`)
  }
  const loop: PhaseSettings['loop'] =
    ratePerSecond === undefined ? { kind: 'closed' } : { kind: 'open', ratePerSecond, arrivals }
  const times = { warmUpMs: options.warmUp, durationMs: options.duration }
  return workload.flatMap((one) =>
    inFlight.map((lanes) => ({ workload: one, distribution, inFlight: lanes, loop, ...times })),
  )
}

async function bench(context: Context, options: BenchOptions): Promise<number> {
  const phases = phasesOf(options)
  const { io, options: globals } = context
  // Only here: the histograms take time to load that no other command needs.
  const { formatTable, KvTarget, runBench } = await import('../bench/index.js')
  const consistency = globals.consistency ?? 'quorum'
  const maxInFlightBytes = clientBytesMax(options)
  const target = new KvTarget({
    connect: () => context.connect({ maxInFlight: limits.benchInFlightMax, maxInFlightBytes }),
    ...{ consistency, timeoutMs: globals.timeoutMs },
  })
  const { keys, valueSize: valueBytes, verify, seed, clients, load, runs } = options
  const stop = new AbortController()
  let interrupt: Interrupt | undefined
  const forgetInterrupts = io.onInterrupt((signal) => {
    if (interrupt !== undefined) return io.exitNow(interruptStatus(signal))
    interrupt = signal
    stop.abort(new InterruptedError(signal, 'interrupted before anything was measured'))
  })
  try {
    await checkFiles(options)
    const plan = { data: { keys, valueBytes, verify, seed, clients }, load, phases, runs }
    const onPhase = (live: LivePhase): (() => void) => showProgress(context, options, live)
    const report = await runBench(target, plan, { signal: stop.signal, onPhase })
    if (globals.json) await writeJson(io.stdout, report)
    else await write(io.stdout, formatTable(report))
    await writeFiles(report, options)
    if (interrupt !== undefined) return interruptStatus(interrupt)
    return report.ok ? exitStatus.done : exitStatus.failed
  } finally {
    forgetInterrupts()
  }
}

/** Room for what is in flight with everything that the client counts for it. */
function clientBytesMax({ inFlight, valueSize: valueBytes }: BenchOptions): number {
  const perOperationBytes = valueBytes + 1024
  return Math.max(limits.benchLoadBytesMax, Math.max(...inFlight, limits.benchLoadInFlight) * perOperationBytes) * 2
}

async function writeFiles(report: BenchReport, { csv, html }: BenchOptions): Promise<void> {
  const { formatCsv, formatHtml } = await import('../bench/index.js')
  for (const [path, format] of [[csv, formatCsv] as const, [html, formatHtml] as const]) {
    if (path !== undefined) await orExplain(path, () => writeFile(path, format(report)))
  }
}

/** Whoever has waited for an hour should not hear then that a directory is missing. */
async function checkFiles({ csv, html }: BenchOptions): Promise<void> {
  for (const path of [csv, html]) {
    if (path === undefined) continue
    await orExplain(path, async () => {
      const file = await open(path, 'a')
      await file.close()
    })
  }
}

async function orExplain(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    throw new FailedError(`cannot write ${path}: ${(error as Error).message}`, undefined, error)
  }
}

/** A line that is redrawn, on a terminal only: elsewhere it would only be in the way of the report. */
function showProgress({ io, options: { json } }: Context, options: BenchOptions, live: LivePhase): () => void {
  const shown = options.progress && io.stderr.isTTY === true
  const progress = new Progress(io, { verb: live.name, shown, json }, () => ({
    records: live.operations,
    ...{ noun: 'operation', bytes: undefined },
    done: live.durationMs === undefined ? live.operations : Math.min(live.elapsedMs, live.durationMs),
    total: live.durationMs ?? live.operationsTotal,
    note: [live.warmingUp ? 'warming up' : '', live.errors > 0 ? `${live.errors} errors` : '']
      .filter(Boolean)
      .join(', '),
  }))
  return () => progress.end()
}
