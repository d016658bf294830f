import { type ChangePlan, type ClusterStatus, KvError, type PlannedChange } from '@quorumkv/client'
import { handoverProgress, planText } from '../change-text.js'
import { confirm } from '../confirm.js'
import type { Client, Context } from '../context.js'
import { exitStatus, FailedError, UsageError } from '../exit.js'
import { limits } from '../limits.js'
import { write, writeJson } from '../output.js'
import { Progress } from '../progress.js'

export interface ChangeFlags {
  readonly yes?: true
  readonly dryRun?: true
  readonly wait: boolean
}

/** What a command line asks for. */
export type Wanted =
  | { readonly kind: 'decommission' | 'remove'; readonly id: string }
  | { readonly kind: 'replace'; readonly id: string; readonly by: string }
  | { readonly kind: 'reweight'; readonly id: string; readonly weight: number }
  | { readonly kind: 'cancel'; readonly id: string | undefined }

/** Shows what a change comes to, asks, has it made, and waits for its end. */
export async function change(context: Context, wanted: Wanted, flags: ChangeFlags): Promise<number> {
  const { io, client, options, look } = context
  const { json } = options
  const timeoutMs = options.timeoutMs === undefined ? undefined : Math.min(options.timeoutMs, limits.callMsMax)
  const plan = await ask(client(), wanted, undefined, timeoutMs)
  if (flags.dryRun === true) {
    if (json) await writeJson(io.stdout, { ...wanted, plan })
    else await write(io.stdout, planText(describe(wanted), plan, look))
    return exitStatus.done
  }
  if (!json) await write(io.stderr, planText(describe(wanted), plan, look))
  if (flags.yes !== true) {
    if (json) throw new UsageError('--yes', 'with --json nobody is asked: say --yes to go ahead')
    if (!(await confirm(io, `${describe(wanted)}?`))) throw new FailedError('nothing was changed')
  }
  const { epoch } = await ask(client(), wanted, plan, timeoutMs)
  const over = flags.wait ? await follow(context, wanted, epoch) : false
  const outcome = over ? 'done' : 'it goes on by itself: `kv status` tells how far it is'
  if (json) await writeJson(io.stdout, { ...wanted, plan, epoch, done: over })
  else await write(io.stdout, `${describe(wanted)}: ${outcome}\n`)
  return exitStatus.done
}

function describe(wanted: Wanted): string {
  if (wanted.kind === 'cancel')
    return wanted.id === undefined ? 'cancel the handover' : `cancel the changes of ${wanted.id}`
  if (wanted.kind === 'replace') return `replace ${wanted.id} by ${wanted.by}`
  return wanted.kind === 'reweight' ? `reweight ${wanted.id} to ${wanted.weight}` : `${wanted.kind} ${wanted.id}`
}

/** `plan`: what was agreed to; undefined: it is only to be told. */
function ask(
  { operator }: Client,
  wanted: Wanted,
  plan: ChangePlan | undefined,
  timeoutMs: number | undefined,
): Promise<ChangePlan> {
  const options = { dryRun: plan === undefined, timeoutMs }
  switch (wanted.kind) {
    case 'decommission':
      return operator.decommission(wanted.id, options)
    case 'remove':
      return operator.remove(wanted.id, options)
    case 'replace':
      return operator.replace(wanted.id, wanted.by, options)
    case 'reweight':
      return operator.reweight(wanted.id, wanted.weight, options)
    case 'cancel':
      return operator.cancel(wanted.id, { ...options, epoch: plan?.epoch })
    default:
      return wanted satisfies never
  }
}

/** Until the change is over; a bound on the whole is `--timeout`, where one was given. Resolves to true. */
async function follow(context: Context, wanted: Wanted, since: number): Promise<boolean> {
  const { io, options } = context
  const endMs = io.timing.monotonic() + (options.timeoutMs ?? Number.POSITIVE_INFINITY)
  let seen: ClusterStatus | undefined
  const sample = () => {
    const progress = seen?.handover === undefined ? undefined : handoverProgress(seen.handover)
    const waits = seen?.handover === undefined && seen?.planned.some(({ id }) => id === wanted.id) === true
    const [records, bytes] = [progress?.done ?? 0, progress?.bytes ?? 0]
    return { records, noun: 'slot', bytes, done: records, total: progress?.slots, note: waits ? 'waits' : undefined }
  }
  const progress = new Progress(io, { verb: wanted.kind, shown: true, json: options.json }, sample)
  try {
    let newest = since
    let heardMs = io.timing.monotonic()
    for (;;) {
      const status = await statusOrSilence(context, io.timing.monotonic() - heardMs < limits.changeSilenceMs)
      // One that lags behind would say that nothing has begun.
      if (status !== undefined && status.epoch >= newest) {
        newest = status.epoch
        seen = status
        heardMs = io.timing.monotonic()
        const verdict = verdictOf(status, wanted)
        if (verdict === 'over') return true
        if (verdict === 'called-off') throw new FailedError(`${describe(wanted)} was called off`)
      }
      if (io.timing.monotonic() >= endMs) {
        throw new FailedError(
          `${describe(wanted)} is not over yet`,
          'The cluster goes on by itself; `kv status` tells how far it is.',
        )
      }
      await io.timing.sleep(limits.changePollMs, new AbortController().signal)
    }
  } finally {
    progress.end()
  }
}

/** Undefined: no node has answered, which is borne for a while. */
async function statusOrSilence({ client, options }: Context, patient: boolean): Promise<ClusterStatus | undefined> {
  const timeoutMs = Math.min(options.timeoutMs ?? limits.changeAnswerMs, limits.changeAnswerMs)
  try {
    return await client().status(undefined, { timeoutMs })
  } catch (error) {
    if (error instanceof KvError && error.retryable && patient) return undefined
    throw error
  }
}

/** How a change stands in the eyes of a node that knows of it. */
function verdictOf({ members, handover, planned }: ClusterStatus, wanted: Wanted): 'over' | 'runs' | 'called-off' {
  // What is called off is out of the topology at once.
  if (wanted.kind === 'cancel') return 'over'
  const { id } = wanted
  const isMeant = (change: PlannedChange): boolean => change.id === id && change.kind === wanted.kind
  const member = members.find((each) => each.id === id)
  if (wanted.kind === 'reweight') {
    if (planned.some(isMeant) || handover?.changes.some(isMeant) === true) return 'runs'
    return member?.weight === wanted.weight ? 'over' : 'called-off'
  }
  if (member !== undefined) {
    const stays = member.state === 'serving' && !planned.some(isMeant) && handover?.changes.some(isMeant) !== true
    return stays ? 'called-off' : 'runs'
  }
  if (wanted.kind !== 'replace') return 'over'
  return members.some((each) => each.id === wanted.by && each.state === 'serving') ? 'over' : 'runs'
}
