import { type Command, InvalidArgumentError, Option } from 'commander'
import { formatFigure } from './store-format.js'
import {
  type DetectionFigures,
  measureDetection,
  measurePartition,
  measurePauses,
  measureQuiet,
  type PartitionFigures,
  type PauseFigures,
  type QuietFigures,
  type Spread,
} from './swim-figures.js'

/** What `swim` was asked to do. */
export interface SwimBenchmarkSettings {
  readonly nodes: readonly number[]
  /** Nodes that are killed, one after the other, and pauses. */
  readonly trials: number
  /** How long the cluster is watched while nothing fails, in virtual time. */
  readonly minutes: number
  readonly seed: string
  readonly json: boolean
}

export interface SwimReport {
  readonly detection: readonly DetectionFigures[]
  readonly quiet: readonly QuietFigures[]
  readonly pauses: readonly PauseFigures[]
  readonly partitions: readonly PartitionFigures[]
}

const losses = [0, 0.05, 0.3]
const nodesMax = 250
const partitionsMax = 10

/** Failure detection of whole clusters in virtual time, with the default settings: the same seed, the same figures. */
export function runSwimBenchmark(settings: SwimBenchmarkSettings, progress: (text: string) => void): SwimReport {
  const { nodes, trials, minutes, seed } = settings
  const each = <T>(what: string, measure: (count: number) => T): T[] =>
    nodes.map((count) => {
      progress(`${what}, ${count} nodes`)
      return measure(count)
    })
  return {
    detection: losses.flatMap((loss) => {
      return each(`a node is killed, loss ${percent(loss)}`, (count) => measureDetection(count, loss, trials, seed))
    }),
    quiet: losses.flatMap((loss) => {
      return each(`nobody fails, loss ${percent(loss)}`, (count) => measureQuiet(count, loss, minutes, seed))
    }),
    pauses: each('a node is paused', (count) => measurePauses(count, trials, seed)),
    partitions: each('a partition heals', (count) => measurePartition(count, Math.min(trials, partitionsMax), seed)),
  }
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

function seconds({ p50, p99, max }: Spread): string[] {
  return [p50, p99, max].map((ms) => (ms / 1000).toFixed(2))
}

/** Columns, aligned to the right. */
function table(title: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]!.length)))
  const line = (cells: readonly string[]): string => cells.map((cell, at) => cell.padStart(widths[at]!)).join('  ')
  return [title, ...[head, ...rows].map((cells) => `  ${line(cells)}`)].join('\n')
}

export function formatSwimReport({ detection, quiet, pauses, partitions }: SwimReport): string {
  const tables = [
    table(
      'a node is killed and started again: s until the first other node holds it for dead, until all do; until nobody does any more',
      ['nodes', 'loss', 'first p50', 'p99', 'max', 'all p50', 'p99', 'max', 'back p50', 'p99', 'max'],
      detection.map(({ nodes, loss, firstMs, allMs, returnMs }) => {
        return [String(nodes), percent(loss), ...[firstMs, allMs, returnMs].flatMap(seconds)]
      }),
    ),
    table(
      'nobody fails: false suspicions and deaths; traffic of each node',
      ['nodes', 'loss', 'minutes', 'suspicions', 'deaths', 'messages/s', 'bytes/s', 'largest, bytes'],
      quiet.map((row) => [
        String(row.nodes),
        percent(row.loss),
        ...[row.minutes, row.suspicions, row.deaths, row.messagesPerNodeSecond, row.bytesPerNodeSecond].map(
          formatFigure,
        ),
        formatFigure(row.largestBytes),
      ]),
    ),
    table(
      'one node stands still for 5 s of about every 20 s, and messages take up to 0.2 s: what the others suffer',
      ['nodes', 'pauses', 'others suspected', 'others dead', 'pauses in which it was held for dead'],
      pauses.map(({ nodes, pauses: count, othersSuspected, othersDead, pausesDead }) =>
        [nodes, count, othersSuspected, othersDead, pausesDead].map(formatFigure),
      ),
    ),
    table(
      'two halves, apart for two minutes: s until everybody holds everybody for alive',
      ['nodes', 'p50', 'p99', 'max'],
      partitions.map(({ nodes, healMs }) => [String(nodes), ...seconds(healMs)]),
    ),
  ]
  return `${tables.join('\n\n')}\n`
}

function wholeFrom(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }
}

/** Adds the options of `swim` to a command, and what is done with them. */
export function addSwimOptions(command: Command, action: (settings: SwimBenchmarkSettings) => Promise<void>): Command {
  const sizes = (text: string): number[] => text.split(',').map((part) => wholeFrom(2, nodesMax)(part.trim()))
  return command
    .addOption(
      new Option('--nodes <n,…>', 'sizes of the clusters')
        .default([3, 5, 10, 30, 100], '3,5,10,30,100')
        .argParser(sizes),
    )
    .addOption(new Option('--trials <n>', 'kills, and pauses').default(40).argParser(wholeFrom(1, 10_000)))
    .addOption(
      new Option('--minutes <n>', 'of virtual time without a failure').default(10).argParser(wholeFrom(1, 10_000)),
    )
    .addOption(new Option('--seed <text>', 'the same seed gives the same figures').default('1'))
    .addOption(new Option('--json', 'print one JSON object').default(false))
    .action(action)
}
