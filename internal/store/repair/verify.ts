import { assert, type ClusterId, FatalError, type Slot } from '../../base/index.js'
import { type Disk, DiskError } from '../../env/index.js'
import { type Fault, type FileOrigin, type LogSurvey, listIfThere, logDirectory, surveyLog } from '../../wal/index.js'
import type { Identity } from '../identity.js'
import { lostSlotsName } from '../lost-slots.js'
import type { Manifest } from '../manifest.js'
import { sequenceOfSnapshot, snapshotDirectory } from '../snapshot/snapshot-files.js'
import {
  foreignFile,
  inspectDocument,
  parseIdentity,
  parseLost,
  parseManifest,
  readDocumentFile,
} from './verify-document.js'
import { isForeign, type SnapshotReport, surveySnapshot } from './verify-snapshot.js'

/** Something that keeps a node from starting, or will when it is needed. `path` is below the data directory. */
export interface Finding extends Fault {
  /** What a person can do about it. */
  readonly advice: string
}

export type FileKind =
  | 'document'
  | 'segment'
  | 'snapshot'
  | 'spare' // kept for its blocks, to become a segment of the log; what it holds is read by nobody
  | 'leftover' // of a process that died; the node removes or replaces it
  | 'hints' // writes kept for other members, which nothing rests on: not read
  | 'set-aside' // damaged, kept for whoever wants to know why
  | 'unknown' // not the store's; nobody touches it

/** One file (of kind `set-aside` and `unknown`: or directory) and what it holds. */
export interface FileReport {
  readonly path: string
  readonly kind: FileKind
  /** 0 for a directory. */
  readonly bytes: number
  /** `unchecked`: it has no checksums, or nobody reads it. */
  readonly state: 'sound' | 'damaged' | 'unchecked'
  /** In words. */
  readonly holds: string
  /** The numbers behind the words. */
  readonly facts: Readonly<Record<string, number>>
}

/** Checks what a document of some name says. Throws an Error that tells what is wrong with it. */
export type DocumentCheck = (payload: Uint8Array, identity: Identity | undefined) => void

/** A document as it was found. */
export interface DocumentReport {
  readonly name: string
  readonly bytes: Uint8Array
  /** Undefined: it is damaged. */
  readonly payload: Uint8Array | undefined
}

/** Everything about a data directory. It is sound when there are no findings. */
export interface DirectorySurvey {
  readonly findings: readonly Finding[]
  readonly files: readonly FileReport[]
  /** Undefined: missing or damaged. */
  readonly identity: Identity | undefined
  /** Whose the files should be, as far as anything says so. */
  readonly origin: FileOrigin | undefined
  readonly documents: readonly DocumentReport[]
  /** Newest first. */
  readonly snapshots: readonly SnapshotReport[]
  readonly log: LogSurvey
  /** The log was durable up to this sequence, as the names of snapshots and the document `store` tell. */
  readonly reached: number
  /** The slots that the document `lost` names, in order; empty also where it is damaged, and that is a finding. */
  readonly lost: readonly Slot[]
  /** The document that a repair writes before it moves the first file is there. */
  readonly repairing: boolean
}

/** The document that tells how far a repair has come (see repair-journal.ts). */
export const journalName = 'repair'
/** Below it, one directory for each repair. */
export const asideDirectory = 'damaged'
/** Of `internal/hints`. Whatever is in it may be missing or damaged: the node drops what does not check. */
const hintsDirectory = 'hints'
/** The lock of the process that uses the directory is the server's. */
const ignoredNames = new Set(['LOCK', 'lost+found'])
const documentPattern = /^[a-z0-9-]{1,64}$/

const adviceFor = {
  repair:
    'run "kv-server repair" on this data directory: it sets what is damaged aside and keeps the rest, after saying ' +
    'what is lost; or restore the directory from a backup',
  snapshot:
    'the node sets it aside when it starts, or "kv-server repair" does on this data directory: the older snapshot and ' +
    'the longer log have what is in it, and slots that are damaged in both are marked as lost',
  unfinished: 'run "kv-server repair" on this data directory again: a former repair did not finish',
} as const

/**
 * Checks every byte of a stopped node's data directory and goes on behind damage, where a start would stop. The
 * directory must belong to this process alone. Changes nothing. `checks`: for documents of which the store knows only
 * that they are some, by name. Throws FatalError `refused` where a later release has written a file, and DiskErrors.
 */
