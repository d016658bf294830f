import { type KnownSlots, removeBackup, verifyBackup } from '@quorumkv/internal/backup'
import { confirm } from '../confirm.js'
import type { Context } from '../context.js'
import { formatDuration } from '../duration.js'
import { exitStatus, FailedError } from '../exit.js'
import { write, writeJson } from '../output.js'
import { Progress } from '../progress.js'
import { table } from '../table.js'
import { formatBytes, formatCount, plural } from '../text.js'
import { BackupDirectory, type BackupState, faultOf, named, stateOf } from './directory.js'

/** `kv backup list` */
export async function listDirectory(context: Context, path: string): Promise<number> {
  const { io, look, options } = context
  const entries = await new BackupDirectory(io, path).entries()
  const rows = entries.map((entry) => {
    const { name, head, missing, totals } = entry
    const kind = head === undefined ? undefined : head.parent === undefined ? 'full' : 'incremental'
    return { name, state: stateOf(entry), fault: faultOf(entry), kind, head, missing, totals }
  })
  if (options.json) {
    const backups = rows.map(({ name, state, fault, kind, head, missing: segments, totals }) => {
      const { clusterId, epoch, parent, startedMs, endedMs } = head ?? {}
      const times = { startedAt: timeOf(startedMs), endedAt: timeOf(endedMs) }
      const missing = segments.map(({ path: file }) => file)
      return { name, state, fault, kind, parent, ...times, ...totals, clusterId, epoch, missing }
    })
    await writeJson(io.stdout, { backups })
    return statusOf(rows)
  }
  if (rows.length === 0) {
    await write(io.stdout, `${path} holds no backups\n`)
    return exitStatus.done
  }
  const cells = rows.map(({ name, state, kind, head, totals }) => [
    name,
    timeOf(head?.startedMs) ?? '',
    kind ?? '',
    totals === undefined ? '' : formatCount(totals.records),
    totals === undefined ? '' : formatBytes(totals.bytes),
    totals === undefined ? '' : formatBytes(totals.ownBytes),
    state,
  ])
  const head = ['name', 'begun', 'kind', 'records', 'size', 'of its own', 'state']
  await write(io.stdout, table(look, head, cells, ['of its own', 'begun']))
  for (const { name, state, fault } of rows)
    if (fault !== undefined) await write(io.stderr, `kv: ${name} is ${state}: ${fault}\n`)
  return statusOf(rows)
}

/** What is damaged is shown as such; where a file cannot be read, what is shown is not all that there may be. */
function statusOf(rows: readonly { readonly state: BackupState }[]): number {
  return rows.some(({ state }) => state === 'unreadable') ? exitStatus.failed : exitStatus.done
}

function timeOf(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString()
}

/** `kv backup verify`: exit status 1 where anything is wrong. */
export async function verifyDirectory(
  context: Context,
  path: string,
  name: string | undefined,
  shown: boolean,
): Promise<number> {
  const { io, options } = context
  const directory = new BackupDirectory(io, path)
  const entries = await directory.entries()
  const asked =
    name === undefined ? entries.filter((entry) => stateOf(entry) !== 'unfinished') : [named(directory, entries, name)]
  if (asked.length === 0) throw new FailedError(`${path} holds no backups`)
  const total = asked.reduce((sum, { totals }) => sum + (totals?.bytes ?? 0), 0)
  let [records, bytes, wrong] = [0, 0, 0]
  const progress = new Progress(io, { verb: 'verify', shown, json: options.json }, () => {
    return { records, bytes, done: bytes, total }
  })
  const known: KnownSlots = new Map()
  const read = (moreRecords: number, moreBytes: number): void => {
    records += moreRecords
    bytes += moreBytes
  }
  try {
    for (const { name: each, head, totals, damage } of asked) {
      const startedMs = io.timing.monotonic()
      const found = damage === undefined ? [] : [damage]
      if (head !== undefined) {
        const manifest = await directory.manifest(each)
        found.push(...(await directory.guarded(() => verifyBackup(directory.disk, manifest, { known, read }))).damages)
      } else if (damage === undefined) throw new FailedError(`${each} was never finished: it is no backup`)
      if (found.length > 0) wrong++
      progress.clear()
      const damages = found.map(({ path: file, offset, message }) => ({ file, offset, message }))
      await tellOne(context, each, totals, damages, io.timing.monotonic() - startedMs)
    }
  } finally {
    progress.end()
  }
  if (wrong === 0) return exitStatus.done
  throw new FailedError(
    `${wrong} of ${plural(asked.length, 'backup')} cannot be restored as a whole`,
    'Put the files back from a copy; or make a new one with `kv backup create --full`, and remove what is damaged. ' +
      'What is whole of one comes back with `kv backup restore --skip-damaged`.',
  )
}

interface Damage {
  readonly file: string
  readonly offset: number
  readonly message: string
}

async function tellOne(
  { io, options }: Context,
  name: string,
  totals: { records: number; bytes: number } | undefined,
  damages: readonly Damage[],
  elapsedMs: number,
): Promise<void> {
  if (options.json) {
    const { records, bytes } = totals ?? {}
    const whole = damages.length === 0
    await writeJson(io.stdout, { name, whole, records, bytes, damages, elapsedMs: Math.round(elapsedMs) })
    return
  }
  if (damages.length === 0) {
    const what = `${plural(totals!.records, 'record')}, ${formatBytes(totals!.bytes)}`
    await write(io.stdout, `${name}: whole (${what}, in ${formatDuration(elapsedMs)})\n`)
  }
  for (const { message } of damages) await write(io.stderr, `${name}: ${message}\n`)
}

/** `kv backup remove` */
export async function removeFrom(context: Context, path: string, name: string, yes: boolean): Promise<number> {
  const { io, options } = context
  const directory = new BackupDirectory(io, path)
  const entry = named(directory, await directory.entries(), name)
  const unfinished = stateOf(entry) === 'unfinished' ? ', which is unfinished (or is it being made just now?)' : ''
  if (!yes && !(await confirm(io, `Remove ${name}${unfinished}?`))) {
    await write(io.stderr, 'kv: nothing was removed\n')
    return exitStatus.failed
  }
  await directory.guarded(() => removeBackup(directory.disk, name))
  if (options.json) await writeJson(io.stdout, { status: 'done', name })
  else await write(io.stdout, `removed ${name}\n`)
  return exitStatus.done
}
