import { type ClusterId, type Incarnation, parseClusterId, parseIncarnation } from '../base/index.js'
import type { Disk } from '../env/index.js'
import { corruption, formatVersion } from '../wal/index.js'
import { checkDocumentFormat, documentField, readJsonDocument, writeJsonDocument } from './durable-file.js'

/*
 * The document `store` says that this directory has had a log. Without it a node whose log has been removed would
 * start as an empty one and vote in quorums with what it has forgotten.
 */
const name = 'store'

export interface Manifest {
  readonly clusterId: ClusterId
  readonly incarnation: Incarnation
}

/** Whether the store has been created. Throws FatalError `corrupt`, also where it is someone else's. */
export async function readManifest(disk: Disk, own: Manifest): Promise<boolean> {
  const contents = await readJsonDocument(disk, name)
  if (contents === undefined) return false
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
  return true
}

export async function writeManifest(disk: Disk, own: Manifest): Promise<void> {
  await writeJsonDocument(disk, name, {
    format: formatVersion,
    clusterId: own.clusterId,
    incarnation: own.incarnation,
  })
}
