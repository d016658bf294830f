import { type ClusterId, type Incarnation, parseClusterId, parseIncarnation } from '../base/index.js'
import type { Disk } from '../env/index.js'
import { corruption, formatVersion } from '../wal/index.js'
import { checkDocumentFormat, documentField, readJsonDocument, writeJsonDocument } from './durable-file.js'

/*
 * The document `store` says that this directory has had a log, and how far it reached when the store was last closed.
 * Without it a node whose log has been removed, or cut short, would start as if that had never been, and vote in quorums
 * with what it has forgotten.
 */
const name = 'store'

export interface Manifest {
  readonly clusterId: ClusterId
  readonly incarnation: Incarnation
  /** The log is durable up to this sequence at least; undefined: nobody has said so yet. */
  readonly reached?: number | undefined
}

/** Undefined: the store has not been created. Throws FatalError `corrupt`, also where it is someone else's. */
export async function readManifest(disk: Disk, own: Manifest): Promise<Manifest | undefined> {
  const contents = await readJsonDocument(disk, name)
  if (contents === undefined) return undefined
  checkDocumentFormat(name, contents)
  const clusterId = documentField(name, contents, 'clusterId', parseClusterId)
  const incarnation = documentField(name, contents, 'incarnation', parseIncarnation)
  if (clusterId !== own.clusterId) {
    throw corruption({ path: name, offset: 0, expected: `cluster ${own.clusterId}`, found: `cluster ${clusterId}` })
  }
  if (incarnation !== own.incarnation) {
    const expected = `incarnation ${own.incarnation}`
    throw corruption({ path: name, offset: 0, expected, found: `incarnation ${incarnation}` })
  }
  return { clusterId, incarnation, reached: reachedField(contents) }
}

function reachedField(contents: Readonly<Record<string, unknown>>): number | undefined {
  const found = contents['reached']
  if (found === undefined || isSequence(found)) return found
  throw corruption({ path: name, offset: 0, expected: 'a sequence of the log', found: JSON.stringify(found) })
}

/** Whether a value that was read is one of a log's sequences, or 0. */
export function isSequence(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Replaces the document as a whole. Throws FatalError `disk-failed` where a sync fails, and DiskErrors. */
export async function writeManifest(disk: Disk, own: Manifest): Promise<void> {
  await writeJsonDocument(disk, name, {
    format: formatVersion,
    clusterId: own.clusterId,
    incarnation: own.incarnation,
    ...(own.reached !== undefined && { reached: own.reached }),
  })
}
