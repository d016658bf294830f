import { tmpdir } from 'node:os'
import type { FsyncPolicy } from '@quorumkv/internal/store'
import { Argument, type Command, InvalidArgumentError, Option } from 'commander'
import { recordOption } from './history/command.js'
import { type FigureName, figureNames } from './store-report.js'

/** What `store` was asked to do. */
export interface StoreSettings {
  readonly figures: readonly FigureName[]
  readonly quick: boolean
  readonly fsync: readonly FsyncPolicy[]
  /** Where the directory of the stores is made. */
  readonly dataDir: string
  readonly seed: string
  readonly json: boolean
  readonly record: boolean
}

const policies: readonly FsyncPolicy[] = ['always', 'interval', 'never']

function isPolicy(text: string): text is FsyncPolicy {
  return policies.some((policy) => policy === text)
}

/** Reads `always,never`. Throws commander's InvalidArgumentError. */
export function parsePolicies(text: string): FsyncPolicy[] {
  const parsed = text.split(',').map((part) => part.trim())
  if (!parsed.every(isPolicy)) {
    throw new InvalidArgumentError(`It must be one or more of ${policies.join(', ')}, with commas.`)
  }
  return [...new Set(parsed)]
}

/** Adds the arguments and options of `store` to a command, and what is done with them. */
export function addStoreOptions(command: Command, action: (settings: StoreSettings) => Promise<void>): Command {
  const option = (flags: string, description: string): Option => new Option(flags, description)
  return command
    .addArgument(new Argument('[figure...]', 'what to measure; all of it by default').choices(figureNames))
    .addOption(
      option('--quick', 'the short form: fewer operations and entries, less than half a minute').default(false),
    )
    .addOption(
      option('--fsync <policy,…>', 'of stress and put-get')
        .default(['never', 'always'], 'never,always')
        .argParser(parsePolicies),
    )
    .addOption(option('--data-dir <path>', 'where the stores are kept meanwhile').default(tmpdir()))
    .addOption(option('--seed <text>', 'the same seed gives the same keys').default('1'))
    .addOption(recordOption())
    .addOption(option('--json', 'print one JSON object').default(false))
    .action((named: readonly FigureName[], options: Omit<StoreSettings, 'figures'>) => {
      const figures = figureNames.filter((name) => named.length === 0 || named.includes(name))
      return action({ ...options, figures })
    })
}
