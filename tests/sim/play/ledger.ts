import { compareVersions, type Version, zeroVersion } from '@quorumkv/internal/hlc'
import { checkRegister } from '../check/linearizability.js'
import { History } from './history.js'

/** How a write ended that was not acknowledged. */
export type Failure = 'not-applied' | 'unknown'

/** One write as the ledger follows it. */
export interface WriteNote {
  readonly key: string
  /** Undefined: a delete. */
  readonly value: string | undefined
  /** The highest version of the key that had been acknowledged when it was called, and whether that was a value. */
  readonly floor: Acknowledged | undefined
  /** The same of what had been acknowledged or read: what it may say that it replaced is not older. */
  readonly replacedFloor: Acknowledged | undefined
  state: 'open' | 'acknowledged' | Failure
  version: Version | undefined
}

export interface Acknowledged {
  readonly version: Version
  readonly tombstone: boolean
}

/** One read of a register, as long as it runs. */
export interface ReadNote {
  readonly key: string
  /** The highest version of the key that had been acknowledged or read when it was called. */
  readonly floor: Acknowledged | undefined
}

/** What a write was told about what it replaced. */
export interface Replaced {
  /** Whether it was told anything: if not, it was told that this is not known. */
  readonly known: boolean
  readonly existed: boolean
  readonly previous: { readonly value: string; readonly version: Version } | undefined
  /** It was attempted more than once: a later attempt replaces what an earlier one has left. */
  readonly repeated: boolean
}

interface KeyNotes {
  readonly writes: WriteNote[]
  readonly values: Map<string, WriteNote>
  readonly read: Set<string>
  highest: Acknowledged | undefined
  /** The highest version that a read of a register has returned. */
  highestRead: Version | undefined
}

function show({ hi, lo, node }: Version): string {
  return `${hi}.${lo}.${node}`
}

/** What the clients of one run were told, and what was found wrong with it. */
export class Ledger {
  readonly history: History = new History()
  readonly violations: string[] = []
  readonly #keys = new Map<string, KeyNotes>()
  readonly #stamps = new Map<string, string>()
  /** The highest version that each node has given to an acknowledged write, by the name of the node. */
  readonly #stampedBy = new Map<string, Version>()
  readonly #nowMs: () => number
  /** Only what holds whatever happens to disks is checked. */
  readonly #safetyOnly: boolean

  constructor(nowMs: () => number, safetyOnly = false) {
    this.#nowMs = nowMs
    this.#safetyOnly = safetyOnly
  }

  /** A promise that holds as long as damage stays below what the cluster is made for. */
  violation(what: string): void {
    if (!this.#safetyOnly) this.falsehood(what)
  }

  /** What must never be, however much is damaged: something that nobody wrote, a bug. */
  falsehood(what: string): void {
    this.violations.push(`at ${this.#nowMs().toFixed(3)} ms: ${what}`)
  }

  get acknowledgements(): number {
    return this.#stamps.size
  }

  /** Keys that were written. */
  keys(): IterableIterator<string> {
    return this.#keys.keys()
  }

  /** The highest acknowledged version of a key. */
  highest(key: string): Acknowledged | undefined {
    return this.#keys.get(key)?.highest
  }

  /**
   * A write is called; `value` is unique, undefined for a delete. `ordered`: it is above everything that has been
   * acknowledged, which one at level `one` need not be.
   */
  write(key: string, value: string | undefined, ordered = true): WriteNote {
    const notes = this.#notes(key)
    const floor = ordered ? notes.highest : undefined
    const replacedFloor = ordered ? this.read(key).floor : undefined
    const note: WriteNote = { key, value, floor, replacedFloor, state: 'open', version: undefined }
    notes.writes.push(note)
    if (value !== undefined) notes.values.set(value, note)
    return note
  }

  /** This node begins a new life with a number of its own: its stamps are compared with its own from now on. */
  newIncarnation(node: string): void {
    this.#stampedBy.delete(node)
  }

  /** What this node has stamped so far, for `acknowledged`. */
  stampedBy(node: string): Version | undefined {
    return this.#stampedBy.get(node)
  }

  /**
   * A write was acknowledged under this version. No version is given twice, a later write gets the higher one, and so
   * do all that one node stamps: `stampedBefore` is what `stampedBy` said when the write was called.
   */
  acknowledged(note: WriteNote, version: Version, via: string, stampedBefore: Version | undefined): void {
    const { key, floor } = note
    const stamp = show(version)
    const other = this.#stamps.get(stamp)
    if (other !== undefined) this.violation(`${key} and ${other} were acknowledged under one version, ${stamp}`)
    this.#stamps.set(stamp, key)
    note.state = 'acknowledged'
    note.version = { hi: version.hi, lo: version.lo, node: version.node }
    if (floor !== undefined && compareVersions(version, floor.version) <= 0) {
      this.violation(`${key}: a write got ${stamp} after ${show(floor.version)} had been acknowledged`)
    }
    if (stampedBefore !== undefined && compareVersions(version, stampedBefore) <= 0) {
      this.violation(`${via} stamped ${stamp} for ${key} after ${show(stampedBefore)}`)
    }
    const stamped = this.#stampedBy.get(via)
    if (stamped === undefined || compareVersions(version, stamped) > 0) this.#stampedBy.set(via, note.version)
    const notes = this.#notes(key)
    if (notes.highest === undefined || compareVersions(version, notes.highest.version) > 0) {
      notes.highest = { version: note.version, tombstone: note.value === undefined }
    }
  }

  failed(note: WriteNote, failure: Failure): void {
    if (note.state !== 'open') return
    note.state = failure
    const { key, value } = note
    if (failure === 'not-applied' && value !== undefined && this.#notes(key).read.has(value)) {
      this.violation(`${key}: ${value} was read, and told to be not applied`)
    }
  }

  /** A read returned this value. */
  returned(key: string, value: string | undefined): void {
    if (value === undefined) return
    const notes = this.#notes(key)
    const note = notes.values.get(value)
    notes.read.add(value)
    if (note === undefined) this.falsehood(`${key}: nobody wrote ${value}`)
    else if (note.state === 'not-applied') this.violation(`${key}: ${value} is read, and was told to be not applied`)
  }

  /**
   * What an acknowledged write says of what it replaced: the highest version that was acknowledged or read when it was
   * called, or a newer one; or that this is not known, and then nothing else.
   */
  replaced(note: WriteNote, { known, existed, previous, repeated }: Replaced): void {
    const { key, replacedFloor: floor, version } = note
    if (!known) {
      if (existed || previous !== undefined) this.violation(`${key}: told what was replaced, and that it is not known`)
      return
    }
    if (previous !== undefined) {
      this.returned(key, previous.value)
      if (!repeated && previous.value === note.value) this.violation(`${key}: ${previous.value} replaced itself`)
      if (floor !== undefined && compareVersions(previous.version, floor.version) < 0) {
        this.violation(`${key}: replaced ${previous.value}, though a newer write had been acknowledged or read before`)
      }
      if (version !== undefined && compareVersions(previous.version, version) >= 0) {
        this.violation(`${key}: replaced ${previous.value}, which is newer than what replaced it`)
      }
    }
    if (existed || floor === undefined || floor.tombstone) return
    const mayBeDeleted = this.#notes(key).writes.some(
      ({ value, state, version: at }) =>
        value === undefined && state !== 'not-applied' && (at === undefined || compareVersions(at, floor.version) > 0),
    )
    if (!mayBeDeleted) this.violation(`${key}: a write replaced nothing, though the key was there`)
  }

