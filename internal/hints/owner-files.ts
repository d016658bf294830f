import type { ClusterId, Incarnation, Instruments, NodeId } from '../base/index.js'
import { type Clock, type Disk, DiskError, type Log } from '../env/index.js'
import { hlcMs } from '../hlc/index.js'
import { HintFileReader, HintFileWriter } from './hint-file.js'

/** Whom hints are for: one life of a member's data directory. */
export interface HintOwner {
  readonly id: NodeId
  readonly incarnation: Incarnation
}

/** What all hints together take, for the bounds. */
export interface HintUsage {
  /** In files and in memory. */
  bytes: number
  /** In memory alone. */
  buffered: number
  /** There was no room for some on the disk; for whoever looks to set to false again. */
  diskFull: boolean
}

/** What hints stand on. */
export interface HintGround {
  readonly disk: Disk
  readonly clock: Clock
  readonly log: Log
  readonly instruments: Instruments
  readonly clusterId: ClusterId
}

/** What a file of hints holds, up to its end or to the first byte that does not check. */
export interface HintFileSurvey {
  readonly number: number
  readonly bytes: number
  readonly hints: number
  /** The wall clock at the first of them. */
  readonly oldestMs: number
  /** Why it is not read to its end; empty: it is. */
  readonly flaw: string
}

export const hintsDirectory = 'hints'

export function directoryOfOwner({ id, incarnation }: HintOwner): string {
  return `${hintsDirectory}/${id}.${incarnation}`
}

function numberOfHintFile(name: string): number | undefined {
  const match = /^(\d{10,})\.hints$/.exec(name)
  return match === null ? undefined : Number(match[1])
}

/**
 * The files of hints for one member, by their numbers. A hint is never worth stopping a node: where the disk fails, that is
 * told of in the log, and the answer is undefined.
 */
export class OwnerFiles {
  readonly #ground: HintGround
  readonly #usage: HintUsage
  readonly #owner: HintOwner

  constructor(ground: HintGround, usage: HintUsage, owner: HintOwner) {
    this.#ground = ground
    this.#usage = usage
    this.#owner = owner
  }

  /** In order. */
  async numbers(): Promise<number[]> {
    const directory = directoryOfOwner(this.#owner)
    const names = await this.attempt(directory, () => this.#ground.disk.list(directory))
    return (names ?? []).flatMap((name) => numberOfHintFile(name) ?? []).sort((a, b) => a - b)
  }

  /** Begins a file; what is left of one that cannot be begun is removed. */
  async create(number: number): Promise<HintFileWriter | undefined> {
    const { disk } = this.#ground
    const path = this.path(number)
    const directory = directoryOfOwner(this.#owner)
    const writer = await this.attempt(path, () => HintFileWriter.create(disk, directory, path, this.#identity(number)))
    if (writer === undefined) await this.remove(number)
    return writer
  }

  /** Opens a file for reading from a position on. */
  async open(number: number, position: number | undefined): Promise<HintFileReader | undefined> {
    const path = this.path(number)
    const { disk } = this.#ground
    const reader = await this.attempt(path, () => HintFileReader.open(disk, path, this.#identity(number), position))
    if (typeof reader !== 'string') return reader
    this.#tellFlaw(path, 0, reader)
    return undefined
  }

  /** Reads a file once. */
  async survey(number: number): Promise<HintFileSurvey | undefined> {
    const reader = await this.open(number, undefined)
    if (reader === undefined) return undefined
    const path = this.path(number)
    const survey = await this.attempt(path, async () => {
      let hints = 0
      let oldestMs = 0
      for (let page = await reader.next(); page !== undefined; page = await reader.next()) {
        if (hints === 0) oldestMs = hlcMs(page.records[0]!)
        hints += page.records.length
      }
      const { flaw, position } = reader
      if (flaw !== '') this.#tellFlaw(path, position, flaw)
      return { number, bytes: position, hints, oldestMs, flaw }
    })
    await this.attempt(path, () => reader.close())
    return survey
  }

  /** Removes a file for good; one that cannot be removed is found, and handed over once more, by the next life. */
  async remove(number: number): Promise<void> {
    const { disk } = this.#ground
    const path = this.path(number)
    await this.attempt(path, async () => {
      await disk.remove(path)
      await disk.syncDirectory(directoryOfOwner(this.#owner))
    })
  }

  path(number: number): string {
    return `${directoryOfOwner(this.#owner)}/${String(number).padStart(10, '0')}.hints`
  }

  /** Does something with the disk; undefined where that fails. */
  async attempt<T>(path: string, act: () => Promise<T>): Promise<T | undefined> {
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      if (error.code === 'full') this.#usage.diskFull = true
      if (error.code !== 'not-found') {
        this.#ground.log.warn('hints: the disk failed', { node: this.#owner.id, path, cause: error.message })
      }
      return undefined
    }
  }

  #identity(number: number): { clusterId: ClusterId; incarnation: Incarnation; number: number } {
    return { clusterId: this.#ground.clusterId, incarnation: this.#owner.incarnation, number }
  }

  #tellFlaw(path: string, offset: number, flaw: string): void {
    this.#ground.log.info('hints end early: a torn write, or damage', { node: this.#owner.id, path, offset, flaw })
  }
}
