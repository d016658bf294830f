import { type Command, Option } from 'commander'
import { examples } from '../arguments.js'
import type { Context, Execute } from '../context.js'
import { exitStatus, UsageError } from '../exit.js'
import { write } from '../output.js'

export function registerCompletion(program: Command, execute: Execute): void {
  program
    .command('completion')
    .summary('print a script that completes commands and options')
    .description('Prints a script for your shell that completes the commands and options of kv.')
    .argument('<shell>', 'bash, zsh or fish')
    .helpGroup('Help:')
    .addHelpText(
      'after',
      examples(
        'source <(kv completion bash)                                    # in ~/.bashrc',
        'source <(kv completion zsh)                                     # in ~/.zshrc, behind compinit',
        'kv completion fish > ~/.config/fish/completions/kv.fish',
      ),
    )
    .action((shell: string) => execute((context) => completion(context, program, shell)))
}

interface Grammar {
  /** Options that may stand anywhere. */
  readonly options: readonly Option[]
  readonly commands: readonly Named[]
}

interface Named {
  readonly name: string
  readonly summary: string
  readonly options: readonly Option[]
  /** As `kv node` has them. */
  readonly commands: readonly Named[]
}

function named(command: Command): Named {
  const options = command.options.filter((option) => !option.hidden)
  return { name: command.name(), summary: command.summary(), options, commands: command.commands.map(named) }
}

async function completion({ io }: Context, program: Command, shell: string): Promise<number> {
  const help = new Option('--help', 'explain a command')
  const grammar: Grammar = {
    options: [...program.options, help],
    commands: program.commands.map(named),
  }
  await write(io.stdout, scriptFor(shell, grammar))
  return exitStatus.done
}

function scriptFor(shell: string, grammar: Grammar): string {
  if (shell === 'bash') return bash(grammar)
  if (shell === 'zsh') return zsh(grammar)
  if (shell === 'fish') return fish(grammar)
  throw new UsageError('shell', `there is no completion for ${JSON.stringify(shell)}: name bash, zsh or fish`)
}

const flags = (options: readonly Option[]): string[] => options.map((option) => option.long ?? option.short ?? '')

/** Both forms of an option: `-o|--output`. */
const forms = ({ short, long }: Option): string => [short, long].filter((form) => form !== undefined).join('|')

/** Options whose value is the next word. */
const valued = (options: readonly Option[]): Option[] => options.filter((option) => option.required)

function allOptions({ options, commands }: Grammar): Option[] {
  const inside = commands.flatMap((command) => [command, ...command.commands])
  return [...options, ...inside.flatMap((command) => command.options)]
}

function bash(grammar: Grammar): string {
  const names = grammar.commands.map((command) => command.name)
  const choices = valued(allOptions(grammar))
    .filter((option) => option.argChoices !== undefined)
    .map(
      (option) =>
        `    ${forms(option)}) COMPREPLY=($(compgen -W '${option.argChoices!.join(' ')}' -- "$word")); return ;;`,
    )
  const files = [...new Set(flags(valued(allOptions(grammar)).filter(takesPath)))]
  const plain = [
    ...new Set(flags(valued(allOptions(grammar)).filter((o) => !takesPath(o) && o.argChoices === undefined))),
  ]
  const within = grammar.commands.filter(({ commands }) => commands.length > 0)
  const steps = [
    `    ${names.map((name) => `/${name}`).join('|')}) command="\${COMP_WORDS[i]}" ;;`,
    ...within.map(
      ({ name, commands }) =>
        `    ${commands.map((one) => `${name}/${one.name}`).join('|')}) command="${name} \${COMP_WORDS[i]}" ;;`,
    ),
  ]
  const cases = grammar.commands.flatMap(({ name, options, commands }) => [
    `    ${name}) options="$options ${[...flags(options), ...commands.map((one) => one.name)].join(' ')}" ;;`,
    ...commands.map((one) => `    '${name} ${one.name}') options="$options ${flags(one.options).join(' ')}" ;;`),
  ])
  return `# bash completion of kv
_kv() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" command='' i
  COMPREPLY=()
  case "$before" in
${choices.join('\n')}
    ${files.join('|')}) COMPREPLY=($(compgen -f -- "$word")); return ;;
    ${plain.join('|')}) return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$command/\${COMP_WORDS[i]}" in
${steps.join('\n')}
    esac
  done
  local options='${flags(grammar.options).join(' ')}'
  case "$command" in
    '') options="$options ${names.join(' ')} help" ;;
${cases.join('\n')}
  esac
  case "$command $word" in
    'import -'*|'export -'*) ;;
    'import '*|'export '*) COMPREPLY=($(compgen -f -- "$word")); return ;;
    'completion '[^-]*|'completion ') COMPREPLY=($(compgen -W 'bash zsh fish' -- "$word")); return ;;
    'help '*) options='${names.join(' ')}' ;;
  esac
  COMPREPLY=($(compgen -W "$options" -- "$word"))
}
complete -o filenames -F _kv kv
`
}

