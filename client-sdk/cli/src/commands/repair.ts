import { type ClusterTopology, KvError, type Member, type RepairProgress } from '@quorumkv/client'
import { type Command, Option } from 'commander'
import { examples, wholeNumber } from '../arguments.js'
import type { Context, Execute } from '../context.js'
import { formatDuration } from '../duration.js'
import { exitStatus, FailedError, UsageError } from '../exit.js'
import { memberNamed } from '../members.js'
import { write, writeJson } from '../output.js'
import { Progress } from '../progress.js'
import { formatBytes, plural } from '../text.js'

interface RepairOptions {
  readonly slot?: number
  readonly node?: string
}

export function registerRepair(program: Command, execute: Execute): void {
  program
    .command('repair')
    .summary('make the copies of the members equal now')
    .description(
      'Lets each member compare its copy with those of the others, fetch what it lacks and send what they lack. Members ' +
        'do so every few seconds by themselves; this begins at once, waits for the end and tells what was found. ' +
        '--timeout is for each answer and not for the whole. With --json, one line for each member.',
    )
    .addOption(
      new Option('--slot <number>', 'only this slot, by its owners (see: kv partition)')
        .argParser(wholeNumber('--slot', 0, Number.MAX_SAFE_INTEGER))
        .conflicts('node'),
    )
    .option('--node <id>', 'only the copy of the member with this id, against all others')
    .helpGroup('Cluster:')
    .addHelpText('after', examples('kv repair', 'kv repair --node n2', 'kv repair --slot 1234 --json'))
    .action((options: RepairOptions) => execute((context) => repair(context, options)))
}

/** What came of one member's repair; `progress` undefined: it never began. */
interface Outcome {
  readonly member: Member
  readonly progress: RepairProgress | undefined
  readonly error: KvError | undefined
  readonly tookMs: number
}

async function repair(context: Context, options: RepairOptions): Promise<number> {
  const { io } = context
  const { timeoutMs, json } = context.options
  const asked = membersAsked(await context.client().topology({ timeoutMs }), options)
  const latest = new Map<string, RepairProgress>()
  const progress = new Progress(io, { verb: 'repair', shown: true, json }, () => sampleOf([...latest.values()]))
  try {
    const outcomes = await Promise.all(
      asked.map(async (member) => {
        const outcome = await follow(context, member, options.slot, (now) => latest.set(member.id, now))
        progress.clear()
        await tell(context, outcome)
        return outcome
      }),
    )
    const failed = outcomes.filter((outcome) => !isWhole(outcome)).length
    if (failed === 0) return exitStatus.done
    throw new FailedError(
      `${failed} of ${plural(asked.length, 'member')} could not be compared with all others`,
      'Members go on comparing by themselves; `kv status` tells how they stand.',
    )
  } finally {
    progress.end()
  }
}

/** Every pair of copies is compared where all of its owners compare theirs with all others. */
function membersAsked(topology: ClusterTopology, { slot, node }: RepairOptions): readonly Member[] {
  if (node !== undefined) return [memberNamed(topology.members, node)]
  if (slot === undefined) return topology.members
  if (slot < topology.slots) return topology.owners(slot)
  throw new UsageError('--slot', `--slot must be a whole number from 0 to ${topology.slots - 1}, got ${slot}`)
}

async function follow(
  { io, options, client }: Context,
  member: Member,
  slot: number | undefined,
  heard: (progress: RepairProgress) => void,
): Promise<Outcome> {
  const startedMs = io.timing.monotonic()
  let progress: RepairProgress | undefined
  let error: KvError | undefined
  try {
    for await (const now of client().repair(member.address, { slot, timeoutMs: options.timeoutMs })) {
      if (now.nodeId !== member.id) {
        const message = `${member.address}: is node ${now.nodeId} from here, and not ${member.id}`
        throw new KvError('unavailable', message, { node: member.address })
      }
      progress = now
      heard(now)
    }
  } catch (thrown) {
    if (!(thrown instanceof KvError)) throw thrown
    error = thrown
  }
  return { member, progress, error, tookMs: io.timing.monotonic() - startedMs }
}

function isWhole({ progress, error }: Outcome): boolean {
  return error === undefined && progress?.done === true && progress.obstacles.length === 0
}

function sampleOf(all: readonly RepairProgress[]) {
  const sum = (figure: (progress: RepairProgress) => number): number =>
    all.reduce((total, one) => total + figure(one), 0)
  const [differing, repaired] = [sum((one) => one.slotsDiffering), sum((one) => one.slotsRepaired)]
  return {
    records: sum((one) => one.recordsPulled + one.recordsPushed),
    bytes: sum((one) => one.bytes),
    done: sum((one) => one.membersDone),
    total: sum((one) => one.members),
    note: differing === 0 ? undefined : `${repaired} of ${plural(differing, 'slot')}`,
  }
}

async function tell({ io, options }: Context, { member, progress, error, tookMs }: Outcome): Promise<void> {
  if (options.json) {
    const failure = error === undefined ? {} : { error: { code: error.code, message: error.message } }
    await writeJson(io.stdout, { nodeId: member.id, ...progress, durationMs: Math.round(tookMs), ...failure })
    return
  }
  const troubles = (progress?.obstacles ?? []).map(({ nodeId, reason }) => `not compared with ${nodeId}: ${reason}`)
  if (error !== undefined) troubles.push(error.message)
  if (progress !== undefined) await write(io.stdout, `${member.id}: ${summary(progress, tookMs)}\n`)
  for (const trouble of troubles) await write(io.stderr, `${member.id}: ${trouble}\n`)
}

function summary(progress: RepairProgress, tookMs: number): string {
  const { members, slotsDiffering, slotsRepaired, slotsSkipped, recordsPulled, recordsPushed, bytes } = progress
  const compared = members - progress.obstacles.length
  const parts = [`compared with ${compared} of ${plural(members, 'member')} in ${formatDuration(tookMs)}`]
  if (slotsDiffering === 0) parts.push('nothing differed')
  else {
    parts.push(`${slotsRepaired} of ${plural(slotsDiffering, 'slot')} that differed made equal`)
    parts.push(`${plural(recordsPulled, 'record')} fetched, ${recordsPushed} sent (${formatBytes(bytes)})`)
  }
  if (slotsSkipped > 0) parts.push(`${plural(slotsSkipped, 'slot')} left to the refill`)
  return parts.join('; ')
}
