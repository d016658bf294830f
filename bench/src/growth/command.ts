import { tmpdir } from 'node:os'
import { textTable } from '@quorumkv/cli/bench'
import { Argument, type Command, Option } from 'commander'
import { formatEnvironment } from '../environment-text.js'
import { recordOption } from '../history/command.js'
import { limits } from '../limits.js'
import { seconds, whole } from '../options.js'
import type { Spread } from '../spread.js'
import { formatFigure } from '../store-format.js'
import { workloadName } from '../workload-name.js'
import { type GrowthSeries, grownValue, growthSeries } from './plan.js'
import type { GrowthReport, GrowthResult, GrowthSettings } from './run.js'

/** Adds the arguments and options of `growth` to a command, and what is done with them. */
export function addGrowthOptions(command: Command, action: (settings: GrowthSettings) => Promise<void>): Command {
  const option = (flags: string, description: string): Option => new Option(flags, description)
  return command
    .addArgument(new Argument('[series...]', 'what grows; each in turn by default').choices(growthSeries))
    .addOption(option('--full', 'up to 10 M keys: 8 GB of memory and of disk').default(false))
    .addOption(option('--workload <name>', 'as those of kv bench').default('mixed').argParser(workloadName))
    .addOption(option('--rounds <n>', 'of each point').default(3).argParser(whole(1, limits.roundsMax)))
    .addOption(option('--seconds <s>', 'of each round').default(5).argParser(seconds(0.1)))
    .addOption(option('--warm-up-seconds <s>', 'before each round').default(2).argParser(seconds(0)))
    .addOption(option('--seed <text>', 'the same seed gives the same operations').default('1'))
    .addOption(option('--data-dir <path>', 'where the nodes keep their data meanwhile').default(tmpdir()))
    .addOption(recordOption())
    .addOption(option('--json', 'print one JSON object').default(false))
    .action((named: readonly GrowthSeries[], options: Omit<GrowthSettings, 'series'>) => {
      return action({ ...options, series: named.length === 0 ? growthSeries : named })
    })
}

const head = [
  ...['ops/s', 'range', 'CPU µs/op nodes', 'range', '× first', 'client', 'p50 µs', 'p99 µs', 'MiB nodes', 'errors'],
]

function rangeText({ min, max }: Spread): string {
  return `${formatFigure(min)}–${formatFigure(max)}`
}

function cpuCells(spread: Spread | undefined, first: Spread | undefined): string[] {
  if (spread === undefined || first === undefined) return ['unknown', '', '']
  return [formatFigure(spread.median), rangeText(spread), formatFigure(spread.median / first.median)]
}

function row(result: GrowthResult, first: GrowthResult): string[] {
  const { series, point, opsPerSecond, serverCpuUs, clientCpuUs, p50Us, p99Us, residentBytes, errors } = result
  const whole = { ...opsPerSecond, min: Math.round(opsPerSecond.min), max: Math.round(opsPerSecond.max) }
  return [
    formatFigure(grownValue(series, point)),
    formatFigure(Math.round(opsPerSecond.median)),
    rangeText(whole),
    ...cpuCells(serverCpuUs, first.serverCpuUs),
    ...[clientCpuUs.median, p50Us, p99Us, Math.round(residentBytes / 2 ** 20), errors].map(formatFigure),
  ]
}

/** The report for people. */
export function formatGrowthReport(report: GrowthReport): string {
  const { startedAt, environment, fileSystem, workload, rounds, secondsPerRound, results } = report
  const parts = [
    formatEnvironment(startedAt, environment, [
      ['cluster', `up to 3 replicas, N/R/W 3/2/2, fsync always on ${fileSystem}; a fresh one for each line`],
      [
        'workload',
        `${workload}, uniform; 100,000 keys, values of 100 B, 256 in flight, 3 nodes where nothing else is said`,
      ],
      ['rounds', `${rounds} of ${secondsPerRound} s; medians; latencies of reads or writes, whichever is worse`],
    ]),
  ]
  for (const series of growthSeries) {
    const line = results.filter((result) => result.series === series)
    if (line.length > 0) parts.push(textTable([[series, ...head], ...line.map((result) => row(result, line[0]!))]))
  }
  if (!report.ok) parts.push('FAILED: there were errors')
  return `${parts.join('\n\n')}\n`
}
