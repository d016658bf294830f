import type { Command } from 'commander'
import { examples } from '../arguments.js'
import type { Context, Execute } from '../context.js'
import { parseDuration } from '../duration.js'
import { exitStatus, UsageError } from '../exit.js'
import { limits } from '../limits.js'
import { write, writeJson } from '../output.js'
import { lookAtCluster, statusJson, statusText } from '../status-text.js'
import { watchStatus } from '../status-watch.js'

interface StatusOptions {
  readonly watch?: true
  readonly interval?: number
}

export function registerStatus(program: Command, execute: Execute): void {
  program
    .command('status')
    .summary('show the cluster and its members')
    .description(
      'Shows the members of the cluster in the eyes of the node that answers, and what each says about itself. With ' +
        '--json, one object. With --watch again and again until Ctrl-C: in place on a terminal, elsewhere one line each ' +
        'time (with --json one object).',
    )
    .option('--watch', 'show it again and again')
    .option('--interval <duration>', 'how often, with --watch (default: 1s)', intervalOf)
    .helpGroup('Cluster:')
    .addHelpText(
      'after',
      examples(
        'kv status',
        'kv --json status | jq -r \'.members[] | select(.liveness == "dead") | .id\'',
        'kv status --watch',
      ),
    )
    .action(({ watch, interval }: StatusOptions) =>
      execute((context) => {
        if (watch === true) return watchStatus(context, interval ?? limits.watchIntervalMs)
        if (interval !== undefined) throw new UsageError('--interval', '--interval says how often: give --watch, too')
        return status(context)
      }),
    )
}

/** As long as one redraw takes at least, and a day at most. */
export function intervalOf(text: string): number {
  const ms = parseDuration(text, '--interval', true)
  if (ms >= limits.watchIntervalMsMin && ms <= limits.watchIntervalMsMax) return ms
  throw new UsageError('--interval', `--interval must be from 100ms to 1d, got ${JSON.stringify(text)}`)
}

/** `kv status`, once. */
export async function status({ io, client, options, look }: Context): Promise<number> {
  const view = await lookAtCluster(client(), options.timeoutMs)
  if (options.json) await writeJson(io.stdout, statusJson(view))
  else await write(io.stdout, statusText(view, look))
  return exitStatus.done
}
