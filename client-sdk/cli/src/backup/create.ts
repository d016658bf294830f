import { randomBytes } from 'node:crypto'
import { type BackupPage, type BackupPosition, type ClusterTopology, KvError } from '@quorumkv/client'
import {
  type BackupOrigin,
  BackupWriter,
  type Manifest,
  newestName,
  newestOf,
  packedDigests,
  totalsOf,
} from '@quorumkv/internal/backup'
import type { Context } from '../context.js'
import { formatDuration } from '../duration.js'
import { exitStatus, FailedError, InterruptedError } from '../exit.js'
import type { Interrupt } from '../io.js'
import { limits } from '../limits.js'
import { write, writeJson } from '../output.js'
import { Progress } from '../progress.js'
import { formatBytes, plural } from '../text.js'
import { Attempts } from './attempts.js'
import { BackupDirectory, chosen, nameOf, tellPassedOver } from './directory.js'

/** The options of `kv backup create`, as parsed. */
export interface CreateOptions {
  /** The name of the backup to go on from. */
  readonly parent?: string
  /** Everything is written, whatever is there. */
  readonly full?: true
  readonly progress: boolean
}

export function createBackup(context: Context, directory: string, options: CreateOptions): Promise<number> {
  return new CreateRun(context, new BackupDirectory(context.io, directory), options).run()
}

class CreateRun {
  readonly #context: Context
  readonly #directory: BackupDirectory
  readonly #options: CreateOptions
  readonly #stop = new AbortController()
  readonly #attempts: Attempts
  readonly #progress: Progress
  #interrupt: Interrupt | undefined
  #slots = 0
  #unchanged = 0
  #of = 0
  #writer: BackupWriter | undefined

