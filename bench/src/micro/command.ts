import { textTable } from '@quorumkv/cli/bench'
import { Argument, type Command, Option } from 'commander'
import { formatEnvironment } from '../environment-text.js'
import { recordOption } from '../history/command.js'
import { limits } from '../limits.js'
import { whole } from '../options.js'
import { formatFigure } from '../store-format.js'
import { type MicroGroup, microGroups } from './cases.js'
import type { MicroReport, MicroSettings } from './run.js'

/** Adds the arguments and options of `micro` to a command, and what is done with them. */
export function addMicroOptions(command: Command, action: (settings: MicroSettings) => Promise<void>): Command {
  return command
    .addArgument(new Argument('[group...]', 'what to measure; all of it by default').choices(microGroups))
    .addOption(
      new Option('--milliseconds <n>', 'how long each case runs')
        .default(500)
        .argParser(whole(10, limits.secondsMax * 1000)),
    )
    .addOption(recordOption())
    .addOption(new Option('--json', 'print one JSON object').default(false))
    .action((named: readonly MicroGroup[], options: Omit<MicroSettings, 'groups'>) => {
      return action({ ...options, groups: named.length === 0 ? microGroups : named })
    })
}

/** The report for people. */
export function formatMicroReport({ startedAt, environment, results }: MicroReport): string {
  const head = ['', '', 'ns p50', 'ns p99', 'a second', '± %', 'runs']
  const rows = results.map(({ group, name, p50Ns, p99Ns, perSecond, marginPercent, runs }, i) => {
    const isFirst = results[i - 1]?.group !== group
    const figures = [p50Ns, p99Ns, perSecond, marginPercent, runs].map(formatFigure)
    return [isFirst ? group : '', name, ...figures]
  })
  return `${formatEnvironment(startedAt, environment)}\n\n${textTable([head, ...rows], 2)}\n`
}
