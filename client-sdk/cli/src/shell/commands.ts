import type { Command } from 'commander'
import { examples } from '../arguments.js'
import { ring } from '../commands/ring.js'
import { intervalOf, status } from '../commands/status.js'
import type { Execute } from '../context.js'
import { parseDuration } from '../duration.js'
import { exitStatus, UsageError } from '../exit.js'
import { limits } from '../limits.js'
import { write } from '../output.js'
import { watchStatus } from '../status-watch.js'
import { plural } from '../text.js'
import type { Shell } from './shell.js'

/** The part of the shell that its own commands change. */
type Owner = Pick<Shell, 'settings' | 'ended' | 'status'>

const group = 'Shell:'

/** The commands that only the shell has: names that people know from other stores, and what concerns the shell itself. */
export function registerInside(program: Command, execute: Execute, shell: Owner): void {
  program
    .command('info')
    .summary('the same as status')
    .helpGroup(group)
    .action(() => execute(status))
  program
    .command('show_ring')
    .summary('the same as ring')
    .helpGroup(group)
    .action(() => execute(ring))
  program
    .command('watch-status')
    .summary('the same as status --watch; Ctrl-C ends it')
    .option('--interval <duration>', 'how often (default: 1s)', intervalOf)
    .helpGroup(group)
    .action(({ interval }: { interval?: number }) =>
      execute((context) => watchStatus(context, interval ?? limits.watchIntervalMs)),
    )
  registerRefresh(program, execute)
  registerSet(program, execute, shell)
  program
    .command('exit')
    .alias('quit')
    .summary('leave the shell (Ctrl-D does, too)')
    .helpGroup(group)
    .action(() =>
      execute(async () => {
        shell.ended = true
        return exitStatus.done
      }),
    )
}

function registerRefresh(program: Command, execute: Execute): void {
  program
    .command('refresh')
    .summary('learn anew who the members are and what each owns')
    .helpGroup(group)
    .action(() =>
      execute(async ({ io, client, options }) => {
        const { epoch, members } = await client().topology({ timeoutMs: options.timeoutMs })
        await write(io.stdout, `epoch ${epoch}, ${plural(members.length, 'member')}\n`)
        return exitStatus.done
      }),
    )
}

const consistencies = ['one', 'quorum', 'all'] as const
const forms = ['table', 'json', 'raw'] as const

function registerSet(program: Command, execute: Execute, shell: Owner): void {
  const set = program
    .command('set')
    .summary('change what holds for the commands after it')
    .description('Changes what holds for the commands after it, or shows what does.')
    .helpGroup(group)
    .addHelpText(
      'after',
      examples('set consistency one', 'set output json', 'set timeout 500ms', 'set timing on', 'set   # shows all'),
    )
    .action(() => execute(({ io }) => shown(shell, (text) => write(io.stdout, text))))
  const setting = (name: string, summary: string, choices: readonly string[], change: (to: string) => void): void => {
    const argument = set.createArgument('<to>')
    set
      .command(name)
      .summary(summary)
      .addArgument(choices.length === 0 ? argument : argument.choices(choices))
      .action((to: string) =>
        execute(async () => {
          change(to)
          return exitStatus.done
        }),
      )
  }
  const { settings } = shell
  setting('consistency', 'how many replicas must take part', [...consistencies, 'default'], (to) => {
    settings.consistency = consistencies.find((one) => one === to)
  })
  setting('output', 'how results are printed', [...forms, 'default'], (to) => {
    settings.output = forms.find((one) => one === to)
  })
  setting('timeout', 'how long a request may take: 500ms, 5s, default', [], (to) => {
    settings.timeoutMs = to === 'default' ? undefined : timeoutOf(to)
  })
  setting('timing', 'whether it is said how long each command took (also \\timing)', ['on', 'off'], (to) => {
    settings.timing = to === 'on'
  })
}

function timeoutOf(text: string): number {
  const ms = parseDuration(text, 'TIMEOUT', true)
  if (ms <= limits.callMsMax) return ms
  throw new UsageError('TIMEOUT', `TIMEOUT must be at most ${limits.callMsMax} ms, got ${JSON.stringify(text)}`)
}

async function shown({ settings }: Owner, tell: (text: string) => Promise<void>): Promise<number> {
  const { consistency = 'default', output = 'default', timeoutMs, timing } = settings
  const timeout = timeoutMs === undefined ? 'default' : `${timeoutMs} ms`
  await tell(`consistency ${consistency}\noutput ${output}\ntimeout ${timeout}\ntiming ${timing ? 'on' : 'off'}\n`)
  return exitStatus.done
}
