import { tmpdir } from 'node:os'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Fsync } from './cluster.js'
import { limits } from './limits.js'
import { keysMax, valueBytesMin } from './values.js'
import type { Mix } from './workload.js'

/** What `cluster` was asked to do. */
export interface ClusterSettings {
  /** Nodes of a running cluster; undefined: one is started. */
  readonly endpoints?: readonly string[]
  readonly nodes: number
  readonly fsync: Fsync
  /** Where the data directories of started nodes are made. */
  readonly dataDir: string
  readonly keys: number
  readonly valueBytes: number
  /** The mixes to run with many operations in flight, one after the other. */
  readonly mix: readonly Mix[]
  readonly inFlight: number
  /** Of each mix. */
  readonly seconds: number
  /** Of puts, and of gets, one at a time. 0: neither. */
  readonly oneAtATimeSeconds: number
  /** Before each measurement. */
  readonly warmUpSeconds: number
  readonly seed: string
  readonly json?: boolean
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

/** Reads `95/5` or `50/50,95/5,5/95`: gets before puts, in percent. Throws commander's InvalidArgumentError. */
export function parseMixes(text: string): Mix[] {
  return text.split(',').map((part) => {
    const match = /^(\d{1,3})\/(\d{1,3})$/.exec(part.trim())
    const mix = { getPercent: Number(match?.[1]), putPercent: Number(match?.[2]) }
    if (mix.getPercent + mix.putPercent !== 100) {
      throw new InvalidArgumentError('It must be gets/puts in percent, such as 95/5, or several of them with commas.')
    }
    return mix
  })
}

function parseEndpoints(text: string): string[] {
  return text.split(',').map((part) => part.trim())
}

const percent50 = [{ getPercent: 50, putPercent: 50 }]

function clusterOptions(): Option[] {
  const option = (flags: string, description: string): Option => new Option(flags, description)
  return [
    option(
      '--endpoints <host:port,…>',
      'measure this running cluster; its keys that start with "bench:" are overwritten',
    )
      .conflicts(['nodes', 'fsync', 'dataDir'])
      .argParser(parseEndpoints),
    option('--nodes <n>', 'start so many nodes').default(3).argParser(whole(1, limits.nodesMax)),
    option('--fsync <policy>', 'of the started nodes').choices(['always', 'interval', 'never']).default('always'),
    option('--data-dir <path>', 'where the started nodes keep their data while they run').default(tmpdir()),
    option('--keys <n>', 'keys, all loaded first').default(100_000).argParser(whole(1, keysMax)),
    option('--value-bytes <n>', 'size of a value').default(100).argParser(whole(valueBytesMin, limits.valueBytesMax)),
    option('--mix <gets/puts,…>', 'what is done with many operations in flight, in percent')
      .default(percent50, '50/50')
      .argParser(parseMixes),
    option('--in-flight <n>', 'operations at a time').default(256).argParser(whole(1, limits.inFlightMax)),
    option('--seconds <s>', 'how long each mix runs').default(10).argParser(seconds(0.1)),
    option('--one-at-a-time-seconds <s>', 'how long puts, and gets, run one at a time; 0: not at all')
      .default(5)
      .argParser(seconds(0)),
    option('--warm-up-seconds <s>', 'before each measurement').default(1).argParser(seconds(0)),
    option('--seed <text>', 'the same seed gives the same keys and operations').default('1'),
    option('--json', 'print one JSON object'),
  ]
}

/** Adds the options of `cluster` to a command; its action is then given ClusterSettings. */
export function addClusterOptions(command: Command): Command {
  for (const option of clusterOptions()) command.addOption(option)
  return command
}
