import type { Argument, Command, Option } from 'commander'

/** What may be typed next, as far as the words before say. */
export type Next =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  /** A key of the cluster, or what one begins with. */
  | { readonly kind: 'key' }
  | { readonly kind: 'nothing' }

/** The words behind which the next one is typed, taken apart. */
interface Place {
  readonly command: Command | undefined
  /** Arguments that were given. */
  readonly given: number
  /** The option whose value comes next. */
  readonly option: Option | undefined
}

const keyArguments: ReadonlySet<string> = new Set(['key', 'keys', 'prefix'])

const namesOf = (commands: readonly Command[]): string[] => commands.flatMap((one) => [one.name(), ...one.aliases()])

const longOf = (option: Option): string => option.long ?? option.short ?? ''

function optionsOf(program: Command, command: Command | undefined): Option[] {
  const shown = [...(command?.options ?? []), ...program.options].filter((option) => !option.hidden)
  return shown.filter((option) => option.long !== '--version')
}

/** The command that `words` begin with, and what of its arguments and options they hold. */
function placeBehind(program: Command, words: readonly string[]): Place {
  let command: Command | undefined
  let option: Option | undefined
  let given = 0
  let literal = false
  for (const word of words) {
    if (option !== undefined) {
      option = undefined
    } else if (!literal && word === '--') {
      literal = true
    } else if (!literal && /^-[-a-zA-Z]/.test(word)) {
      option = optionsOf(program, command).find((one) => one.required && (one.long === word || one.short === word))
    } else {
      const inside = (command ?? program).commands.find((one) => namesOf([one]).includes(word))
      if (inside !== undefined && given === 0) command = inside
      else given += 1
    }
  }
  return { command, given, option }
}

/** What can stand behind `words`, where `typed` has been typed of it. */
export function nextBehind(program: Command, words: readonly string[], typed: string): Next {
  const { command, given, option } = placeBehind(program, words)
  if (option !== undefined) {
    return option.argChoices === undefined ? { kind: 'nothing' } : { kind: 'words', words: option.argChoices }
  }
  if (typed.startsWith('-') && !words.includes('--')) {
    return { kind: 'words', words: [...optionsOf(program, command).map(longOf), '--help'] }
  }
  // Commander's own command is not among the others.
  if (words[0] === 'help') return { kind: 'words', words: words.length > 1 ? [] : namesOf(program.commands) }
  if (command === undefined || (command.commands.length > 0 && given === 0)) {
    if (given > 0) return { kind: 'nothing' }
    return {
      kind: 'words',
      words: command === undefined ? [...namesOf(program.commands), 'help'] : namesOf(command.commands),
    }
  }
  const argument = argumentAt(command, given)
  if (argument === undefined) return { kind: 'nothing' }
  if (argument.argChoices !== undefined) return { kind: 'words', words: argument.argChoices }
  return keyArguments.has(argument.name()) ? { kind: 'key' } : { kind: 'nothing' }
}

function argumentAt(command: Command, at: number): Argument | undefined {
  const all = command.registeredArguments
  return all[at] ?? (all.at(-1)?.variadic === true ? all.at(-1) : undefined)
}

const shownArgument = (argument: Argument): string => {
  const name = argument.name() + (argument.variadic ? '…' : '')
  return argument.required ? `<${name}>` : `[${name}]`
}

/**
 * What is still to be typed, for people to read behind the cursor: of a command's name its rest, then its arguments and
 * options. Empty: nothing, or it is not known.
 */
export function hintBehind(program: Command, words: readonly string[], typed: string): string {
  if (typed.startsWith('-') && !words.includes('--')) return restOfOption(program, words, typed)
  const { command, given, option } = placeBehind(program, typed === '' ? words : [...words, typed])
  if (option !== undefined) return `${typed === '' ? '' : ' '}${/<.*>/.exec(option.flags)?.[0] ?? ''}`
  if (command === undefined || command.commands.length > 0) return restOfName(program, words, typed)
  const rest = command.registeredArguments.slice(given).map(shownArgument)
  const used = new Set(words)
  const flags = command.options.filter((one) => !one.hidden && !used.has(longOf(one))).map(flagHint)
  const parts = [...rest, ...flags]
  return parts.length === 0 ? '' : `${typed === '' ? '' : ' '}${parts.join(' ')}`
}

function flagHint(option: Option): string {
  const value = /<.*>/.exec(option.flags)?.[0]
  return `[${longOf(option)}${value === undefined ? '' : ` ${value}`}]`
}

function restOfOption(program: Command, words: readonly string[], typed: string): string {
  const { command } = placeBehind(program, words)
  const fitting = optionsOf(program, command).filter((one) => longOf(one).startsWith(typed))
  const exact = fitting.find((one) => longOf(one) === typed)
  const [option, another] = exact === undefined ? fitting : [exact]
  if (option === undefined || another !== undefined) return ''
  const value = /<.*>/.exec(option.flags)?.[0]
  return longOf(option).slice(typed.length) + (value === undefined ? '' : ` ${value}`)
}

function restOfName(program: Command, words: readonly string[], typed: string): string {
  if (typed === '') return ''
  const { command, given } = placeBehind(program, words)
  if (given > 0) return ''
  const names = (command ?? program).commands.map((one) => one.name()).filter((name) => name.startsWith(typed))
  return names.length === 1 ? names[0]!.slice(typed.length) : ''
}
