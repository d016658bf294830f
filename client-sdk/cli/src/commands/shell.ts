import { type Command, Option } from 'commander'
import { examples } from '../arguments.js'
import type { Context, Execute } from '../context.js'
import { exitStatus, type UsageError } from '../exit.js'
import { limits } from '../limits.js'
import { write } from '../output.js'
import { explain, sentence } from '../report.js'
import { History } from '../shell/history.js'
import { runScript } from '../shell/script.js'
import { type RunLine, Shell } from '../shell/shell.js'
import { Terminal } from '../shell/terminal.js'
import { plural } from '../text.js'

/** What makes the grammar of the shell's lines: commander wants a whole program for that. */
export type ShellGrammar = (shell: Shell) => Command

export function registerShell(program: Command, execute: Execute, run: RunLine, grammar: ShellGrammar): void {
  program
    .command('shell')
    .summary('run one command after another')
    .description(
      'Runs commands that are typed, or read from a pipe: everything that can stand behind `kv`, and help, info, ' +
        'show_ring, refresh, watch-status, set, exit. Words are quoted as in a shell; \\n \\t \\xNN \\u{N} are escapes; an ' +
        'open quote goes on in the next line, and <<END stands for the lines up to END. Tab completes commands, options ' +
        'and keys. Ctrl-C cancels the command that runs, Ctrl-D leaves. Lines are kept in ~/.kv_history (KVCLI_HISTFILE), ' +
        'except those that begin with a blank or look as if they held a secret.',
    )
    .addOption(new Option('-e, --exit-on-error', 'from a pipe: stop at the first command that fails'))
    .helpGroup('Keys:')
    .addHelpText(
      'after',
      examples(
        'kv shell',
        'kv --consistency one shell',
        'kv shell < commands.txt          # exit status: of the first command that failed',
        "printf 'put a 1\\nget a\\n' | kv shell -e",
      ),
    )
    .action(({ exitOnError = false }: { exitOnError?: boolean }) =>
      execute((context) => shell(context, run, grammar, exitOnError)),
    )
}

async function shell(context: Context, run: RunLine, grammar: ShellGrammar, exitOnError: boolean): Promise<number> {
  const { io, options } = context
  const session = new Shell(context, run)
  const fail = async (error: UsageError): Promise<number> => {
    const report = explain(error, { endpoints: options.endpoints, reached: true })!
    await write(io.stderr, `${sentence(report)}\n`)
    return exitStatus.usage
  }
  if (io.stdin.isTTY !== true || io.stdout.isTTY !== true) return runScript(session, { exitOnError, fail })
  const clusterId = await greet(context, session)
  const history = new History(io.env)
  const prompt = (): string => {
    const level = session.settings.consistency ?? 'quorum'
    return `kv ${clusterId?.slice(0, 8) ?? options.endpoints[0]} ${level}> `
  }
  return new Terminal(session, { history, program: grammar(session), prompt, fail }).run()
}

/** Says whose shell this is. Undefined: nobody has answered, which is told and ends nothing. */
async function greet({ io, options, colours }: Context, { client }: Shell): Promise<string | undefined> {
  try {
    const { clusterId, members } = await client.status(undefined, { timeoutMs: limits.shellGreetingMs })
    const alive = members.filter(({ liveness }) => liveness === 'alive').length
    const what = `cluster ${clusterId || '(none yet)'}, ${alive} of ${plural(members.length, 'member')} alive`
    await write(io.stdout, `${what}\n${colours.dim('`help` lists the commands, Tab completes, Ctrl-D leaves')}\n`)
    return clusterId === '' ? undefined : clusterId
  } catch (error) {
    const report = explain(error, { endpoints: options.endpoints, reached: false })
    if (report === undefined || report.status === exitStatus.usage) throw error
    await write(io.stderr, `${colours.yellow(sentence(report))}\n`)
    return undefined
  }
}