export async function surveyDirectory(
  disk: Disk,
  checks: Readonly<Record<string, DocumentCheck>> = {},
): Promise<DirectorySurvey> {
  const surveyor = new Surveyor(disk, checks)
  return await surveyor.run()
}

class Surveyor {
  readonly #disk: Disk
  readonly #checks: Readonly<Record<string, DocumentCheck>>
  readonly #findings: Finding[] = []
  readonly #files: FileReport[] = []
  readonly #documents: DocumentReport[] = []

  constructor(disk: Disk, checks: Readonly<Record<string, DocumentCheck>>) {
    this.#disk = disk
    this.#checks = checks
  }

  async run(): Promise<DirectorySurvey> {
    const names = await listIfThere(this.#disk, '.')
    for (const name of names) {
      if (documentPattern.test(name) && !isDirectoryOfOurs(name)) await this.#document(name)
    }
    const identity = this.#identity()
    const origin = this.#origin(identity)
    for (const { name, payload } of this.#documents) this.#checkContents(name, payload, identity)
    const snapshots = await this.#snapshots(origin)
    const log = await this.#log(origin)
    const reached = Math.max(snapshots[0]?.sequence ?? 0, this.#manifest()?.reached ?? 0)
    this.#checkWhole(snapshots, log, reached)
    for (const name of names) {
      if (!documentPattern.test(name) || name === asideDirectory || name === hintsDirectory)
        await this.#other(name, name)
    }
    const repairing = names.includes(journalName)
    const lostPayload = this.#payloadOf(lostSlotsName)
    const lost = lostPayload === undefined ? [] : (parsed(() => parseLost(lostPayload)) ?? [])
    return {
      findings: this.#findings,
      files: this.#files.sort((a, b) => (a.path < b.path ? -1 : 1)),
      identity,
      origin,
      documents: this.#documents,
      snapshots,
      log,
      reached,
      lost,
      repairing,
    }
  }

  // --- documents

  async #document(name: string): Promise<void> {
    if (await isDirectory(this.#disk, name)) {
      this.#file({ path: name, kind: 'unknown', bytes: 0, state: 'unchecked', holds: 'a directory of someone else' })
      return
    }
    const bytes = await readDocumentFile(this.#disk, name)
    const inspected = inspectDocument(bytes)
    if (!inspected.sound && inspected.problem.found === foreignFile && !this.#isKnown(name)) {
      const holds = 'a file of someone else, left alone'
      this.#file({ path: name, kind: 'unknown', bytes: bytes.length, state: 'unchecked', holds })
      return
    }
    if (!inspected.sound) this.#find({ kind: 'damaged', path: name, ...inspected.problem })
    this.#documents.push({ name, bytes, payload: inspected.sound ? inspected.payload : undefined })
    const state = inspected.sound ? 'sound' : 'damaged'
    const lost = inspected.sound && name === lostSlotsName ? parsed(() => parseLost(inspected.payload)) : undefined
    let holds = inspected.sound ? `a document of ${inspected.payload.length} bytes` : 'a damaged document'
    if (lost !== undefined) holds = `${lost.length} slots that are lost here until they have been refilled`
    const facts = lost === undefined ? {} : { lostSlots: lost.length }
    this.#file({ path: name, kind: 'document', bytes: bytes.length, state, holds, facts })
  }

  #isKnown(name: string): boolean {
    return ['identity', 'store', lostSlotsName, journalName].includes(name) || this.#checks[name] !== undefined
  }

  #payloadOf(name: string): Uint8Array | undefined {
    return this.#documents.find((document) => document.name === name)?.payload
  }

  #identity(): Identity | undefined {
    const payload = this.#payloadOf('identity')
    return payload === undefined ? undefined : parsed(() => parseIdentity(payload))
  }

  /** The identity says whose everything is; where it is lost, the store's own document does. */
  #origin(identity: Identity | undefined): FileOrigin | undefined {
    const manifest = this.#manifest()
    const clusterId: ClusterId | undefined = identity?.clusterId ?? manifest?.clusterId
    const incarnation = identity?.incarnation ?? manifest?.incarnation
    return clusterId === undefined || incarnation === undefined ? undefined : { clusterId, incarnation }
  }

