import { KvError, type RestoreTally } from '@quorumkv/client'
import {
  BackupOfLaterRelease,
  BackupReader,
  encodedRecordBytes,
  encodeRecords,
  isLive,
  type Manifest,
  type SlotPlace,
  type StoredRecord,
  totalsOf,
  verifyBackup,
} from '@quorumkv/internal/backup'
import { confirm } from '../confirm.js'
import { type Context, callOptions } from '../context.js'
import { formatDuration } from '../duration.js'
import { exitStatus, FailedError, interruptStatus } from '../exit.js'
import type { Interrupt } from '../io.js'
import { limits } from '../limits.js'
import { write, writeJson } from '../output.js'
import { Progress } from '../progress.js'
import { formatCount, plural } from '../text.js'
import { Attempts } from './attempts.js'
import { BackupDirectory, chosen, damageHint, tellPassedOver } from './directory.js'

/** The options of `kv backup restore`, as parsed. */
export interface RestoreCommandOptions {
  readonly prefix: Uint8Array
  readonly overwrite?: true
  readonly yes?: true
  /** What is damaged is left out, instead of refusing all of it. */
  readonly skipDamaged?: true
  readonly fromSlot: number
  readonly progress: boolean
}

export async function restoreBackup(
  context: Context,
  path: string,
  name: string | undefined,
  options: RestoreCommandOptions,
): Promise<number> {
  const directory = new BackupDirectory(context.io, path)
  const { skipDamaged: damaged = false } = options
  const manifest = await chosen(directory, name, { damaged, passedOver: (entry) => tellPassedOver(context, entry) })
  const { clusterId } = await context.client().topology({ timeoutMs: context.options.timeoutMs })
  const question = questionFor(manifest, clusterId, options)
  if (options.yes !== true && question !== undefined && !(await confirm(context.io, question))) {
    await write(context.io.stderr, 'kv: nothing was restored\n')
    return exitStatus.failed
  }
  const damagedSlots = await checked(context, directory, manifest, options)
  return await new RestoreRun(context, directory, manifest, clusterId, options, damagedSlots).run()
}

/**
 * Reads all that is to be restored, before the cluster is touched; the slots that cannot be. Throws where there are any, unless they
 * are to be skipped.
 */
async function checked(
  { io, options: { json } }: Context,
  directory: BackupDirectory,
  manifest: Manifest,
  { fromSlot: from, progress: shown, skipDamaged }: RestoreCommandOptions,
): Promise<ReadonlySet<number>> {
  const { bytes: total } = totalsOf(manifest)
  let [records, bytes] = [0, 0]
  const read = (moreRecords: number, moreBytes: number): void => {
    records += moreRecords
    bytes += moreBytes
  }
  const progress = new Progress(io, { verb: 'verify', shown, json }, () => ({ records, bytes, done: bytes, total }))
  try {
    const { damages, slots } = await directory.guarded(() => verifyBackup(directory.disk, manifest, { from, read }))
    const later = damages.find((damage) => damage instanceof BackupOfLaterRelease)
    if (later !== undefined) throw directory.explained(later)
    if (slots.size === 0) return slots
    const [first, ...others] = damages
    const more = others.length === 0 ? '' : `, and ${plural(others.length, 'other damage')}`
    const what = `${directory.path}: ${plural(slots.size, 'slot')} of ${manifest.name} cannot be restored: ${first!.message}${more}`
    if (skipDamaged !== true) throw new FailedError(`${what}; nothing was restored`, damageHint, first)
    progress.note(`${what}; left out`)
    return slots
  } finally {
    progress.end()
  }
}

/** What a person has to agree to; undefined: nothing, because nothing that is there can be lost by it. */
function questionFor(manifest: Manifest, clusterId: string, { overwrite }: RestoreCommandOptions): string | undefined {
  const another =
    manifest.clusterId === clusterId ? '' : `The backup is of cluster ${manifest.clusterId}, and this is ${clusterId}. `
  if (overwrite === true) {
    const when = new Date(manifest.startedMs).toISOString()
    return `${another}Overwrite what has been written since ${when} with what the backup holds?`
  }
  return another === '' ? undefined : `${another}Restore into this one?`
}

/** Values before tombstones: see `RestoreRun`. */
type Pass = 'values' | 'tombstones'

/**
 * Restores slot after slot, some side by side. Of each, values come before tombstones: as long as the cluster holds none of
 * a slot's tombstones it has no reason to collect them, and a restore that is cut off and goes on much later finds no floor
 * over what it has still to bring (docs/adr/0049-backup.md).
 */
