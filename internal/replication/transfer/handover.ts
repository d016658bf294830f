import { type Epoch, KvError, limits, type NodeId, type Slot } from '../../base/index.js'
import type { Clock, Log } from '../../env/index.js'
import type { Store } from '../../store/index.js'
import type { Routing } from '../operations/routing.js'
import { ByteRate } from './byte-rate.js'
import type { CopySource } from './copy-source.js'
import { Pauses } from './pauses.js'
import { SlotMerge, type WantedSlot } from './slot-merge.js'
import { WorkPace } from './work-pace.js'

/** The slots that a handover brings to this node. */
export interface IncomingSlots {
  /** The epoch that began the handover: its name. */
  readonly since: Epoch
  /** Ascending. */
  readonly slots: readonly Slot[]
  /** The owners from before are read, and may be streamed from; else everything is here already. */
  readonly streams: boolean
}

/** What is kept of a handover's progress through restarts. */
export interface KeptProgress {
  readonly slots: readonly Slot[]
  readonly bytes: number
}

/** Where progress is kept: a document in the data directory. Both reject with DiskErrors, and FatalError. */
export interface ProgressKeeper {
  /** Undefined: nothing is known of this handover. */
  read(since: Epoch): Promise<KeptProgress | undefined>
  /** Durable when it resolves. Rejects with KvError where the disk has no room for it. */
  write(since: Epoch, progress: KeptProgress): Promise<void>
}

/** How far the streaming to one node is. */
export interface IncomingProgress {
  readonly since: Epoch
  /** Slots that come, and those of them that are here. */
  readonly slots: number
  readonly done: number
  /** Streamed so far, in all lives of the process. */
  readonly bytes: number
  /** Estimates by what the slots that are here have taken; undefined: nothing is known yet. */
  readonly remainingBytes: number | undefined
  readonly remainingMs: number | undefined
  /** Why it does not get on just now, for people; empty: it does, or is done. */
  readonly obstacle: string
}

export interface HandoverOptions {
  readonly clock: Clock
  readonly log: Log
  readonly store: Store
  readonly keeper: ProgressKeeper
  /** What is streamed in a second, at first. */
  readonly bytesPerSecond: number
  /** The one in force now. */
  routing(): Routing
  /** The way to a member for copies of its slots. By its id: its index may be another's before the slots are here. */
  source(id: NodeId): CopySource
  /** Rises with everything that this node does for clients: while it does, copying gives way (`WorkPace`). */
  served(): number
  /** Whether links for copies are wanted. */
  streaming(on: boolean): void
  /** More slots are here, or it has become known how many are. Must not throw. */
  progressed(): void
}

/**
 * Streams the slots that a handover brings to this node, each from a read quorum of the owners from before, so that it
 * holds all that they have acknowledged (one of them alone may lack what two others have). docs/adr/0030 counts.
 *
 * Who is asked goes by the same epoch as this node, in which writes reach this node as well, and answers with all that it
 * had admitted before: so what was acknowledged earlier is in the pages, and what comes later comes here by itself.
 * Merging is by version, and the order does not matter.
 *
 * A slot counts as here when it is durable, and then the document that says so. It counts for this handover, whatever
 * epochs come while that runs, until this directory loses it.
 */
export class Handover {
  readonly #options: HandoverOptions
  readonly #pauses: Pauses
  readonly #idle: Pauses
  readonly #rate: ByteRate
  readonly #merge: SlotMerge
  #work: IncomingSlots | undefined
  /** Of which handover `#done` and `#bytes` tell. */
  #known: Epoch | undefined
  #done = new Set<Slot>()
  #bytes = 0
  /** When this life began to stream for it, and what was done by then. */
  #began: { readonly ms: number; readonly done: number } | undefined
  /** Slots of which this node has merged some copies, by member and incarnation. */
  readonly #merged = new Map<Slot, Set<string>>()
  #obstacle = ''
  #found = ''
  #complained = ''