  /** A read of a register is called. */
  read(key: string): ReadNote {
    const { highest, highestRead } = this.#notes(key)
    const readLast = highestRead !== undefined && compareVersions(highestRead, highest?.version ?? zeroVersion) > 0
    return { key, floor: readLast ? { version: highestRead, tombstone: false } : highest }
  }

  /**
   * A read of a register has returned a value of this version, or (undefined) nothing. A history alone can not refute what
   * a failed write may explain: once a delete has an unknown fate, "absent" is right for ever. Versions can. A value must
   * not be older than what had been acknowledged or read, and where the key is said to be gone, some node must have
   * something newer than the value that was there: `highestHeld` is the highest version that any of them holds,
   * `zeroVersion` for nothing, undefined where nobody can tell.
   */
  found({ key, floor }: ReadNote, version: Version | undefined, highestHeld: () => Version | undefined): void {
    const notes = this.#notes(key)
    if (version !== undefined) {
      if (floor !== undefined && compareVersions(version, floor.version) < 0) {
        this.violation(`${key}: ${show(version)} was read after ${show(floor.version)} had been acknowledged or read`)
      }
      if (notes.highestRead === undefined || compareVersions(version, notes.highestRead) > 0) {
        notes.highestRead = { hi: version.hi, lo: version.lo, node: version.node }
      }
      return
    }
    if (floor === undefined || floor.tombstone) return
    const held = highestHeld()
    if (held === undefined || compareVersions(held, floor.version) > 0) return
    this.violation(`${key}: nothing was read though nobody holds anything newer than the value ${show(floor.version)}`)
  }

  /** A read finds what had been acknowledged when it was called, or something newer; there are no deletes. */
  notBefore(key: string, { version }: Acknowledged, found: Version | undefined): void {
    if (found !== undefined && compareVersions(found, version) >= 0) return
    const what = found === undefined ? 'nothing' : show(found)
    this.violation(`${key}: ${what} was read, though every owner had acknowledged ${show(version)}`)
  }

  /** Checks the history of every key. Returns the operations checked. */
  checkHistories(): number {
    if (this.#safetyOnly) return 0
    let checked = 0
    for (const key of this.history.keys()) {
      const operations = this.history.operations(key)
      const verdict = checkRegister(operations)
      checked += operations.length
      if (verdict.kind === 'violation') {
        const stuck = verdict.operations.map(
          ({ kind, value, called, returned }) => `${kind} ${value} [${called}, ${returned}]`,
        )
        this.violation(`${key} is not linearizable; no order for: ${stuck.join('; ')}`)
      } else if (verdict.kind === 'undecided') this.violation(`${key}: no verdict after ${verdict.steps} steps`)
    }
    return checked
  }

  #notes(key: string): KeyNotes {
    const known = this.#keys.get(key)
    if (known !== undefined) return known
    const notes: KeyNotes = {
      writes: [],
      values: new Map(),
      read: new Set(),
      highest: undefined,
      highestRead: undefined,
    }
    this.#keys.set(key, notes)
    return notes
  }
}
