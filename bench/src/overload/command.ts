import { tmpdir } from 'node:os'
import { type PhaseReport, textTable } from '@quorumkv/cli/bench'
import { type Command, Option } from 'commander'
import { formatEnvironment } from '../environment-text.js'
import { formatExpectations } from '../expectation.js'
import { limits } from '../limits.js'
import { seconds, whole } from '../options.js'
import { formatFigure } from '../store-format.js'
import { workloadName } from '../workload-name.js'
import type { FloodReport } from './flood.js'
import { errorsOf } from './judge.js'
import type { OverloadReport, OverloadSettings } from './run.js'

/** Adds the options of `overload` to a command, and what is done with them. */
export function addOverloadOptions(command: Command, action: (settings: OverloadSettings) => Promise<void>): Command {
  const option = (flags: string, description: string): Option => new Option(flags, description)
  return command
    .addOption(option('--workload <name>', 'as those of kv bench').default('mixed').argParser(workloadName))
    .addOption(option('--factor <n>', 'times the peak').default(2).argParser(whole(2, limits.overloadFactorMax)))
    .addOption(option('--seconds <s>', 'of the overload').default(60).argParser(seconds(3)))
    .addOption(option('--base-seconds <s>', 'of what is measured before and after').default(10).argParser(seconds(1)))
    .addOption(option('--clients <n>', 'of the flood, each with connections').default(2).argParser(whole(1, 64)))
    .addOption(
      option('--max-in-flight <n>', 'operations that each of them accepts; more are overloaded')
        .default(128)
        .argParser(whole(1, limits.inFlightMax)),
    )
    .addOption(option('--keys <n>', 'keys, all loaded first').default(100_000).argParser(whole(1, limits.keysMax)))
    .addOption(option('--seed <text>', 'the same seed gives the same operations').default('1'))
    .addOption(option('--data-dir <path>', 'where the nodes keep their data meanwhile').default(tmpdir()))
    .addOption(option('--json', 'print one JSON object').default(false))
    .action(action)
}

const head = ['', 'due/s', 'done/s', 'refused/s', 'otherwise/s', 'CPU µs each']
const measuredHead = ['', 'done/s', 'read p50 µs', 'p99', 'write p50 µs', 'p99', 'errors']

function floodRow(name: string, flood: FloodReport): string[] {
  const { seconds, due, done, refusedHere, refusedByNode, notStarted, cpuSeconds } = flood
  const otherwise = Object.values(flood.failed).reduce((sum, count) => sum + count, notStarted)
  const rates = [due, done, refusedHere + refusedByNode, otherwise].map((count) => Math.round(count / seconds))
  return [name, ...rates.map(formatFigure), formatFigure((cpuSeconds * 1e6) / due)]
}

function measuredRow(name: string, { opsPerSecond, errors, open, latency }: PhaseReport): string[] {
  const { read, update } = open?.service ?? latency
  const figures = [read?.p50Us, read?.p99Us, update?.p50Us, update?.p99Us]
  return [
    name,
    formatFigure(Math.round(opsPerSecond)),
    ...figures.map((value) => (value === undefined ? '' : formatFigure(value))),
    formatFigure(errors.count),
  ]
}

/** The report for people. */
export function formatOverloadReport(report: OverloadReport): string {
  const { startedAt, environment, fileSystem, settings, facts, expectations } = report
  const { peak, unloaded, overload, after } = facts
  const { clients, maxInFlight, keys, workload, seed } = settings
  const parts = [
    formatEnvironment(startedAt, environment, [
      ['cluster', `3 nodes, N/R/W 3/2/2, fsync always on ${fileSystem}`],
      ['workload', `${workload}, ${formatFigure(keys)} keys, values of 100 B, uniform, seed ${seed}`],
      ['flood', `a process with ${clients} clients, each accepts ${maxInFlight} operations at a time`],
      ['measured', 'one client in another process, verified; latencies are from the actual start'],
    ]),
    textTable([
      head,
      floodRow('peak', peak),
      floodRow(`overload, ${settings.factor} times`, overload.flood),
      floodRow('after it', after.flood),
    ]),
    textTable([
      measuredHead,
      measuredRow('unloaded', unloaded),
      measuredRow(`overload, ${settings.factor} times`, overload.measured),
      measuredRow('after it', after.measured),
    ]),
    formatExpectations(expectations),
  ]
  const codes = Object.entries(errorsOf(overload)).map(([code, count]) => `${formatFigure(count)} ${code}`)
  if (codes.length > 0) parts.push(`errors of the overload: ${codes.join(', ')}`)
  return `${parts.join('\n\n')}\n`
}
