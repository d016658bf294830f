import { limits, type NodeId, parseIncarnation, parseNodeId } from '../base/index.js'
import { DiskError } from '../env/index.js'
import type { StoredRecord } from '../record/index.js'
import { type HintGround, type HintOwner, type HintUsage, hintsDirectory } from './owner-files.js'
import { OwnerHints } from './owner-hints.js'

/** What a node keeps for one member. */
export interface HintStatus {
  readonly node: NodeId
  readonly hints: number
  readonly bytes: number
  /** Since the stamp of the oldest; 0 where there is none. */
  readonly oldestMsAgo: number
  /** Since this node started: anti-entropy brings what they would have brought. */
  readonly dropped: number
}

/**
 * Writes that other members have missed, in files of their own: Dynamo's hinted handoff (DeCandia et al., 2007, 4.6), but
 * for counting: no hint stands for a replica. They are bounded in bytes and age, synced at intervals only, and dropped
 * before they cost anything that matters: what a hint would have brought, anti-entropy brings.
 */
export class HintStore {
  readonly #ground: HintGround
  readonly #usage: HintUsage = { bytes: 0, buffered: 0, diskFull: false }
  readonly #owners = new Map<string, OwnerHints>()
  /** Monotonic: until then nothing is kept, because the disk is short of room. */
  #suspendedUntilMs = 0

  private constructor(ground: HintGround) {
    this.#ground = ground
  }

  /** Finds what earlier lives of this node have left. Throws only bugs. */
  static async open(ground: HintGround): Promise<HintStore> {
    const store = new HintStore(ground)
    for (const name of await store.#found()) {
      const [, id, incarnation] = /^([a-z0-9-]{1,63})\.([0-9a-f]{32})$/.exec(name) ?? []
      if (id === undefined || incarnation === undefined) continue
      await store.#of({ id: parseNodeId(id), incarnation: parseIncarnation(incarnation) }).rescan()
    }
    return store
  }

  /** Whether so much waits in memory that it should be written before its time. */
  get pressing(): boolean {
    return this.#usage.buffered >= limits.hintFrameBytes
  }

  /** Each member for which there are, or were, hints. */
  owners(): readonly OwnerHints[] {
    return [...this.#owners.values()]
  }

  /** Keeps a write for a member that has missed it, or drops it where a bound is reached. Copies its bytes. */
  keep(owner: HintOwner, record: StoredRecord): void {
    const hints = this.#of(owner)
    if (this.#ground.clock.monotonicMs() < this.#suspendedUntilMs) hints.dropForRoom()
    else hints.keep(record)
  }

  /**
   * Writes what is buffered, and with `sync` makes everything durable; where the disk is short of room nothing is written
   * and everything given back. `close`: of which members the file that is being written is wanted for reading. One call at a time.
   */
  async write(sync: boolean, close: (owner: OwnerHints) => boolean): Promise<void> {
    // Here, where no file is half written.
    for (const [key, owner] of this.#owners) {
      owner.reprieve()
      if (owner.empty && owner.condemned === 'for good') this.#owners.delete(key)
    }
    if (this.#usage.bytes === 0) return
    if (await this.#shortOfRoom()) this.#suspend()
    for (const owner of this.#owners.values()) {
      if (owner.condemned === 'no') await owner.write({ sync, close: close(owner) })
      else await owner.discard()
    }
    if (!this.#usage.diskFull) return
    this.#usage.diskFull = false
    this.#suspend()
  }

  status(): HintStatus[] {
    const nowMs = this.#ground.clock.wallMs()
    return this.owners().map((hints) => ({
      node: hints.owner.id,
      hints: hints.count,
      bytes: hints.bytes,
      oldestMsAgo: Math.max(0, nowMs - (hints.oldestMs ?? nowMs)),
      dropped: hints.dropped,
    }))
  }

  #of(owner: HintOwner): OwnerHints {
    const key = keyOf(owner)
    let hints = this.#owners.get(key)
    if (hints === undefined) {
      hints = new OwnerHints(this.#ground, this.#usage, owner)
      this.#owners.set(key, hints)
    }
    return hints
  }

  async #found(): Promise<string[]> {
    const { disk, log } = this.#ground
    try {
      return await disk.list(hintsDirectory)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      if (error.code !== 'not-found') log.warn('hints: the disk failed', { path: hintsDirectory, cause: error.message })
      return []
    }
  }

  /** Below the reserve hints give way, so that the log has room for longer. */
  async #shortOfRoom(): Promise<boolean> {
    const { disk, log } = this.#ground
    try {
      return (await disk.freeBytes()) < limits.hintReserveBytes
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      log.warn('hints: the disk failed', { cause: error.message })
      return true
    }
  }

  #suspend(): void {
    this.#suspendedUntilMs = this.#ground.clock.monotonicMs() + limits.hintRetryMs
    for (const owner of this.#owners.values()) owner.condemn('for room')
  }
}

function keyOf({ id, incarnation }: HintOwner): string {
  return `${id}.${incarnation}`
}
