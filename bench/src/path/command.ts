import { type Command, Option } from 'commander'
import { limits } from '../limits.js'
import { seconds, whole } from '../options.js'
import { listOf } from '../peers/command.js'
import type { PathSettings } from './path-benchmark.js'

/** Adds the options of `path` to a command, and what is done with them. */
export function addPathOptions(command: Command, action: (settings: PathSettings) => Promise<void>): Command {
  const option = (flags: string, description: string): Option => new Option(flags, description)
  const sizes = listOf(whole(1, limits.nodesMax))
  return command
    .addOption(option('--nodes <n,…>', 'sizes of the clusters').default([1, 3], '1,3').argParser(sizes))
    .addOption(
      option('--in-flight <n,…>', 'operations at a time')
        .default([256, 1], '256,1')
        .argParser(listOf(whole(1, limits.inFlightMax))),
    )
    .addOption(option('--rounds <n>', 'of all cases, alternating').default(5).argParser(whole(1, limits.roundsMax)))
    .addOption(option('--seconds <s>', 'of each case in each round').default(1).argParser(seconds(0.1)))
    .addOption(option('--keys <n>', 'keys, all loaded first').default(100_000).argParser(whole(1, limits.keysMax)))
    .addOption(option('--data-dir <path>', 'where files are kept meanwhile, in place of memory'))
    .addOption(option('--fsync <policy>', 'of the nodes').default('always').choices(['always', 'interval', 'never']))
    .addOption(option('--seed <text>', 'the same seed gives the same keys').default('1'))
    .addOption(option('--json', 'print one JSON object').default(false))
    .action((options: PathSettings) => action(options))
}
