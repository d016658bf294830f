import type { Incarnation, NodeId, Slot } from '../../base/index.js'
import { type Disk, writeFully } from '../../env/index.js'
import { createDurably, directoryOf, type FileOrigin, type SequenceRange, syncDirectory } from '../../wal/index.js'
import { writeDocument } from '../durable-file.js'
import { acceptLostSlots, lostSlotsName, normalizeSlots, writeLostSlots } from '../lost-slots.js'
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
import { emptyGeneration, type Generation, lostSlotsOf, wholeSince } from './salvage.js'
import { asideDirectory, type DirectorySurvey, type DocumentCheck, surveyDirectory } from './verify.js'
import { readDocumentFile } from './verify-document.js'
import { isForeign } from './verify-snapshot.js'

export interface RepairOptions {
  readonly disk: Disk
  /** As for `surveyDirectory`. */
  readonly checks: Readonly<Record<string, DocumentCheck>>
  /** The members that the document `topology` names. */
  readonly members: (topology: Uint8Array) => readonly { readonly id: NodeId; readonly incarnation: Incarnation }[]
  /** What the node becomes where it has forgotten a promise and is not alone. */
  readonly newIncarnation: Incarnation
  /** Name of the directory for what is set aside; nothing has it yet. */
  readonly name: string
  /** Go on as if nothing were lost, because nobody else has it: no slot stays marked. */
  readonly acceptLoss: boolean
}

/** What cannot be read any more. Keys of it may be older here than they were, or missing. */
export interface Loss {
  /** The slots that such keys are in, in order: all where groups of the log are lost, which may have held any key. */
  readonly slots: readonly Slot[]
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
  | { readonly kind: 'nothing'; readonly lost: readonly Slot[] }
  /** The directory is sound, and these slots stop counting as lost. */
  | { readonly kind: 'accept'; readonly lost: readonly Slot[] }
  /** A former repair was cut short. */
  | { readonly kind: 'resume'; readonly journal: RepairJournal; readonly acceptLoss: boolean }
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
      /** Every slot that is lost afterwards, what was lost before included. */
      readonly lost: readonly Slot[]
      readonly acceptLoss: boolean
      /** The node comes back as another one: it has forgotten what it promised. */
      readonly reborn: boolean
      /** The only member of its cluster: nobody else has what it has lost. */
      readonly alone: boolean
    }

export type DirectoryRepair = Extract<RepairPlan, { readonly kind: 'repair' }>

/**
 * Finds out what a stopped node's data directory needs so that the node can start. Changes nothing. The directory must
 * belong to this process alone. Throws FatalError `corrupt` where no repair can help, and DiskErrors.
 */
export async function planRepair(options: RepairOptions): Promise<RepairPlan> {
  const { disk, checks, acceptLoss } = options
  const found = await readJournal(disk)
  if (found.state === 'pending') return { kind: 'resume', journal: found.journal, acceptLoss }
  const survey = await surveyDirectory(disk, checks)
  if (survey.findings.length === 0) {
    const { lost } = survey
    return { kind: acceptLoss && lost.length > 0 ? 'accept' : 'nothing', lost }
  }
  const { documents, identity, members, lost: lostBefore } = planDocuments(survey, options.members)
  const alone = members.length === 1 && members[0]!.id === identity.nodeId
  const logIsBad = survey.findings.some(({ path }) => path === 'log' || path.startsWith('log/'))
  const reborn = !alone && documents.some(({ action }) => action === 'forget')
  const reached = reachedGenerations(survey)
  const loss = lossOf(survey, lostSlotsOf(wholeSince(reached)))
  const lost = normalizeSlots([...lostBefore, ...(loss?.slots ?? [])])
  const directory = `${asideDirectory}/${options.name}`
  const common = { kind: 'repair', survey, directory, documents, loss, lost, acceptLoss, reborn, alone } as const
  if (!logIsBad && !reborn && reached.some(({ damagedSlots }) => damagedSlots.size === 0)) {
    const rotten = survey.snapshots.filter(({ faults }) => faults.length > 0).map(({ path }) => path)
    return { ...common, aside: rotten, rebuild: undefined }
  }
  const aside = [...survey.snapshots, ...survey.log.segments].map(({ path }) => path)
  // It has a segment's name, and would stand before the new one.
  if (survey.log.unbegun !== undefined) aside.push(survey.log.unbegun)
  const next: MemberIdentity = { ...identity, incarnation: reborn ? options.newIncarnation : identity.incarnation }
  return { ...common, aside, rebuild: planRebuild(survey, reached, identity, next, lost) }
}

function ownSnapshots({ snapshots }: DirectorySurvey): DirectorySurvey['snapshots'] {
  return snapshots.filter((snapshot) => !isForeign(snapshot))
}