class RestoreRun {
  readonly #context: Context
  readonly #directory: BackupDirectory
  readonly #manifest: Manifest
  /** Which all of it goes to. */
  readonly #clusterId: string
  readonly #options: RestoreCommandOptions
  readonly #places: readonly SlotPlace[]
  readonly #stop = new AbortController()
  readonly #attempts: Attempts
  readonly #progress: Progress
  readonly #tally = { stored: 0, superseded: 0, deleted: 0, overwritten: 0, passedOver: 0 }
  /** First slots of what is under way. */
  readonly #underWay = new Set<number>()
  /** Records that are dead at the start are so to the end, however the clock is set meanwhile: each belongs to one pass. */
  readonly #nowMs: number
  readonly #damagedSlots: number
  #interrupt: Interrupt | undefined
  #failure: { readonly error: unknown } | undefined
  #next = 0
  #read = 0

  constructor(
    context: Context,
    directory: BackupDirectory,
    manifest: Manifest,
    clusterId: string,
    options: RestoreCommandOptions,
    damagedSlots: ReadonlySet<number>,
  ) {
    this.#context = context
    this.#directory = directory
    this.#manifest = manifest
    this.#clusterId = clusterId
    this.#options = options
    this.#nowMs = context.io.timing.wall()
    this.#attempts = new Attempts(context.io.timing, this.#stop.signal, (why) => this.#progress.note(why))
    this.#damagedSlots = damagedSlots.size
    const isWanted = ({ slot, file }: SlotPlace): boolean =>
      file !== undefined && slot >= options.fromSlot && !damagedSlots.has(slot)
    this.#places = manifest.slots.filter(isWanted)
    const shown = { verb: 'restore', shown: options.progress, json: context.options.json }
    const total = this.#places.reduce((sum, { records }) => sum + records, 0)
    this.#progress = new Progress(context.io, shown, () => {
      const { stored, superseded, deleted, overwritten } = this.#tally
      return { records: stored + superseded + deleted + overwritten, bytes: undefined, done: this.#read, total }
    })
  }

  async run(): Promise<number> {
    const { io } = this.#context
    const startedMs = io.timing.monotonic()
    const forgetInterrupts = io.onInterrupt((signal) => {
      this.#interrupt ??= signal
      this.#stop.abort()
    })
    let failure: unknown
    try {
      await this.#directory.guarded(() => this.#work())
    } catch (error) {
      failure = error
    } finally {
      forgetInterrupts()
      this.#progress.end()
    }
    const cut = this.#interrupt !== undefined && (failure === undefined || isCancelled(failure))
    const status = failure === undefined && !cut ? 'done' : cut ? 'interrupted' : 'failed'
    await this.#tell(status, io.timing.monotonic() - startedMs)
    if (status === 'failed') throw failure
    if (status === 'done') return this.#damagedSlots === 0 ? exitStatus.done : exitStatus.failed
    return interruptStatus(this.#interrupt)
  }

  async #work(): Promise<void> {
    await Promise.all(Array.from({ length: limits.restoreWorkers }, () => this.#worker()))
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** Takes one lot of slots after the other. The first failure ends all workers; what they were at is done again. */
  async #worker(): Promise<void> {
    const reader = new BackupReader(this.#directory.disk, this.#manifest)
    try {
      while (!this.#stop.signal.aborted) {
        const lot = this.#lot()
        if (lot.length === 0) return
        const first = lot[0]!.slot
        this.#underWay.add(first)
        const left = await this.#restore(reader, lot, 'values')
        if (left > 0 && this.#options.overwrite !== true) await this.#restore(reader, lot, 'tombstones')
        this.#underWay.delete(first)
      }
    } catch (error) {
      // The first one is the reason. The others only tell that they were called off because of it.
      this.#failure ??= { error }
      this.#stop.abort()
    } finally {
      await reader.close()
    }
  }

  /** Slots that make about one request. */
  #lot(): SlotPlace[] {
    const lot: SlotPlace[] = []
    let [records, bytes] = [0, 0]
    while (this.#next < this.#places.length) {
      const place = this.#places[this.#next]!
      records += place.records
      bytes += place.bytes
      if (lot.length > 0 && (records > limits.restoreRecordsMax || bytes > limits.restoreBytesMax)) break
      lot.push(place)
      this.#next++
    }
    return lot
  }

  /** Resolves with how many records it has left to the other pass. */
  async #restore(reader: BackupReader, lot: readonly SlotPlace[], pass: Pass): Promise<number> {
    let left = 0
    let batch: StoredRecord[] = []
    let bytes = 0
    const send = async (): Promise<void> => {
      if (batch.length === 0) return
      await (this.#options.overwrite === true ? this.#overwrite(batch) : this.#bring(batch))
      batch = []
      bytes = 0
    }
    for (const place of lot) {
      await reader.read(place, async (records) => {
        for (const record of records) {
          if (!this.#isOfPrefix(record, pass)) continue
          // What has expired is as good as deleted.
          if (isLive(record, this.#nowMs) !== (pass === 'values')) {
            left++
            continue
          }
          const size = encodedRecordBytes(record)
          const full = batch.length >= limits.restoreRecordsMax || bytes + size > limits.restoreBytesMax
          if (full) await send()
          // What is read of the next block takes the place of this one.
          batch.push({ ...record, key: record.key.slice(), value: record.value.slice() })
          bytes += size
        }
        if (pass === 'values') this.#read += records.length
      })
    }
    await send()
    if (this.#options.overwrite === true) this.#tally.passedOver += left
    return left
  }

  #isOfPrefix({ key }: StoredRecord, pass: Pass): boolean {
    const { prefix } = this.#options
    const is = Buffer.compare(key.subarray(0, prefix.length), prefix) === 0
    if (!is && pass === 'values') this.#tally.passedOver++
    return is
  }

  async #bring(batch: readonly StoredRecord[]): Promise<void> {
    const { client, options } = this.#context
    const { signal } = this.#stop
    const timeoutMs = options.timeoutMs ?? limits.backupCallMs
    // With a prefix only a part of the backup comes, which is looked at as it is.
    const highestHlc = this.#options.prefix.length > 0 ? undefined : BigInt(`0x${this.#manifest.hlc.highest}`)
    const encoded = encodeRecords(batch)
    const clusterId = this.#clusterId
    const tally: RestoreTally = await this.#attempts.repeated(() =>
      client().operator.restoreSlots(encoded, batch.length, { timeoutMs, signal, highestHlc, clusterId }),
    )
    this.#tally.stored += tally.stored
    this.#tally.superseded += tally.superseded
    this.#tally.deleted += tally.deleted
  }

  /** As puts of today: they win over whatever is there. */
  async #overwrite(batch: readonly StoredRecord[]): Promise<void> {
    const { io, client, options } = this.#context
    const { signal } = this.#stop
    const put = async ({ key, value, expiresAtMs }: StoredRecord): Promise<void> => {
      await this.#attempts.repeated(async () => {
        const ttlMs = expiresAtMs === 0 ? undefined : Math.ceil(expiresAtMs - io.timing.wall())
        if (ttlMs !== undefined && ttlMs < 1) this.#tally.passedOver++
        else {
          await client().put(key, value, { ...callOptions(options), ttlMs, signal })
          this.#tally.overwritten++
        }
      })
    }
    const share = Math.ceil(limits.restorePuts / limits.restoreWorkers)
    for (let at = 0; at < batch.length; at += share) await Promise.all(batch.slice(at, at + share).map(put))
  }

  /** The first slot of which not everything has been restored; undefined: all has been. */
  #whereToGoOn(): number | undefined {
    const waiting = this.#places[this.#next]?.slot
    const begun = [...this.#underWay]
    const all = waiting === undefined ? begun : [...begun, waiting]
    return all.length === 0 ? undefined : Math.min(...all)
  }

  async #tell(status: 'done' | 'interrupted' | 'failed', elapsedMs: number): Promise<void> {
    const { io, options } = this.#context
    const { name } = this.#manifest
    const goOn = status === 'done' ? undefined : this.#whereToGoOn()
    if (options.json) {
      const damagedSlots = this.#damagedSlots
      await writeJson(io.stdout, {
        status,
        name,
        ...this.#tally,
        damagedSlots,
        nextSlot: goOn,
        elapsedMs: Math.round(elapsedMs),
      })
      return
    }
    const { stored, superseded, deleted, overwritten, passedOver } = this.#tally
    const overwrite = this.#options.overwrite === true
    const done = overwrite ? plural(overwritten, 'value') : plural(stored, 'record')
    const parts = [`restored ${done} of ${name} in ${formatDuration(elapsedMs)}`]
    if (superseded > 0) parts.push(`${formatCount(superseded)} not: something newer is there`)
    if (deleted > 0) parts.push(`${formatCount(deleted)} not: deleted since (--overwrite would bring them back)`)
    if (passedOver > 0) parts.push(`${formatCount(passedOver)} passed over`)
    if (this.#damagedSlots > 0) parts.push(`${plural(this.#damagedSlots, 'slot')} left out: damaged`)
    await write(io.stdout, `${parts.join('; ')}\n`)
    if (goOn !== undefined)
      this.#progress.note(`the same command goes on with --from-slot ${goOn}; starting over does no harm`)
  }
}

function isCancelled(error: unknown): boolean {
  return error instanceof KvError && error.code === 'cancelled'
}
