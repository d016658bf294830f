import { assert } from '../base/index.js'
import { DiskError, type DiskErrorCode } from '../env/index.js'
import { type FileNode, sectorBytes } from './disk-image.js'
import type { SimRandom } from './random.js'

/** What can be asked of a drive. */
export type DiskOperation =
  | 'open'
  | 'rename'
  | 'remove'
  | 'list'
  | 'makeDirectory'
  | 'syncDirectory'
  | 'freeBytes'
  | 'size'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'preallocate'
  | 'close'

/** Which operations fail, and how. */
export interface PlannedFault {
  /** Default `io`. */
  readonly code?: DiskErrorCode
  /** Only on this path; default any. */
  readonly path?: string
  /** How many operations that fit go well before; default 0. */
  readonly skip?: number
  /** How many fail; default 1. */
  readonly times?: number
}

/** Which writes are to land in a wrong place of their file. */
export interface PlannedMisdirection {
  /** Of which files; default any. */
  readonly path?: (path: string) => boolean
  /** How many writes that fit land in their own places before; default 0. */
  readonly skip?: number
}

interface ArmedMisdirection {
  readonly path: (path: string) => boolean
  skip: number
}

interface ArmedFault {
  readonly operation: DiskOperation
  readonly code: DiskErrorCode
  readonly path: string | undefined
  skip: number
  times: number
}

/** What is wrong with a drive, set by tests. Stays as it is when the machine crashes. */
export class DriveFaults {
  readonly #random: SimRandom
  readonly #armed: ArmedFault[] = []
  readonly #misdirections: ArmedMisdirection[] = []
  #usedBytes = 0
  #capacityBytes = Number.POSITIVE_INFINITY
  #shortProbability = 0
  #extraDelayMs = 0

  constructor(random: SimRandom) {
    this.#random = random
  }

  /**
   * Makes operations to come fail. A `sync` or `syncDirectory` that fails leaves its changes readable, but neither it
   * nor any later sync makes them durable: so do kernels, which mark the pages clean.
   */
  failNext(operation: DiskOperation, fault: PlannedFault = {}): void {
    const { code = 'io', path, skip = 0, times = 1 } = fault
    this.#armed.push({ operation, code, path, skip, times })
  }

  /**
   * Lets one write to come land elsewhere in its file, at the beginning of a sector, and report success: firmware that
   * mixes up addresses (Bairavasundaram et al., "An Analysis of Data Corruption in the Storage Stack", FAST 2008). What
   * should have been overwritten stays as it was. A write that fits, but whose file has no other place for it, waits
   * for the next.
   */
  misdirectNext({ path = () => true, skip = 0 }: PlannedMisdirection = {}): void {
    this.#misdirections.push({ path, skip })
  }

  /** Leaves room for so many more bytes: a write that passes it is cut short, and the next one fails with `full`. */
  setFreeBytes(bytes: number): void {
    this.#capacityBytes = this.#usedBytes + bytes
  }

  /** Bytes that files may still grow by. */
  get freeBytes(): number {
    return this.#capacityBytes - this.#usedBytes
  }

  /** Each read and write transfers only a part of what was asked with this probability, at least one byte. */
  setShortTransfers(probability: number): void {
    this.#shortProbability = probability
  }

  /** Slows every operation down by so many milliseconds. */
  setExtraDelayMs(delayMs: number): void {
    assert(delayMs >= 0, 'a drive cannot answer before it is asked')
    this.#extraDelayMs = delayMs
  }

  /** @internal */
  get extraDelayMs(): number {
    return this.#extraDelayMs
  }

  /** Ends all faults: nothing fails, nothing is slow, there is room without end. */
  clear(): void {
    this.#armed.length = 0
    this.#misdirections.length = 0
    this.#capacityBytes = Number.POSITIVE_INFINITY
    this.#shortProbability = 0
    this.#extraDelayMs = 0
  }

  /** Throws the fault that is planned for this operation, if any. @internal */
  check(operation: DiskOperation, path: string): void {
    for (const [index, fault] of this.#armed.entries()) {
      if (fault.operation !== operation || (fault.path !== undefined && fault.path !== path)) continue
      if (fault.skip > 0) {
        fault.skip--
        continue
      }
      fault.times--
      if (fault.times <= 0) this.#armed.splice(index, 1)
      throw new DiskError(fault.code, operation, path, new Error('fault set by the simulation'))
    }
  }

  /** Where a write of `length` bytes that was meant for `position` lands in a file of `size` bytes. @internal */
  landing(path: string, position: number, length: number, size: number): number {
    const at = this.#misdirections.findIndex((each) => each.path(path))
    const planned = this.#misdirections[at]
    if (planned === undefined || planned.skip-- > 0) return position
    const places = Math.floor((size - length) / sectorBytes)
    const wrong = places < 1 ? position : this.#random.below(places) * sectorBytes
    if (wrong === position) planned.skip = 0
    else this.#misdirections.splice(at, 1)
    return wrong
  }

  /** How much of a transfer happens. @internal */
  shorten(length: number): number {
    if (length < 2 || this.#shortProbability === 0 || !this.#random.chance(this.#shortProbability)) return length
    return 1 + this.#random.below(length - 1)
  }

  /** Gives a file blocks up to `end`, or as far as there is room; returns where they end, which may be behind `end`. @internal */
  allocate(node: FileNode, end: number): number {
    const granted = Math.max(0, Math.min(end - node.allocated, this.freeBytes))
    node.allocated += granted
    this.#usedBytes += granted
    return node.allocated
  }

  /** Takes back the blocks behind `end`. @internal */
  release(node: FileNode, end: number): void {
    if (end >= node.allocated) return
    this.#usedBytes -= node.allocated - end
    node.allocated = end
  }

  /** @internal */
  recount(usedBytes: number): void {
    this.#usedBytes = usedBytes
  }
}
