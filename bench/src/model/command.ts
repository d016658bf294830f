import { tmpdir } from 'node:os'
import { textTable } from '@quorumkv/cli/bench'
import { type Command, Option } from 'commander'
import type { Fsync } from '../cluster.js'
import { formatEnvironment } from '../environment-text.js'
import { recordOption } from '../history/command.js'
import { limits } from '../limits.js'
import { seconds, whole } from '../options.js'
import type { Spread } from '../spread.js'
import { formatFigure } from '../store-format.js'
import { parsePolicies } from '../store-options.js'
import type { ModelReport, ModelResult, ModelSettings } from './run.js'

/** Adds the options of `model` to a command, and what is done with them. */
export function addModelOptions(command: Command, action: (settings: ModelSettings) => Promise<void>): Command {
  const option = (flags: string, description: string): Option => new Option(flags, description)
  return command
    .addOption(
      option('--fsync <policy,…>', 'of the nodes')
        .default(['always', 'never'] satisfies Fsync[], 'always,never')
        .argParser(parsePolicies),
    )
    .addOption(option('--rounds <n>', 'of all suites').default(3).argParser(whole(1, limits.roundsMax)))
    .addOption(option('--seconds <s>', 'of each suite in each round').default(2).argParser(seconds(0.1)))
    .addOption(option('--warm-up-seconds <s>', 'before each').default(0.5).argParser(seconds(0)))
    .addOption(option('--seed <text>', 'the same seed gives the same operations').default('1'))
    .addOption(option('--data-dir <path>', 'where the nodes keep their data meanwhile').default(tmpdir()))
    .addOption(recordOption())
    .addOption(option('--json', 'print one JSON object').default(false))
    .action(action)
}

const head = ['', 'published', '', 'here', '', 'range', 'here ÷ published', 'p50 µs', 'p99 µs', 'errors']

/** A range as text; one figure where both ends are the same. */
function rangeText(min: number, max: number): string {
  return min === max ? formatFigure(min) : `${formatFigure(min)}–${formatFigure(max)}`
}

function row({ suite, opsPerSecond, meanUs, p50Us, p99Us, errors }: ModelResult): string[] {
  const { published } = suite
  const inMs = (us: Spread): Spread => ({ median: us.median / 1000, min: us.min / 1000, max: us.max / 1000 })
  const isRate = published === undefined ? suite.workload !== 'write-only' : published.unit === 'ops/s'
  const here = isRate ? opsPerSecond : inMs(meanUs)
  const ratio = published && here.median / ((published.min + published.max) / 2)
  return [
    suite.name,
    published === undefined ? '' : rangeText(published.min, published.max),
    published?.unit ?? '',
    formatFigure(isRate ? Math.round(here.median) : here.median),
    isRate ? 'ops/s' : 'ms',
    rangeText(here.min, here.max),
    ratio === undefined ? '' : `${formatFigure(ratio)} ×`,
    ...[p50Us, p99Us].map(formatFigure),
    String(errors),
  ]
}

/** The report for people. */
export function formatModelReport(report: ModelReport): string {
  const { startedAt, environment, fileSystem, keys, rounds, secondsPerRound, results } = report
  const parts = [
    formatEnvironment(startedAt, environment, [
      ['cluster', `3 nodes, N/R/W 3/2/2, on ${fileSystem}`],
      ['workload', `${keys} keys, one operation of each client at a time; closed loop`],
      ['rounds', `${rounds} of ${secondsPerRound} s; medians; latencies of rates are of reads and writes together`],
      ['published', 'by the authors of a store in Go, for their machine and without a flush: for scale only'],
    ]),
  ]
  for (const fsync of new Set(results.map((result) => result.fsync))) {
    const rows = results.filter((result) => result.fsync === fsync).map(row)
    parts.push(`fsync ${fsync}\n${textTable([head, ...rows])}`)
  }
  if (!report.ok) parts.push(['FAILED: there were errors; for example', ...report.errorExamples].join('\n  '))
  return `${parts.join('\n\n')}\n`
}
