import { tmpdir } from 'node:os'
import { parseWorkload, UsageError, valueBytesMin, type Workload } from '@quorumkv/cli/bench'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Fsync } from './cluster.js'
import { recordOption } from './history/command.js'
import { limits } from './limits.js'

/** What `cluster` was asked to do. */
export interface ClusterSettings {
  readonly nodes: number
  readonly fsync: Fsync
  /** Where the data directories of the nodes are made. */
  readonly dataDir: string
  readonly keys: number
  readonly valueBytes: number
  /** Instead of the standard set: these, with `inFlight` operations at a time. */
  readonly workload?: readonly Workload[]
  readonly inFlight: number
  /** Of the standard set's open loop, in operations per second. */
  readonly openRate: number
  /** Of each measurement, and before each. */
  readonly seconds: number
  readonly warmUpSeconds: number
  /** How often all of it is measured. */
  readonly runs: number
  readonly seed: string
  readonly json: boolean
  /** Files that are written besides. */
  readonly csv?: string
  readonly html?: string
  readonly record: boolean
}

/** A parser of whole numbers from `min` to `max`. It throws commander's InvalidArgumentError. */
export function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= min && value <= max))
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
    return value
  }
}

/** A parser of seconds, fractions allowed, from `min`. It throws commander's InvalidArgumentError. */
export function seconds(min: number): (text: string) => number {
  return (text) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= min && value <= limits.secondsMax)) {
      throw new InvalidArgumentError(`It must be a number from ${min} to ${limits.secondsMax}.`)
    }
    return value
  }
}

/** Refuses a command line, by commander's CommanderError, with more in flight at a time than a client can hold. */
export function checkInFlightBytes(command: Command, inFlight: number, valueBytes: number): void {
  const most = Math.floor(limits.inFlightBytesMax / valueBytes)
  if (inFlight <= most) return
  command.error(`error: --in-flight ${inFlight}: with values of ${valueBytes} B at most ${most} operations at a time`)
}

/** Reads `mixed` or `read-heavy,ycsb-a,70/30`. Throws commander's InvalidArgumentError. */
function parseWorkloads(text: string): Workload[] {
  try {
    return text.split(',').map((name) => parseWorkload(name.trim(), '--workload'))
  } catch (error) {
    throw error instanceof UsageError ? new InvalidArgumentError(error.message) : error
  }
}

function clusterOptions(): Option[] {
  const option = (flags: string, description: string): Option => new Option(flags, description)
  const quick = { seconds: 2, warmUpSeconds: 0.5, keys: 20_000 }
  return [
    option('--nodes <n>', 'start so many nodes').default(3).argParser(whole(1, limits.nodesMax)),
    option('--fsync <policy>', 'of the nodes').choices(['always', 'interval', 'never']).default('always'),
    option('--data-dir <path>', 'where the nodes keep their data while they run').default(tmpdir()),
    option('--keys <n>', 'keys, all loaded first').default(100_000).argParser(whole(1, limits.keysMax)),
    option('--value-bytes <n>', 'size of a value').default(100).argParser(whole(valueBytesMin, limits.valueBytesMax)),
    option(
      '--workload <name,…>',
      'instead of the standard set: names of `kv bench`, or reads/updates in percent',
    ).argParser(parseWorkloads),
    option('--in-flight <n>', 'operations at a time').default(256).argParser(whole(1, limits.inFlightMax)),
    option('--open-rate <n>', "operations per second of the standard set's open loop")
      .default(10_000)
      .argParser(whole(1, limits.openRateMax)),
    option('--seconds <s>', 'how long each workload is measured').default(10).argParser(seconds(0.1)),
    option('--warm-up-seconds <s>', 'before each measurement').default(2).argParser(seconds(0)),
    option('--runs <n>', 'how often all of it is measured').default(1).argParser(whole(1, limits.roundsMax)),
    option('--quick', 'fewer keys, 2 s for each workload').implies(quick),
    option('--seed <text>', 'the same seed gives the same keys and operations').default('1'),
    option('--json', 'print one JSON object').default(false),
    option('--csv <path>', 'write the figures to this file as CSV'),
    option('--html <path>', 'write a report with charts to this file'),
    recordOption(),
  ]
}

/** Adds the options of `cluster` to a command, and what is done with them. */
export function addClusterOptions(command: Command, action: (settings: ClusterSettings) => Promise<void>): Command {
  for (const option of clusterOptions()) command.addOption(option)
  return command.action(async (settings: ClusterSettings, self: Command) => {
    checkInFlightBytes(self, settings.inFlight, settings.valueBytes)
    await action(settings)
  })
}