const takesPath = (option: Option): boolean => /<(path|file)>/.test(option.flags)

function zsh(grammar: Grammar): string {
  const quote = (text: string): string => text.replace(/'/g, `'\\''`).replace(/[[\]:]/g, '\\$&')
  const spec = (option: Option): string => {
    const value = option.argChoices !== undefined ? `:value:(${option.argChoices.join(' ')})` : ':value:'
    const action = !option.required ? '' : takesPath(option) ? ':file:_files' : value
    return `'${option.long}[${quote(option.description)}]${action}'`
  }
  const list = (options: readonly Option[]): string => options.map(spec).join(' ')
  const cases = grammar.commands.map(({ name, options, commands }) => {
    const inside = commands.map((one) => one.name).join(' ')
    const insideOptions = list(commands.flatMap((one) => one.options))
    if (commands.length > 0) return `    ${name}) _arguments $global ${insideOptions} '1:command:(${inside})' '*::' ;;`
    const operand = name === 'import' || name === 'export' ? `'*:file:_files'` : `'*::'`
    const rest = name === 'completion' ? `'*:shell:(bash zsh fish)'` : operand
    return `    ${name}) _arguments $global ${list(options)} ${rest} ;;`
  })
  return `#compdef kv
# zsh completion of kv
_kv() {
  local -a global commands
  local state line
  global=(${list(grammar.options)})
  commands=(${grammar.commands.map(({ name, summary }) => `'${name}:${quote(summary)}'`).join(' ')})
  _arguments -C $global '1: :->command' '*:: :->rest'
  case $state in
    command) _describe -t commands command commands; return ;;
  esac
  case $line[1] in
${cases.join('\n')}
  esac
}
compdef _kv kv
`
}

function fish(grammar: Grammar): string {
  const quote = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`
  const line = (option: Option, condition: string): string => {
    const value = option.argChoices === undefined ? '-r' : `-x -a ${quote(option.argChoices.join(' '))}`
    const argument = !option.required ? '' : takesPath(option) ? ' -r -F' : ` ${value}`
    const short = option.short === undefined ? '' : `-s ${option.short.slice(1)} `
    return `complete -c kv ${condition}${short}-l ${option.long?.slice(2)}${argument} -d ${quote(option.description)}`
  }
  const lines = ['# fish completion of kv', 'complete -c kv -f']
  lines.push(...grammar.options.map((option) => line(option, '')))
  for (const { name, summary, options, commands } of grammar.commands) {
    lines.push(`complete -c kv -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`)
    lines.push(...options.map((option) => line(option, `-n '__fish_seen_subcommand_from ${name}' `)))
    for (const one of commands) {
      const here = `__fish_seen_subcommand_from ${name}; and `
      const names = commands.map((each) => each.name).join(' ')
      const none = `${here}not __fish_seen_subcommand_from ${names}`
      lines.push(`complete -c kv -n '${none}' -a ${one.name} -d ${quote(one.summary)}`)
      const both = `${here}__fish_seen_subcommand_from ${one.name}`
      lines.push(...one.options.map((option) => line(option, `-n '${both}' `)))
    }
  }
  lines.push(`complete -c kv -n '__fish_seen_subcommand_from import export' -F`)
  lines.push(`complete -c kv -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'`)
  return `${lines.join('\n')}\n`
}
