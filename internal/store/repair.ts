import type { Incarnation, NodeId } from '../base/index.js'
import { type Disk, writeFully } from '../env/index.js'
import { createDurably, directoryOf, type FileOrigin, type SequenceRange, syncDirectory } from '../wal/index.js'
import { writeDocument } from './durable-file.js'
import { type DocumentRepair, planDocuments } from './repair-documents.js'
import {
  followJournal,
  type MemberIdentity,
  moveAll,
  type RepairJournal,
  readJournal,
  removeJournal,
  writeJournal,
} from './repair-journal.js'
import { type RebuildSources, type RebuildTarget, rebuild } from './repair-rebuild.js'
import { asideDirectory, type DirectorySurvey, type DocumentCheck, surveyDirectory } from './verify.js'
import { readDocumentFile } from './verify-document.js'

export interface RepairOptions {
  readonly disk: Disk
  /** As for `surveyDirectory`. */
  readonly checks: Readonly<Record<string, DocumentCheck>>
  /** The members that the document `topology` names. */
  readonly members: (topology: Uint8Array) => readonly { readonly id: NodeId; readonly incarnation: Incarnation }[]
  /** What the node becomes where it has lost acknowledged writes and is not alone. */
  readonly newIncarnation: Incarnation
  /** Name of the directory for what is set aside; nothing has it yet. */
  readonly name: string
}

/** What cannot be read any more. Keys of it may be older here than they were, or missing. */
export interface Loss {
  /** Of the log, behind what the snapshots contain. */
  readonly sequences: readonly SequenceRange[]
  /** How many groups of writes that is at most: some of the sequences may have been marks without records. */
  readonly groupsMax: number
  /** More may be lost behind the last of them, and nothing tells how much. */
  readonly openEnd: boolean
  /** Blocks of snapshots for which there is no other copy. */
  readonly snapshots: readonly { readonly path: string; readonly blocks: number | undefined; readonly kept: number }[]
}

/** What a repair will do, and what has been lost. Nothing has been changed yet. */
export type RepairPlan =
  /** The directory is sound. */
  | { readonly kind: 'nothing' }
  /** A former repair was cut short. */
  | { readonly kind: 'resume'; readonly journal: RepairJournal }
  | {
      readonly kind: 'repair'
      readonly survey: DirectorySurvey
      /** Below the data directory. */
      readonly directory: string
      readonly documents: readonly DocumentRepair[]
      /** Files that are moved to `directory`. */
      readonly aside: readonly string[]
      /** Undefined: what is left in place goes together. */
      readonly rebuild: { readonly sources: RebuildSources; readonly target: RebuildTarget } | undefined
      /** Undefined: nothing that was acknowledged. */
      readonly loss: Loss | undefined
      /** The node comes back as another one: it may not answer as if it had lost nothing. */
      readonly reborn: boolean
      /** The only member of its cluster: nobody else has what it has lost, and nobody can be deceived by it. */
      readonly alone: boolean
    }

export type DirectoryRepair = Extract<RepairPlan, { readonly kind: 'repair' }>

/**
 * Finds out what a stopped node's data directory needs so that the node can start. Changes nothing. The directory must
 * belong to this process alone. Throws FatalError `corrupt` where no repair can help, and DiskErrors.
 */
export async function planRepair(options: RepairOptions): Promise<RepairPlan> {
  const { disk, checks } = options
  const found = await readJournal(disk)
  if (found.state === 'pending') return { kind: 'resume', journal: found.journal }
  const survey = await surveyDirectory(disk, checks)
  if (survey.findings.length === 0) return { kind: 'nothing' }
  const { documents, identity, members } = planDocuments(survey, options.members)
  const alone = members.length === 1 && members[0]!.id === identity.nodeId
  const logIsBad = survey.findings.some(({ path }) => path === 'log' || path.startsWith('log/'))
  const forgotten = documents.some(({ action }) => action === 'forget')
  const loss = logIsBad ? lossOf(survey) : undefined
  const reborn = !alone && (loss !== undefined || forgotten)
  const directory = `${asideDirectory}/${options.name}`
  const common = { kind: 'repair', survey, directory, documents, loss, reborn, alone } as const
  if (!logIsBad && !reborn) {
    const rotten = survey.snapshots.filter(({ faults }) => faults.length > 0).map(({ path }) => path)
    return { ...common, aside: rotten, rebuild: undefined }
  }
  const aside = [...survey.snapshots, ...survey.log.segments].map(({ path }) => path)
  // It has a segment's name, and would stand before the new one.
  if (survey.log.unbegun !== undefined) aside.push(survey.log.unbegun)
  const next: MemberIdentity = { ...identity, incarnation: reborn ? options.newIncarnation : identity.incarnation }
  return { ...common, aside, rebuild: planRebuild(survey, identity, next) }
}