  #manifest(): Manifest | undefined {
    const payload = this.#payloadOf('store')
    return payload === undefined ? undefined : parsed(() => parseManifest(payload))
  }

  /** What the checksums cannot tell: whether a document says something that can be. */
  #checkContents(name: string, payload: Uint8Array | undefined, identity: Identity | undefined): void {
    if (payload === undefined) return
    const offset = 24 // behind the header: FORMAT.md, "Document"
    try {
      if (name === 'identity') parseIdentity(payload)
      if (name === lostSlotsName) parseLost(payload)
      if (name === 'store') {
        const { clusterId, incarnation } = parseManifest(payload)
        const own = identity?.clusterId === clusterId && identity.incarnation === incarnation
        if (identity !== undefined && !own) {
          const expected = `cluster ${identity.clusterId ?? 'none'}, incarnation ${identity.incarnation}, as in "identity"`
          const found = `cluster ${clusterId}, incarnation ${incarnation}`
          this.#find({ kind: 'foreign', path: name, offset, expected, found })
        }
      }
      this.#checks[name]?.(payload, identity)
    } catch (error) {
      if (error instanceof FatalError && error.reason === 'refused') throw error
      const found = error instanceof Error ? error.message : String(error)
      this.#find({ kind: 'damaged', path: name, offset, expected: `the contents of "${name}"`, found })
    }
  }

  // --- snapshots and the log

  async #snapshots(origin: FileOrigin | undefined): Promise<SnapshotReport[]> {
    const reports: SnapshotReport[] = []
    for (const name of await listIfThere(this.#disk, snapshotDirectory)) {
      const known = sequenceOfSnapshot(name)
      if (known === undefined) {
        await this.#other(`${snapshotDirectory}/${name}`, name)
        continue
      }
      const report = await surveySnapshot(this.#disk, known, origin, () => undefined)
      reports.push(report)
      for (const fault of report.faults) this.#find(fault, adviceFor.snapshot)
      const { path, bytes, sequence, blocks, records } = report
      const state = report.faults.length === 0 ? 'sound' : 'damaged'
      const holds = `everything up to sequence ${sequence}: ${records} records in ${blocks} blocks`
      this.#file({ path, kind: 'snapshot', bytes, state, holds, facts: { sequence, records, blocks } })
    }
    return reports.sort((a, b) => b.sequence - a.sequence)
  }

  async #log(origin: FileOrigin | undefined): Promise<LogSurvey> {
    const log = await surveyLog(this.#disk, origin, () => undefined)
    for (const fault of log.faults) this.#find(fault)
    for (const report of log.segments) {
      const { path, bytes, firstSequence, lastSequence, groups, records, tornAt } = report
      const state = log.faults.some((fault) => fault.path === path) ? 'damaged' : 'sound'
      const range = lastSequence === 0 ? 'no frames' : `sequences ${firstSequence} to ${lastSequence}`
      const torn = tornAt === undefined ? '' : `; an unfinished write at byte ${tornAt}, which the next start cuts off`
      const holds = `${range}: ${records} records in ${groups} groups${torn}`
      const facts = { firstSequence, lastSequence, groups, records, ...(tornAt !== undefined && { tornAt }) }
      this.#file({ path, kind: 'segment', bytes, state, holds, facts })
    }
    for (const path of log.spares)
      await this.#spare(path, 'a former segment of the log, whose blocks will be used again')
    if (log.unbegun !== undefined)
      await this.#spare(log.unbegun, 'nothing yet: it was made ready to be the next segment')
    for (const name of log.others) await this.#other(`${logDirectory}/${name}`, name)
    return log
  }

  async #spare(path: string, holds: string): Promise<void> {
    this.#file({ path, kind: 'spare', bytes: await sizeOf(this.#disk, path), state: 'unchecked', holds })
  }

  /** Whether files that a store must have are there, and whether the log goes with the snapshots. */
  #checkWhole(snapshots: readonly SnapshotReport[], log: LogSurvey, reached: number): void {
    const present = (name: string): boolean => this.#documents.some((document) => document.name === name)
    const first = log.segments[0]
    const used = snapshots.length > 0 || first !== undefined
    if (!present('identity') && (used || present('store'))) {
      const advice = present(journalName) ? adviceFor.unfinished : adviceFor.repair
      this.#missing('identity', 'the document that says whose this directory is', 'no such file', advice)
    }
    if (!present('store') && (snapshots.length > 0 || log.lastSequence > 0)) {
      this.#missing('store', 'the document that belongs to a log', 'no such file')
    }
    if (first === undefined) {
      if (present('store') || snapshots.length > 0) this.#missing(logDirectory, 'a segment of the log', 'no such file')
      return
    }
    const start = log.startSequence
    const own = snapshots.filter((snapshot) => !isForeign(snapshot))
    // Without a sound one the damaged ones are what the node starts from, and that has been said of them.
    const sound = own.find((snapshot) => snapshot.faults.length === 0)
    const base = (sound ?? own.find(({ sequence }) => start !== undefined && start <= sequence + 1))?.sequence ?? 0
    if (start !== undefined && start > base + 1) {
      const found = `a log that starts with sequence ${start}`
      this.#missing(first.path, `the log from sequence ${base + 1} on`, found)
    }
    if (log.nextSequence !== undefined && log.nextSequence <= reached && log.faults.length === 0) {
      const why =
        snapshots[0]?.sequence === reached ? 'which a snapshot contains' : 'which were there when the store was closed'
      const expected = `frames up to sequence ${reached}, ${why}`
      this.#missing(log.segments.at(-1)!.path, expected, `the end of the log behind sequence ${log.nextSequence - 1}`)
    }
  }

  // --- the rest

  async #other(path: string, name: string): Promise<void> {
    if (ignoredNames.has(name)) return
    if (name === asideDirectory) {
      for (const repair of await this.#disk.list(name)) {
        const holds = 'what a repair has set aside; it may be removed'
        this.#file({ path: `${name}/${repair}`, kind: 'set-aside', bytes: 0, state: 'unchecked', holds })
      }
      return
    }
    if (name === hintsDirectory) {
      for (const member of await this.#disk.list(name)) {
        const holds = 'writes that another member has missed; it gets them from anti-entropy where this is removed'
        this.#file({ path: `${name}/${member}`, kind: 'hints', bytes: 0, state: 'unchecked', holds })
      }
      return
    }
    const directory = await isDirectory(this.#disk, path)
    const bytes = directory ? 0 : await sizeOf(this.#disk, path)
    if (name.endsWith('.tmp')) {
      const holds = 'a file that was never finished; the node removes or replaces it'
      this.#file({ path, kind: 'leftover', bytes, state: 'unchecked', holds })
    } else if (name.endsWith('.damaged')) {
      const holds = 'a snapshot that is damaged; the node removes it some good ones later'
      this.#file({ path, kind: 'set-aside', bytes, state: 'unchecked', holds })
    } else {
      const holds = `a ${directory ? 'directory' : 'file'} of someone else, left alone`
      this.#file({ path, kind: 'unknown', bytes, state: 'unchecked', holds })
    }
  }

  #missing(path: string, expected: string, found: string, advice?: string): void {
    this.#find({ kind: 'missing', path, offset: 0, expected, found }, advice)
  }

  #find(fault: Fault, advice: string = adviceFor.repair): void {
    this.#findings.push({ ...fault, advice })
  }

  #file(report: Omit<FileReport, 'facts'> & Partial<Pick<FileReport, 'facts'>>): void {
    assert(!this.#files.some(({ path }) => path === report.path), `${report.path} was looked at twice`)
    this.#files.push({ ...report, facts: report.facts ?? {} })
  }
}

function isDirectoryOfOurs(name: string): boolean {
  return [logDirectory, snapshotDirectory, asideDirectory, hintsDirectory].includes(name)
}

async function isDirectory(disk: Disk, path: string): Promise<boolean> {
  try {
    await disk.list(path)
    return true
  } catch (error) {
    if (error instanceof DiskError && error.code === 'io') return false
    throw error
  }
}

async function sizeOf(disk: Disk, path: string): Promise<number> {
  const file = await disk.open(path, 'read')
  try {
    return await file.size()
  } finally {
    await file.close()
  }
}

/** What a document says, or undefined where it says nothing: that is told when it is checked. */
function parsed<T>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch (error) {
    if (error instanceof Error && error.name !== 'AssertionError') return undefined
    throw error
  }
}
