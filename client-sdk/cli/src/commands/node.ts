import { type Command, Option } from 'commander'
import { examples, wholeNumber } from '../arguments.js'
import type { Context, Execute } from '../context.js'
import { exitStatus, FailedError, UsageError } from '../exit.js'
import { limits } from '../limits.js'
import { memberNamed } from '../members.js'
import { write, writeJson } from '../output.js'
import { table } from '../table.js'
import { formatBytes, parseBytes, plural } from '../text.js'
import { type RemoveFlags, remove } from './force-remove.js'
import { type ChangeFlags, change } from './node-change.js'

interface RateFlags {
  readonly node?: string
}

interface DrainFlags {
  readonly wait: boolean
}

/** `kv node`: what operators do with single members. */
export function registerNode(program: Command, execute: Execute): void {
  const node = program
    .command('node')
    .summary('take members out, put others in their place, restart them safely')
    .description('Changes who owns what, and helps to restart members one after the other without anybody noticing.')
    .helpGroup('Cluster:')
    .addHelpText(
      'after',
      examples(
        'kv node decommission n3',
        'kv node remove n3 --yes',
        'kv node replace n3 --by n4',
        'kv node safe-to-stop n1 && systemctl restart kv-server',
      ),
    )
  registerChanges(node, execute)
  node
    .command('safe-to-stop <id>')
    .summary('tell whether a member may go down now (status 0: yes, 1: no)')
    .description(
      'Tells whether a member may go down now without any slot losing its read or write quorum. Stop one at a time, and ' +
        'wait until it is back and this says yes for the next.',
    )
    .action((id: string) => execute((context) => safeToStop(context, id)))
  node
    .command('drain <id>')
    .summary('send the clients of a member to others, until it is started again')
    .description(
      'The member takes no more requests of clients, finishes what runs, and stays a replica. Its health says NOT_SERVING. ' +
        'Waits until nothing runs any more. Undone by a restart.',
    )
    .option('--no-wait', 'do not wait for what runs')
    .option('--yes', 'accepted as everywhere; draining is never asked about')
    .action((id: string, flags: DrainFlags) => execute((context) => drain(context, id, flags)))
  node
    .command('stream-rate [rate]')
    .summary('show or set how fast handovers stream')
    .description('What handovers may stream to each member in a second: 64MiB, say. Without a rate it is shown.')
    .option('--node <id>', 'only the member with this id')
    .action((rate: string | undefined, flags: RateFlags) => execute((context) => streamRate(context, rate, flags)))
}

function registerChanges(node: Command, execute: Execute): void {
  const command = (usage: string, summary: string, description: string): Command =>
    node
      .command(usage)
      .summary(summary)
      .description(
        `${description} Shows first what has to be moved and what may fail meanwhile, asks, and then waits for the end; the ` +
          'cluster goes on by itself when this program is ended.',
      )
      .option('--yes', 'do not ask')
      .option('--dry-run', 'only show the plan')
      .option('--no-wait', 'do not wait for the end')
  command(
    'decommission <id>',
    'let a live member hand over what it has, and go',
    'A live member hands its slots over to the others, and goes.',
  ).action((id: string, flags: ChangeFlags) =>
    execute((context) => change(context, { kind: 'decommission', id }, flags)),
  )
  command(
    'remove <ids...>',
    'take a dead member out',
    'A dead member goes. The others make copies of what it had out of theirs. Where a majority of the members is gone for ' +
      'good, --force-unsafe has one living node (--endpoints) remove all dead ones on its own authority: what was ' +
      'acknowledged may be lost, and nobody must ever start them again.',
  )
    .option('--force-unsafe', 'without a majority; only when it is gone for good')
    .addOption(
      new Option('--epoch <number>', 'with --force-unsafe: the epoch that the node is at').argParser(
        wholeNumber('--epoch', 1, Number.MAX_SAFE_INTEGER),
      ),
    )
    .action((ids: string[], flags: RemoveFlags) => execute((context) => remove(context, ids, flags)))
  command(
    'replace <id>',
    'let a node that joins take the place of a member',
    'A node that joins takes the place and the weight of a member.',
  )
    .requiredOption('--by <id>', 'the node that joins, or will join')
    .action((id: string, flags: ChangeFlags & { by: string }) =>
      execute((context) => change(context, { kind: 'replace', id, by: flags.by }, flags)),
    )
  command(
    'reweight <id> <weight>',
    'give a member another part of the data',
    'A member gets more or less of the data: so many shares as its weight says.',
  ).action((id: string, text: string, flags: ChangeFlags) =>
    execute((context) => {
      const weight = wholeNumber('weight', 1, 1000)(text)
      return change(context, { kind: 'reweight', id, weight }, flags)
    }),
  )
  command(
    'cancel [id]',
    'call off what is planned or under way',
    'Calls off what is planned about a member, or the handover that runs with all that it was for.',
  ).action((id: string | undefined, flags: ChangeFlags) =>
    execute((context) => change(context, { kind: 'cancel', id }, flags)),
  )
}

async function safeToStop({ io, client, options, colours }: Context, id: string): Promise<number> {
  const { safe, reason } = await client().operator.safeToStop(id, { timeoutMs: options.timeoutMs })
  if (options.json) await writeJson(io.stdout, { id, safe, reason })
  else if (safe) await write(io.stdout, `${id} may be stopped\n`)
  else await write(io.stdout, colours.yellow(`${id} must not be stopped now: ${reason}\n`))
  return safe ? exitStatus.done : exitStatus.failed
}

async function drain({ io, client, options }: Context, id: string, { wait }: DrainFlags): Promise<number> {
  const { timeoutMs, json } = options
  const { address } = memberNamed((await client().topology({ timeoutMs })).members, id, 'id')
  let operations = await client().operator.drain(address, { timeoutMs })
  const endMs = io.timing.monotonic() + (timeoutMs ?? limits.drainMs)
  while (wait && operations > 0) {
    if (io.timing.monotonic() >= endMs) {
      throw new FailedError(
        `${id} drains, and ${plural(operations, 'operation')} still ran there when the time was over`,
      )
    }
    await io.timing.sleep(limits.changePollMs, new AbortController().signal)
    operations = (await client().status(address, { timeoutMs })).operations
  }
  const left =
    operations === 0 ? 'nothing runs there any more' : `still running there: ${plural(operations, 'operation')}`
  if (json) await writeJson(io.stdout, { id, draining: true, operations })
  else await write(io.stdout, `${id} drains; ${left}\n`)
  return exitStatus.done
}

async function streamRate(context: Context, rate: string | undefined, { node }: RateFlags): Promise<number> {
  const { io, client, options, look } = context
  const { timeoutMs, json } = options
  const bytes = rate === undefined ? undefined : parseBytes(rate)
  if (rate !== undefined && bytes === undefined) {
    throw new UsageError(
      'RATE',
      `RATE must be bytes a second such as 500000, 64KiB or 1.5GiB, got ${JSON.stringify(rate)}`,
    )
  }
  const { members } = await client().topology({ timeoutMs })
  const asked = node === undefined ? members : [memberNamed(members, node)]
  const rates = await Promise.all(
    asked.map(async ({ id, address }) => {
      return { id, bytesPerSecond: await client().operator.streamRate(address, bytes, { timeoutMs }) }
    }),
  )
  if (json) await writeJson(io.stdout, { members: rates })
  else {
    const rows = rates.map(({ id, bytesPerSecond }) => [id, `${formatBytes(bytesPerSecond)}/s`])
    await write(io.stdout, table(look, ['id', 'rate'], rows))
  }
  return exitStatus.done
}