  constructor(context: Context, directory: BackupDirectory, options: CreateOptions) {
    this.#context = context
    this.#directory = directory
    this.#options = options
    this.#attempts = new Attempts(context.io.timing, this.#stop.signal, (why) => this.#progress.note(why))
    const shown = { verb: 'backup', shown: options.progress, json: context.options.json }
    this.#progress = new Progress(context.io, shown, () => {
      const { records, bytes } = this.#writer?.written ?? { records: 0, bytes: 0 }
      const note = this.#unchanged > 0 ? `${plural(this.#unchanged, 'slot')} unchanged` : undefined
      return { records, bytes, done: this.#slots, total: this.#of, note }
    })
  }

  async run(): Promise<number> {
    const { io, client, options } = this.#context
    const startedMs = io.timing.monotonic()
    const forgetInterrupts = io.onInterrupt((signal) => {
      this.#interrupt ??= signal
      this.#stop.abort()
    })
    try {
      const topology = await client().topology({ timeoutMs: options.timeoutMs })
      this.#of = topology.slots
      const manifest = await this.#directory.guarded(() => this.#create(topology))
      this.#progress.end()
      await this.#tell(manifest, io.timing.monotonic() - startedMs)
      return exitStatus.done
    } finally {
      forgetInterrupts()
      // A page that was asked for ahead is not wanted any more.
      this.#stop.abort()
      this.#progress.end()
    }
  }

  async #create(topology: ClusterTopology): Promise<Manifest> {
    const { io } = this.#context
    await this.#directory.disk.makeDirectory('.')
    const parent = await this.#parentIn(topology)
    const id = randomBytes(16).toString('hex')
    const startedMs = Math.floor(io.timing.wall())
    const name = nameOf(startedMs, id, await newestName(this.#directory.disk))
    const { clusterId, epoch, replication } = topology
    const origin = { name, id, clusterId: clusterId as BackupOrigin['clusterId'], epoch, replication, startedMs }
    const writer = new BackupWriter(this.#directory.disk, origin, parent)
    this.#writer = writer
    let finished = false
    try {
      const hlc = await this.#fill(writer, clusterId, parent)
      const manifest = await writer.finish(Math.floor(io.timing.wall()), hlc)
      finished = true
      return manifest
    } finally {
      if (!finished) await this.#abandon(writer, name)
    }
  }

  /** What is left when that fails as well is no backup, or all of one, and does no harm. */
  async #abandon(writer: BackupWriter, name: string): Promise<void> {
    try {
      await writer.abandon()
    } catch (error) {
      const { message } = this.#directory.explained(error) as Error
      this.#progress.note(`files of ${name} remain, which \`kv backup remove\` takes away: ${message}`)
    }
  }

  async #parentIn({ clusterId }: ClusterTopology): Promise<Manifest | undefined> {
    if (this.#options.full === true) return undefined
    if (this.#options.parent === undefined) {
      const newest = await newestOf(this.#directory.disk, (head) => head.clusterId === clusterId)
      for (const entry of newest.passedOver) tellPassedOver(this.#context, entry)
      return newest.manifest
    }
    const parent = await chosen(this.#directory, this.#options.parent)
    if (parent.clusterId === clusterId) return parent
    throw new FailedError(`${parent.name} is a backup of another cluster, ${parent.clusterId}`, 'Leave --parent out.')
  }

  /** Resolves to the first and the last clock that a node told. One page is on its way while the one before is written. */
  async #fill(
    writer: BackupWriter,
    clusterId: string,
    parent: Manifest | undefined,
  ): Promise<{ from: bigint; to: bigint }> {
    const known = parent === undefined ? undefined : packedDigests(parent)
    let position: BackupPosition = { slot: 0, after: new Uint8Array() }
    let asked = this.#ask(position, known)
    let from: bigint | undefined
    for (;;) {
      const page = await asked
      this.#check(page, clusterId)
      checkOrder(page, position)
      from ??= page.hlc
      const { next } = page
      position = next
      const last = next.slot >= this.#of
      if (!last) {
        asked = this.#ask(next, known)
        // It is looked at when this page has been written, which may fail first.
        asked.catch(() => undefined as never)
      }
      await this.#write(writer, page)
      this.#slots = next.slot
      if (last) return { from, to: page.hlc }
    }
  }

  async #ask(position: BackupPosition, known: Uint8Array | undefined): Promise<BackupPage> {
    const { client, options } = this.#context
    const request = { ...position, knownDigests: known?.subarray(position.slot * 8) }
    const timeoutMs = options.timeoutMs ?? limits.backupCallMs
    const { signal } = this.#stop
    try {
      return await this.#attempts.repeated(() => client().operator.backupSlots(request, { timeoutMs, signal }))
    } catch (error) {
      if (this.#interrupt === undefined || !(error instanceof KvError)) throw error
      throw new InterruptedError(this.#interrupt, 'stopped: nothing was added to the directory')
    }
  }

  #check(page: BackupPage, clusterId: string): void {
    if (this.#interrupt !== undefined) {
      throw new InterruptedError(this.#interrupt, 'stopped: nothing was added to the directory')
    }
    if (page.clusterId === clusterId) return
    throw new FailedError(`the endpoints lead to different clusters, ${clusterId} and ${page.clusterId}`)
  }

  async #write(writer: BackupWriter, { slots }: BackupPage): Promise<void> {
    for (const { slot, unchanged, records, floorMs } of slots) {
      if (unchanged) {
        this.#unchanged++
        await writer.refer(slot)
      } else await writer.add(slot, records, floorMs)
    }
  }

  async #tell(manifest: Manifest, elapsedMs: number): Promise<void> {
    const { io, options } = this.#context
    const { name, parent, endedMs } = manifest
    const { records, bytes } = totalsOf(manifest)
    const written = this.#writer!.written
    const kind = parent === undefined ? 'full' : 'incremental'
    if (options.json) {
      const sizes = { records, bytes, writtenRecords: written.records, writtenBytes: written.bytes }
      const more = { unchangedSlots: this.#unchanged, endedAt: new Date(endedMs).toISOString() }
      await writeJson(io.stdout, {
        status: 'done',
        name,
        kind,
        parent,
        ...sizes,
        ...more,
        elapsedMs: Math.round(elapsedMs),
      })
      return
    }
    const what = `backup ${name} of ${plural(records, 'record')} (${formatBytes(bytes)})`
    const news =
      parent === undefined
        ? 'all written'
        : `${plural(written.records, 'record')} written (${formatBytes(written.bytes)}), the rest as in ${parent}`
    await write(io.stdout, `${what} in ${formatDuration(elapsedMs)}: ${news}\n`)
  }
}

/** Throws where a page leaves out a slot, or does not go on: the backup would lack that without a word, or never end. */
function checkOrder({ slots, next }: BackupPage, { slot, after }: BackupPosition): void {
  const last = slots.at(-1)
  const follow = slots.every((each, i) => each.slot === slot + i && (!each.more || each === last))
  const expected = slot + slots.length - (last?.more === true ? 1 : 0)
  const goesOn = next.slot > slot || (next.slot === slot && Buffer.compare(next.after, after) > 0)
  if (follow && goesOn && next.slot === expected) return
  throw new FailedError(
    `a node answered for slots ${slots.map((each) => each.slot).join(', ')} where ${slot} was asked for`,
  )
}