function baseOf(survey: DirectorySurvey): number | undefined {
  return survey.snapshots.find(({ faults }) => faults.length === 0)?.sequence
}

function planRebuild(
  survey: DirectorySurvey,
  origin: FileOrigin,
  identity: MemberIdentity,
): { sources: RebuildSources; target: RebuildTarget } {
  const { log, snapshots } = survey
  const base = baseOf(survey)
  const salvaged = snapshots.map(({ sequence }) => sequence).filter((sequence) => sequence > (base ?? -1))
  // Above all that was: a repair that is finished by another one must not take its own files for old ones.
  const sequence = Math.max(log.lastSequence, snapshots[0]?.sequence ?? 0) + 1
  const { clusterId, incarnation } = origin
  return {
    sources: { origin: { clusterId, incarnation }, base, salvaged },
    target: { identity, sequence, segment: log.lastNumber + 1 },
  }
}

function lossOf(survey: DirectorySurvey): Loss | undefined {
  const { log, snapshots } = survey
  const base = baseOf(survey) ?? 0
  const known = Math.max(log.lastSequence, snapshots[0]?.sequence ?? 0)
  const sequences = log.sound.gaps(base + 1, known)
  const openEnd = log.openEnd || log.segments.length === 0
  if (sequences.length === 0 && !openEnd) return undefined
  const salvaged = snapshots.filter(({ sequence }) => sequence > base)
  return {
    sequences,
    groupsMax: sequences.reduce((sum, { first, last }) => sum + last - first + 1, 0),
    openEnd,
    snapshots: salvaged.map(({ path, blocks, blocksPromised }) => ({ path, blocks: blocksPromised, kept: blocks })),
  }
}

/** What a repair did. */
export interface RepairOutcome {
  /** Live keys and tombstones of the rebuilt store; undefined: it was not rebuilt. */
  readonly records: number | undefined
}

/**
 * Carries out a plan. What is damaged is moved or copied to the plan's directory; nothing is deleted. Where it is cut
 * short the data directory starts as before or not at all, and the next repair finishes it. Throws FatalError and
 * DiskErrors.
 */
export async function carryOutRepair(disk: Disk, plan: RepairPlan): Promise<RepairOutcome> {
  switch (plan.kind) {
    case 'nothing':
      return { records: undefined }
    case 'resume':
      await followJournal(disk, plan.journal)
      return { records: undefined }
    case 'repair':
      return await repair(disk, plan)
    default:
      return plan satisfies never
  }
}

async function repair(disk: Disk, plan: DirectoryRepair): Promise<RepairOutcome> {
  const { directory, documents, aside } = plan
  await removeJournal(disk)
  for (const name of ['', '/log', '/snapshots']) await disk.makeDirectory(directory + name)
  for (const path of ['.', asideDirectory, directory]) await syncDirectory(disk, path)
  for (const change of documents) await repairDocument(disk, directory, change)
  const moves = aside.map((path) => ({ from: path, to: `${directory}/${path}` }))
  if (plan.rebuild === undefined) {
    await moveAll(disk, moves)
    return { records: undefined }
  }
  const { sources, target } = plan.rebuild
  const rebuilt = await rebuild(disk, sources, target)
  // The damaged one has its place there already.
  if (!documents.some(({ name, present }) => name === 'identity' && present)) {
    await copyDocument(disk, 'identity', directory)
  }
  const journal = { directory, identity: target.identity, moves: [...moves, ...rebuilt.moves] }
  await writeJournal(disk, journal)
  await followJournal(disk, journal)
  return { records: rebuilt.records }
}

async function repairDocument(disk: Disk, directory: string, change: DocumentRepair): Promise<void> {
  const { name } = change
  if (change.present) await copyDocument(disk, name, directory)
  switch (change.action) {
    case 'mend':
    case 'rewrite':
      return await writeDocument(disk, name, change.payload)
    case 'forget':
      await disk.remove(name)
      return await syncDirectory(disk, directoryOf(name))
    default:
      return change satisfies never
  }
}

async function copyDocument(disk: Disk, name: string, directory: string): Promise<void> {
  const bytes = await readDocumentFile(disk, name)
  await createDurably(disk, `${directory}/${name}.tmp`, `${directory}/${name}`, (file) => writeFully(file, bytes, 0))
}