/** The highest sequence that is known to have been written. */
function knownSequence({ log, reached }: DirectorySurvey): number {
  return Math.max(log.lastSequence, reached)
}

/** States from which the log goes on to its end without a gap, newest first: what is whole in one of them is not lost. */
function reachedGenerations(survey: DirectorySurvey): Generation[] {
  const { log } = survey
  if (hasOpenEnd(survey)) return []
  const known = knownSequence(survey)
  const generations: Generation[] = [...ownSnapshots(survey), emptyGeneration]
  return generations.filter(({ sequence }) => log.sound.gaps(sequence + 1, known).length === 0)
}

function hasOpenEnd({ log, snapshots, documents }: DirectorySurvey): boolean {
  const used = snapshots.length > 0 || documents.some(({ name }) => name === 'store')
  return log.openEnd || (log.segments.length === 0 && used)
}

function baseOf(survey: DirectorySurvey): number | undefined {
  return survey.snapshots.find(({ faults }) => faults.length === 0)?.sequence
}

function planRebuild(
  survey: DirectorySurvey,
  reached: readonly Generation[],
  origin: FileOrigin,
  identity: MemberIdentity,
  lost: readonly Slot[],
): { sources: RebuildSources; target: RebuildTarget } {
  const { log, snapshots } = survey
  const base = baseOf(survey)
  const salvaged = snapshots.map(({ sequence }) => sequence).filter((sequence) => sequence > (base ?? -1))
  // Above all that was: a repair that is finished by another one must not take its own files for old ones.
  const sequence = knownSequence(survey) + 1
  const { clusterId, incarnation } = origin
  // Where the whole log is here, it has all of a slot that no snapshot has, its floor included.
  const generations = [...ownSnapshots(survey), ...reached.filter((each) => each === emptyGeneration)]
  return {
    sources: { origin: { clusterId, incarnation }, base, salvaged, wholeSince: wholeSince(generations), lost },
    target: { identity, sequence, segment: log.lastNumber + 1 },
  }
}

function lossOf(survey: DirectorySurvey, slots: readonly Slot[]): Loss | undefined {
  if (slots.length === 0) return undefined
  const { log } = survey
  const own = ownSnapshots(survey)
  const base = baseOf(survey)
  // Without a sound snapshot the damaged ones are what the log goes on from.
  const sequences = log.sound.gaps((base ?? own.at(-1)?.sequence ?? 0) + 1, knownSequence(survey))
  const salvaged = own.filter(({ sequence }) => sequence > (base ?? -1))
  return {
    slots,
    sequences,
    groupsMax: sequences.reduce((sum, { first, last }) => sum + last - first + 1, 0),
    openEnd: hasOpenEnd(survey),
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
    case 'accept':
      await acceptLostSlots(disk)
      return { records: undefined }
    case 'resume':
      await followJournal(disk, plan.journal)
      if (plan.acceptLoss) await acceptLostSlots(disk)
      return { records: undefined }
    case 'repair': {
      const outcome = await repair(disk, plan)
      if (plan.acceptLoss) await acceptLostSlots(disk)
      return outcome
    }
    default:
      return plan satisfies never
  }
}

async function repair(disk: Disk, plan: DirectoryRepair): Promise<RepairOutcome> {
  const { directory, documents, aside } = plan
  await removeJournal(disk)
  for (const name of ['', '/log', '/snapshots']) await disk.makeDirectory(directory + name)
  for (const path of ['.', asideDirectory, directory]) await syncDirectory(disk, path)
  for (const change of documents) await repairDocument(disk, directory, change, plan.reborn)
  // Before anything is moved: a repair that is cut short may be followed by a start, and that must not answer for these.
  if (plan.loss !== undefined || documents.some(({ name }) => name === lostSlotsName)) {
    await writeLostSlots(disk, plan.lost)
  }
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
  for (const { name, action } of documents) {
    if (plan.reborn && action === 'forget') moves.push({ from: name, to: `${directory}/${name}` })
  }
  const journal = { directory, identity: target.identity, moves: [...moves, ...rebuilt.moves] }
  await writeJournal(disk, journal)
  await followJournal(disk, journal)
  return { records: rebuilt.records }
}

async function repairDocument(disk: Disk, directory: string, change: DocumentRepair, reborn: boolean): Promise<void> {
  const { name } = change
  if (change.present) await copyDocument(disk, name, directory)
  switch (change.action) {
    case 'mend':
    case 'rewrite':
      return await writeDocument(disk, name, change.payload)
    case 'forget':
      // A member keeps it, damaged, until the journal is followed: without it a start would not know what it has forgotten.
      if (reborn) return
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
