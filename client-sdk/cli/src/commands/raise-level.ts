import type { Command } from 'commander'
import { examples } from '../arguments.js'
import { confirm } from '../confirm.js'
import type { Context, Execute } from '../context.js'
import { exitStatus, FailedError, UsageError } from '../exit.js'
import { write, writeJson } from '../output.js'

interface Flags {
  readonly yes?: true
  readonly dryRun?: true
}

export function registerRaiseLevel(program: Command, execute: Execute): void {
  program
    .command('raise-level')
    .summary('end an upgrade: let members use what their release has new')
    .description(
      'After all members have been started with a new release they still go by what the old one understands, so that it ' +
        'may come back. This ends that, for good: an older release refuses to start afterwards.',
    )
    .option('--yes', 'do not ask')
    .option('--dry-run', 'only show what it would come to')
    .helpGroup('Cluster:')
    .addHelpText('after', examples('kv raise-level --dry-run', 'kv raise-level --yes'))
    .action((flags: Flags) => execute((context) => raiseLevel(context, flags)))
}

async function raiseLevel({ io, client, options }: Context, { yes, dryRun }: Flags): Promise<number> {
  const { timeoutMs, json } = options
  const { operator } = client()
  const plan = await operator.raiseLevel({ dryRun: true, timeoutMs })
  const isNews = plan.after > plan.before
  if (dryRun === true || !isNews) {
    const no = `the feature level is ${plan.before}, and not all members' software goes by a newer one`
    const text = isNews ? `the feature level would rise from ${plan.before} to ${plan.after}` : no
    if (json) await writeJson(io.stdout, { ...plan, raised: false })
    else await write(io.stdout, `${text}\n`)
    return exitStatus.done
  }
  if (yes !== true) {
    if (json) throw new UsageError('--yes', 'with --json nobody is asked: say --yes to go ahead')
    const question = `raise the feature level from ${plan.before} to ${plan.after}, so that no older release can come back?`
    if (!(await confirm(io, question))) throw new FailedError('nothing was changed')
  }
  const { before, after } = await operator.raiseLevel({ timeoutMs })
  if (json) await writeJson(io.stdout, { before, after, raised: after > before })
  else await write(io.stdout, `the feature level is ${after}\n`)
  return exitStatus.done
}
