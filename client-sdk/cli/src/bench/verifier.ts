import { WriteLedger } from './ledger.js'
import { keyName, keyNumber, type Values, WrongValueError } from './values.js'

/** Makes what is written, and judges what is read: see `Values` for what a value tells, `WriteLedger` for what is due. */
export class Verifier {
  readonly #values: Values
  readonly #ledger: WriteLedger
  readonly #on: boolean
  readonly #fresh: boolean
  /** Keys from 0 that a read must find, loaded by this run or by an earlier one. */
  readonly #loaded: number
  #staleReads = 0

  /**
   * @param fresh - a superseded value is an error; otherwise it is only counted
   * @param on - false: it is only checked that keys that were loaded are there
   */
  constructor(values: Values, loaded: number, fresh: boolean, on: boolean) {
    this.#values = values
    this.#ledger = new WriteLedger(on ? loaded : 0)
    this.#loaded = loaded
    this.#fresh = fresh
    this.#on = on
  }

  /** Superseded values that were read where that is no error. */
  get staleReads(): number {
    return this.#staleReads
  }

  /** A write of this key begins; its number, which goes into its value. */
  begin(key: number): number {
    return this.#on ? this.#ledger.begin(key) : 0
  }

  /** What the write that has just begun supersedes once it is acknowledged. */
  settledBelow(key: number): number {
    return this.#on ? this.#ledger.settledBelow(key) : 0
  }

  value(key: number, write: number): Buffer {
    return this.#values.make(key, write)
  }

  acknowledged(key: number, write: number, settled: number): void {
    if (this.#on) this.#ledger.acknowledged(key, write, settled)
  }

  /** A write failed. One that may have been applied, or may yet be, is under way for good. */
  failed(key: number, write: number, error: unknown): void {
    if (this.#on && (error as { outcome?: unknown } | null)?.outcome === 'not-applied')
      this.#ledger.withdrawn(key, write)
  }

  /** The oldest write that a read beginning now may return. */
  floor(key: number): number {
    return this.#on ? this.#ledger.floor(key) : 0
  }

  /**
   * Judges an entry of a scan: it must have been written, and under this key. Not how old it is: which keys a scan will
   * meet, and so what was acknowledged for them, is not known when it begins. Throws WrongValueError.
   */
  readonly checkScanned = (name: string, value: Uint8Array): void => {
    if (!this.#on) return
    const key = keyNumber(name)
    if (key === undefined) {
      throw new WrongValueError('wrong-value', `a scan gave ${JSON.stringify(name)}, which is no key of a load test`)
    }
    this.check(key, value, 0)
  }

  /** Judges what a read gave that began when `floor` was due. Throws WrongValueError. */
  check(key: number, value: Uint8Array | undefined | null, floor: number): void {
    if (value === undefined || value === null) {
      if (floor > 0 || key < this.#loaded) throw new WrongValueError('missing-value', `${keyName(key)} is missing`)
      return
    }
    if (!this.#on) return
    const write = this.#values.writeOf(key, value)
    const issued = this.#ledger.issued(key)
    if (write !== undefined && (write === 0 || write > issued)) {
      throw new WrongValueError('wrong-value', `${keyName(key)} has write ${write}; ${issued} were made`)
    }
    if ((write ?? 0) >= floor) return
    this.#staleReads++
    if (!this.#fresh) return
    const what = write === undefined ? 'a value of an earlier run' : `write ${write}`
    throw new WrongValueError('stale-value', `${keyName(key)} has ${what}; write ${floor} or a later one was due`)
  }
}
