import { tmpdir } from 'node:os'
import { valueBytesMin } from '@quorumkv/cli/bench'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { recordOption } from '../history/command.js'
import { limits } from '../limits.js'
import { checkInFlightBytes, seconds, whole } from '../options.js'
import { workloadName } from '../workload-name.js'
import { contestants } from './contestants.js'
import type { PeersSettings } from './peers-benchmark.js'

/** A parser of a list with commas whose parts `parse` reads. It throws commander's InvalidArgumentError. */
export function listOf<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => text.split(',').map((part) => parse(part.trim()))
}

function contestantName(text: string): string {
  if (contestants.some(({ name }) => name === text)) return text
  const names = contestants.map(({ name }) => name).join(', ')
  throw new InvalidArgumentError(`There is no ${JSON.stringify(text)}: name some of ${names}.`)
}

/** Adds the options of `peers` to a command, and what is done with them. */
export function addPeersOptions(command: Command, action: (settings: PeersSettings) => Promise<void>): Command {
  const option = (flags: string, description: string): Option => new Option(flags, description)
  const names = contestants.slice(1).map(({ name }) => name)
  return command
    .addOption(
      option('--peers <name,…>', 'what to measure beside the store')
        .default(names, names.join(','))
        .argParser(listOf(contestantName)),
    )
    .addOption(option('--install', "install Debian's packages of what is missing; nothing else does").default(false))
    .addOption(
      option('--workloads <name,…>', 'as those of kv bench')
        .default(['read-heavy', 'mixed', 'write-heavy'], 'read-heavy,mixed,write-heavy')
        .argParser(listOf(workloadName)),
    )
    .addOption(
      option('--in-flight <n,…>', 'operations at a time')
        .default([1, 64, 256], '1,64,256')
        .argParser(listOf(whole(1, limits.inFlightMax))),
    )
    .addOption(option('--rounds <n>', 'of all stores, alternating').default(3).argParser(whole(1, limits.roundsMax)))
    .addOption(option('--seconds <s>', 'of each measurement').default(5).argParser(seconds(0.1)))
    .addOption(option('--warm-up-seconds <s>', 'before each measurement').default(1).argParser(seconds(0)))
    .addOption(option('--keys <n>', 'keys, all loaded first').default(100_000).argParser(whole(1, limits.keysMax)))
    .addOption(
      option('--value-bytes <n>', 'size of a value').default(100).argParser(whole(valueBytesMin, limits.valueBytesMax)),
    )
    .addOption(option('--seed <text>', 'the same seed gives the same operations').default('1'))
    .addOption(option('--data-dir <path>', 'where the stores keep their data meanwhile').default(tmpdir()))
    .addOption(recordOption())
    .addOption(option('--json', 'print one JSON object').default(false))
    .action(async ({ peers, ...settings }: Omit<PeersSettings, 'contestants'> & { peers: string[] }, self: Command) => {
      checkInFlightBytes(self, Math.max(...settings.inFlight), settings.valueBytes)
      await action({ ...settings, contestants: peers })
    })
}