  constructor(options: HandoverOptions) {
    const { clock, store, bytesPerSecond } = options
    this.#options = options
    this.#pauses = new Pauses(clock)
    this.#idle = new Pauses(clock)
    this.#rate = new ByteRate(clock, this.#pauses, bytesPerSecond)
    this.#merge = new SlotMerge({
      store,
      pauses: this.#pauses,
      rate: this.#rate,
      pace: new WorkPace(clock, this.#pauses, () => options.served()),
      settled: true,
      source: (id) => options.source(id),
      moved: (bytes) => {
        this.#bytes += bytes
      },
      hindered: (obstacle) => {
        this.#found = obstacle
      },
    })
  }

  /** What is streamed in a second at most; may be changed at any time. */
  get bytesPerSecond(): number {
    return this.#rate.bytesPerSecond
  }

  set bytesPerSecond(bytes: number) {
    this.#rate.bytesPerSecond = bytes
  }

  /** The topology has changed: what comes to this node from now on; undefined: nothing. */
  follow(work: IncomingSlots | undefined): void {
    this.#work = work
    this.#pauses.endAll()
    this.#idle.endAll()
  }

  /** A member can be reached again: perhaps it was what the next round waits for. */
  returned(): void {
    this.#idle.endAll()
  }

  /** Idempotent. What waits ends; `run` resolves soon. */
  stop(): void {
    this.#pauses.stop()
    this.#idle.stop()
  }

  /** How far it is; undefined: no slots come, or it is not known yet what is here of them. */
  progress(): IncomingProgress | undefined {
    const work = this.#work
    if (work === undefined || this.#known !== work.since) return undefined
    const slots = work.slots.length
    const done = this.#doneOf(work)
    const began = this.#began
    const here = began === undefined ? 0 : done - began.done
    const tookMs = began === undefined ? 0 : this.#options.clock.monotonicMs() - began.ms
    return {
      since: work.since,
      slots,
      done,
      bytes: this.#bytes,
      remainingBytes: done === 0 ? undefined : Math.round((this.#bytes / done) * (slots - done)),
      remainingMs: done === slots ? 0 : here === 0 ? undefined : Math.round((tookMs / here) * (slots - done)),
      obstacle: this.#obstacle,
    }
  }

  /** Works until stopped. Rejects with bugs, DiskErrors and FatalError only. */
  async run(): Promise<void> {
    let backoffMs: number = limits.refillBackoffMsMin
    while (!this.#pauses.stopped) {
      const work = this.#work
      if (work !== undefined && work.since !== this.#known) await this.#recall(work)
      if (work === undefined || !work.streams || this.#doneOf(work) === work.slots.length) {
        this.#obstacle = ''
        if (work === this.#work) await this.#idle.pause(limits.handoverIdleMs)
        continue
      }
      const before = this.#done.size
      await this.#round(work)
      if (work !== this.#work) continue
      this.#obstacle = this.#doneOf(work) === work.slots.length ? '' : this.#found
      this.#complain()
      backoffMs =
        this.#done.size > before ? limits.refillBackoffMsMin : Math.min(2 * backoffMs, limits.refillBackoffMsMax)
      if (this.#obstacle !== '') await this.#idle.pause(backoffMs)
    }
  }

  /** Looks up what earlier lives have streamed of a handover. */
  async #recall(work: IncomingSlots): Promise<void> {
    const { keeper, store } = this.#options
    const kept = await keeper.read(work.since)
    this.#known = work.since
    // What has been lost since has to be here once more.
    this.#done = new Set(kept?.slots.filter((slot) => !store.isLost(slot)))
    this.#bytes = kept?.bytes ?? 0
    this.#merged.clear()
    this.#began = undefined
    this.#complained = ''
    this.#options.progressed()
  }

  #doneOf({ slots }: IncomingSlots): number {
    let done = 0
    for (const slot of slots) if (this.#done.has(slot)) done++
    return done
  }

  /** Tries once every slot that is not here yet. */
  async #round(work: IncomingSlots): Promise<void> {
    const { clock, log, streaming } = this.#options
    const missing = work.slots.filter((slot) => !this.#done.has(slot))
    if (this.#began === undefined)
      log.info('streaming slots to this node', { since: work.since, slots: missing.length })
    this.#began ??= { ms: clock.monotonicMs(), done: this.#doneOf(work) }
    this.#found = ''
    streaming(true)
    const here = new Finished(clock, (slots) => this.#finish(work, slots))
    const lots: Slot[][] = []
    for (let i = 0; i < missing.length; i += limits.copySlotsMax) lots.push(missing.slice(i, i + limits.copySlotsMax))
    const next = lots.values()
    const lane = async (): Promise<void> => {
      for (const lot of next) {
        if (!this.#goesOn(work) || here.failed) return
        await this.#stream(lot, work, (slots) => here.add(slots))
      }
    }
    await Promise.all(Array.from({ length: limits.copyLanes }, lane))
    await here.settled()
    streaming(false)
  }

  #goesOn({ since }: IncomingSlots): boolean {
    return !this.#pauses.stopped && this.#work?.since === since && this.#work.streams
  }

  /** Merges slots, each from a read quorum of its owners, and tells with which that has been done. */
  async #stream(slots: readonly Slot[], work: IncomingSlots, here: (slots: Slot[]) => void): Promise<void> {
    const routing = this.#options.routing()
    const wanted: WantedSlot[] = []
    for (const slot of slots) {
      const each = this.#wanted(slot, routing)
      if (each !== undefined) wanted.push(each)
    }
    // Under another epoch others may be meant by the same indexes: the next round looks anew.
    const goesOn = (): boolean => this.#goesOn(work) && this.#options.routing().epoch === routing.epoch
    await this.#merge.fill(wanted, goesOn, here)
  }

  /** From whom a slot can be merged; undefined: not from enough. */
  #wanted(slot: Slot, { table, self, readQuorum, replicas }: Routing): WantedSlot | undefined {
    // The refill brings it back first, with its vote.
    if (this.#options.store.isLost(slot)) {
      this.#found = `slot ${slot} is lost here and has to be refilled first`
      return undefined
    }
    const owners = Array.from(table.owners(slot))
    const others = owners.filter((member) => member !== self)
    // Where this node has owned the slot all along its own copy is one of them.
    const needed = readQuorum - (others.length < owners.length ? 1 : 0)
    const merged = this.#merged.get(slot) ?? new Set<string>()
    this.#merged.set(slot, merged)
    const nameOf = (member: number): string => `${table.members[member]!.id} ${table.members[member]!.incarnation}`
    const fit = others.filter((member) => replicas[member]!.up || merged.has(nameOf(member)))
    if (fit.length < needed) {
      const down = others.filter((member) => !fit.includes(member)).map((member) => table.members[member]!.id)
      this.#found = `slot ${slot} needs ${needed} of its owners, and ${down.join(', ')} cannot be reached`
      return undefined
    }
    // Another one first for each slot, so that all owners give alike.
    const from = fit.map((_, i) => {
      const member = fit[(i + slot) % fit.length]!
      return { id: table.members[member]!.id, name: nameOf(member) }
    })
    return { slot, needed, from, merged }
  }

  /** The slots are here: durable, and known to be. */
  async #finish(work: IncomingSlots, slots: readonly Slot[]): Promise<void> {
    const { keeper, store } = this.#options
    if (slots.length === 0 || this.#known !== work.since) return
    const isHere = (slot: Slot): boolean => !store.isLost(slot)
    const durable = await this.#merge.stored(async () => {
      await store.synced()
      const kept = [...this.#done, ...slots.filter(isHere)].sort((a, b) => a - b)
      await keeper.write(work.since, { slots: kept, bytes: this.#bytes })
    })
    if (!durable) return
    for (const slot of slots) {
      this.#merged.delete(slot)
      // What has been lost since it was merged has to be here once more.
      if (isHere(slot)) this.#done.add(slot)
    }
    this.#obstacle = ''
    this.#options.progressed()
  }

  /** Once for each obstacle: it may last for long, and the status shows it. */
  #complain(): void {
    if (this.#obstacle === this.#complained) return
    this.#complained = this.#obstacle
    if (this.#obstacle !== '') this.#options.log.warn('a handover waits', { obstacle: this.#obstacle })
  }
}

/** For keepers: a disk without room. Who keeps progress tries again. */
export function noRoomForProgress(cause: unknown): KvError {
  return new KvError('read-only', 'the disk has no room for the progress of the handover', { cause })
}

/**
 * Slots that have been merged: those that come within `limits.handoverProgressMs` are made durable together, because the
 * document that names them is written anew each time.
 */
class Finished {
  readonly #clock: Clock
  readonly #finish: (slots: readonly Slot[]) => Promise<void>
  #waiting: Slot[] = []
  #lastMs = Number.NEGATIVE_INFINITY
  #running: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(clock: Clock, finish: (slots: readonly Slot[]) => Promise<void>) {
    this.#clock = clock
    this.#finish = finish
  }

  get failed(): boolean {
    return this.#failure !== undefined
  }

  add(slots: readonly Slot[]): void {
    if (slots.length === 0) return
    this.#waiting.push(...slots)
    if (this.#clock.monotonicMs() - this.#lastMs >= limits.handoverProgressMs) this.#running ??= this.#run()
  }

  /** Resolves when all are durable, or could not be made so. Rejects with what `finish` has rejected with. */
  async settled(): Promise<void> {
    await this.#running
    if (this.#waiting.length > 0 && this.#failure === undefined) await this.#run()
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async #run(): Promise<void> {
    this.#lastMs = this.#clock.monotonicMs()
    try {
      await this.#finish(this.#waiting.splice(0))
    } catch (error) {
      this.#failure = { error }
    }
    this.#running = undefined
  }
}
