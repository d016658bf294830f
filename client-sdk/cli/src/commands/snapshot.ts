import { type CallOptions, KvError, type Member, type SnapshotTaken } from '@quorumkv/client'
import { type Command, Option } from 'commander'
import { examples } from '../arguments.js'
import type { Client, Context, Execute } from '../context.js'
import { formatDuration } from '../duration.js'
import { exitStatus, FailedError } from '../exit.js'
import { limits } from '../limits.js'
import { memberNamed } from '../members.js'
import { write, writeJson } from '../output.js'
import { formatBytes, formatCount } from '../text.js'

interface SnapshotOptions {
  readonly node?: string
  readonly all?: true
}

export function registerSnapshot(program: Command, execute: Execute): void {
  program
    .command('snapshot')
    .summary('let nodes write a snapshot now')
    .description(
      'Lets a node write its data to a snapshot now: the one that answers at --endpoints, the one named with --node, or ' +
        'all members. Where nothing has changed since the newest snapshot, that one is told. Each member is asked at its ' +
        'own address. Waits for up to 10 minutes unless --timeout is given. With --json, one line for each node.',
    )
    .addOption(new Option('--node <id>', 'the member with this id').conflicts('all'))
    .option('--all', 'all members, at the same time')
    .helpGroup('Cluster:')
    .addHelpText('after', examples('kv snapshot', 'kv snapshot --node n2', 'kv snapshot --all --json'))
    .action((options: SnapshotOptions) => execute((context) => snapshot(context, options)))
}

/** What came of asking one node. */
type Outcome = { readonly taken: SnapshotTaken } | { readonly member: Member; readonly error: KvError }

async function snapshot(context: Context, options: SnapshotOptions): Promise<number> {
  const client = context.client()
  const call: CallOptions = { timeoutMs: context.options.timeoutMs ?? limits.snapshotMs }
  if (options.all !== true && options.node === undefined) {
    await tell(context, { taken: await client.snapshot(undefined, call) })
    return exitStatus.done
  }
  const { members } = await client.topology({ timeoutMs: context.options.timeoutMs })
  const asked = options.node === undefined ? members : [memberNamed(members, options.node)]
  // Told as they come: the slowest of many may take minutes.
  const outcomes = await Promise.all(
    asked.map(async (member) => {
      const outcome = await ask(client, member, call)
      await tell(context, outcome)
      return outcome
    }),
  )
  const failures = outcomes.flatMap((outcome) => ('error' in outcome ? [outcome.error] : []))
  if (failures.length === 0) return exitStatus.done
  if (asked.length === 1) throw failures[0]
  throw new FailedError(`${failures.length} of ${asked.length} members took no snapshot`)
}

async function ask(client: Client, member: Member, call: CallOptions): Promise<Outcome> {
  try {
    const taken = await client.snapshot(member.address, call)
    if (taken.nodeId === member.id) return { taken }
    const message = `${member.address}: is node ${taken.nodeId} from here, and not ${member.id}`
    return { member, error: new KvError('unavailable', message, { node: member.address }) }
  } catch (error) {
    if (!(error instanceof KvError)) throw error
    return { member, error }
  }
}

async function tell({ io, options }: Context, outcome: Outcome): Promise<void> {
  if ('error' in outcome) {
    const { id } = outcome.member
    const { code, message } = outcome.error
    if (options.json) await writeJson(io.stdout, { nodeId: id, error: { code, message } })
    else await write(io.stderr, `${id}: ${message}\n`)
    return
  }
  const { nodeId, sequence, records, bytes, durationMs } = outcome.taken
  if (options.json) return await writeJson(io.stdout, outcome.taken)
  const size = `${formatCount(records)} records, ${formatBytes(bytes)}`
  await write(io.stdout, `${nodeId}: up to sequence ${sequence}, ${size}, in ${formatDuration(durationMs)}\n`)
}
