import type { ForcedRemoval } from '@quorumkv/client'
import type { Context } from '../context.js'
import { exitStatus, UsageError } from '../exit.js'
import { write, writeJson } from '../output.js'
import { formatCount, plural } from '../text.js'
import { type ChangeFlags, change } from './node-change.js'

export interface RemoveFlags extends ChangeFlags {
  readonly forceUnsafe?: true
  readonly epoch?: number
}

/** `kv node remove`: by agreement, or, where nobody is left to agree with, by one node alone. */
export async function remove(context: Context, ids: readonly string[], flags: RemoveFlags): Promise<number> {
  if (flags.forceUnsafe === true) return await forceRemove(context, ids, flags)
  if (flags.epoch !== undefined) throw new UsageError('--epoch', '--epoch goes with --force-unsafe')
  if (ids.length > 1)
    throw new UsageError('ids', 'only --force-unsafe takes several members at once: remove one, then the next')
  return await change(context, { kind: 'remove', id: ids[0]! }, flags)
}

async function forceRemove(context: Context, ids: readonly string[], flags: RemoveFlags): Promise<number> {
  const { io, options, client } = context
  const { timeoutMs, json } = options
  const { epoch } = flags
  const [endpoint, ...others] = options.endpoints
  if (others.length > 0)
    throw new UsageError('--endpoints', '--force-unsafe is asked of one living node: name only that one')
  if (epoch === undefined)
    throw new UsageError('--epoch', '--force-unsafe needs --epoch, as `kv status` shows it for that node')
  const { operator } = client()
  const plan = await operator.forceRemove(endpoint!, ids, epoch, { dryRun: true, timeoutMs })
  if (!json) await write(flags.dryRun === true ? io.stdout : io.stderr, warning(ids, plan))
  if (flags.dryRun === true) {
    if (json) await writeJson(io.stdout, { ids, plan })
    return exitStatus.done
  }
  // Not a question at a terminal: this is not to be answered in passing.
  if (flags.yes !== true) throw new UsageError('--yes', '--force-unsafe needs --yes')
  const done = await operator.forceRemove(endpoint!, ids, epoch, { timeoutMs })
  if (json) await writeJson(io.stdout, { ids, ...done })
  else await write(io.stdout, `${ids.join(', ')} removed by ${done.nodeId} alone; the epoch is ${done.epoch}\n`)
  return exitStatus.done
}

function warning(ids: readonly string[], { nodeId, emptySlots, doubtfulSlots, remaining }: ForcedRemoval): string {
  const lines = [
    `${nodeId} would remove ${ids.join(', ')} without asking anybody; ${remaining.join(', ')} would go on.`,
    emptySlots.length === 0
      ? '  Of every slot there is a copy left.'
      : `  ${plural(emptySlots.length, 'slot')} have no copy left, and begin empty: ${rangesText(emptySlots)}`,
    `  ${plural(doubtfulSlots, 'slot')} have fewer copies left than a read asks: what was acknowledged last may be gone.`,
    '  A removed member that is started again while others of them run would be a second cluster with the same name:',
    '  make sure that they are off for good, and empty their data directories.',
  ]
  return `${lines.join('\n')}\n`
}

/** `3-5, 9`: numbers in ascending order. */
function rangesText(numbers: readonly number[]): string {
  const ranges: { from: number; to: number }[] = []
  for (const number of numbers) {
    const last = ranges.at(-1)
    if (last?.to === number - 1) last.to = number
    else ranges.push({ from: number, to: number })
  }
  return ranges.map(({ from, to }) => (from === to ? formatCount(from) : `${from}-${to}`)).join(', ')
}
