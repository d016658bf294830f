import { FatalError } from '@quorumkv/internal/base'
import { type Command, CommanderError } from 'commander'

/** What commands that start no node write to; each text ends with a line end. */
export interface Output {
  readonly out: (text: string) => void
}

/** Options of a command that starts no node; undefined: its help was asked for, and printed. */
export function parseOptions(
  command: Command,
  argv: readonly string[],
  { out }: Output,
): Readonly<Record<string, string | true | undefined>> | undefined {
  command
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeOut: out, writeErr: () => undefined, getOutHelpWidth: () => 110 })
  try {
    command.parse([...argv], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.code === 'commander.helpDisplayed') return undefined
    const hint = `see ${command.name()} --help`
    throw new FatalError('usage', `${error.message.replace(/^error: /, '')}; ${hint}`, error)
  }
  return command.opts()
}
