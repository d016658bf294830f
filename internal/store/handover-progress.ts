import { type Epoch, FatalError, type Incarnation, parseEpoch, parseIncarnation, type Slot } from '../base/index.js'
import type { Disk } from '../env/index.js'
import { formatVersion, removeIfThere, syncDirectory } from '../wal/index.js'
import { readJsonDocument, writeJsonDocument } from './durable-file.js'
import { parseRanges, rangesOf } from './table/slot-ranges.js'

/*
 * The document `handover` (FORMAT.md, "Document"): which slots that come to this node are all here already.
 */
const documentName = 'handover'

/** How far the streaming of slots to this node has come. */
export interface HandoverProgress {
  /** The epoch that began the handover: its name. */
  readonly since: Epoch
  /** Whose directory this is: a later incarnation begins anew. */
  readonly incarnation: Incarnation
  /** Slots that have been merged from a read quorum of their owners, in order. */
  readonly slots: readonly Slot[]
  /** What has been streamed for them. */
  readonly bytes: number
}

/**
 * What the directory knows of a handover; undefined: nothing. A document that is damaged knows nothing either: then the
 * slots are streamed again. Throws DiskErrors.
 */
export async function readHandoverProgress(disk: Disk): Promise<HandoverProgress | undefined> {
  let contents: Readonly<Record<string, unknown>> | undefined
  try {
    contents = await readJsonDocument(disk, documentName)
  } catch (error) {
    if (error instanceof FatalError && error.reason === 'corrupt') return undefined
    throw error
  }
  try {
    return contents === undefined ? undefined : parse(contents)
  } catch {
    // Whatever a field has in the place of an epoch, an incarnation or slots: it is damaged as well.
    return undefined
  }
}

function parse(contents: Readonly<Record<string, unknown>>): HandoverProgress | undefined {
  const { format, since, incarnation, slots, bytes } = contents
  if (format !== formatVersion || typeof bytes !== 'number') return undefined
  if (typeof since !== 'number' || typeof incarnation !== 'string') return undefined
  return { since: parseEpoch(since), incarnation: parseIncarnation(incarnation), slots: parseRanges(slots), bytes }
}

/** Durable when it resolves; what was merged must be durable before. Throws FatalError `disk-failed`, and DiskErrors. */
export function writeHandoverProgress(disk: Disk, progress: HandoverProgress): Promise<void> {
  const { since, incarnation, slots, bytes } = progress
  const contents = { format: formatVersion, since, incarnation, slots: rangesOf(slots), bytes }
  return writeJsonDocument(disk, documentName, contents)
}

/** No slot counts as streamed any more. Durable when it resolves. Throws like `writeHandoverProgress`. */
export async function forgetHandoverProgress(disk: Disk): Promise<void> {
  if (await removeIfThere(disk, documentName)) await syncDirectory(disk, '.')
}
