import { FatalError, type Incarnation, type NodeId, type Slot } from '../../base/index.js'
import { slotCount } from '../../slots/index.js'
import { formatVersion } from '../../wal/index.js'
import { lostSlotsContents, lostSlotsName } from '../lost-slots.js'
import type { Manifest } from '../manifest.js'
import type { MemberIdentity } from './repair-journal.js'
import type { DirectorySurvey, DocumentReport } from './verify.js'
import { mendDocument, parseIdentity, parseLost, parseManifest } from './verify-document.js'

/** What becomes of one document that is damaged or missing. */
export type DocumentRepair =
  /** One byte was wrong, and the checksums tell which. */
  | {
      readonly action: 'mend'
      readonly name: string
      readonly present: true
      readonly offset: number
      readonly payload: Uint8Array
    }
  /** Other files say what it said. `present`: there is a damaged one. */
  | { readonly action: 'rewrite'; readonly name: string; readonly present: boolean; readonly payload: Uint8Array }
  /** The node goes on without what it said. */
  | { readonly action: 'forget'; readonly name: string; readonly present: true }

export interface PlannedDocuments {
  readonly documents: readonly DocumentRepair[]
  /** Who the node is. */
  readonly identity: MemberIdentity
  /** Empty: nothing tells. */
  readonly members: readonly { readonly id: NodeId; readonly incarnation: Incarnation }[]
  /** The slots that were lost before, in order; all where nothing tells which. */
  readonly lost: readonly Slot[]
}

type ReadMembers = (topology: Uint8Array) => PlannedDocuments['members']

/** Throws FatalError `corrupt` where a document is lost that nothing else can replace. */
export function planDocuments(survey: DirectorySurvey, readMembers: ReadMembers): PlannedDocuments {
  return new DocumentPlanner(survey, readMembers).plan()
}

class DocumentPlanner {
  readonly #survey: DirectorySurvey
  readonly #readMembers: ReadMembers
  readonly #repairs: DocumentRepair[] = []

  constructor(survey: DirectorySurvey, readMembers: ReadMembers) {
    this.#survey = survey
    this.#readMembers = readMembers
  }

  plan(): PlannedDocuments {
    const topology = this.#readable('topology', this.#readMembers)
    const members = topology ?? []
    const manifest = this.#readable('store', parseManifest)
    const identity = this.#identity(manifest, members)
    this.#checkBelongs(identity)
    this.#manifest(manifest, identity)
    const lost = this.#lost()
    for (const { name } of this.#survey.documents) {
      if (['identity', 'store', 'topology', lostSlotsName].includes(name)) continue
      if (this.#isBad(name) && this.#readable(name, (payload) => payload) === undefined) this.#forget(name)
    }
    if (topology === undefined && this.#find('topology') !== undefined) {
      throw unrepairable(
        'topology',
        'every member of the cluster holds the same document: copy it here from the data directory of another member ' +
          'that is stopped, or restore it from a backup',
      )
    }
    return { documents: this.#repairs, identity, members, lost }
  }

  #find(name: string): DocumentReport | undefined {
    return this.#survey.documents.find((document) => document.name === name)
  }

  #isBad(name: string): boolean {
    return this.#survey.findings.some(({ path }) => path === name)
  }

  /** What a document says, mending it where one byte is wrong; undefined: it is missing, or damaged beyond that. */
  #readable<T>(name: string, parse: (payload: Uint8Array) => T): T | undefined {
    const document = this.#find(name)
    if (document === undefined) return undefined
    if (document.payload !== undefined) return attempt(() => parse(document.payload!))
    const mended = mendDocument(document.bytes)
    if (mended === undefined) return undefined
    const read = attempt(() => parse(mended.payload))
    if (read !== undefined) this.#repairs.push({ action: 'mend', name, present: true, ...mended })
    return read
  }

  /** The store's document has all of the identity but the node's name, and the topology has that. */
  #identity(manifest: Manifest | undefined, members: PlannedDocuments['members']): MemberIdentity {
    const identity = this.#readable('identity', parseIdentity)
    const clusterId = identity?.clusterId ?? manifest?.clusterId
    const incarnation = identity?.incarnation ?? manifest?.incarnation
    const nodeId = identity?.nodeId ?? members.find((member) => member.incarnation === incarnation)?.id
    if (clusterId === undefined || incarnation === undefined || nodeId === undefined) {
      throw unrepairable('identity', 'nothing else says whose this directory is: restore it from a backup')
    }
    const whole = { nodeId, incarnation, clusterId }
    if (identity === undefined || identity.clusterId === undefined) {
      this.#rewrite('identity', { format: formatVersion, ...whole })
    }
    return whole
  }

  #manifest(manifest: Manifest | undefined, identity: MemberIdentity): void {
    const { clusterId, incarnation } = identity
    if (manifest !== undefined && manifest.clusterId === clusterId && manifest.incarnation === incarnation) return
    if (manifest !== undefined || this.#isBad('store')) {
      this.#rewrite('store', { format: formatVersion, clusterId, incarnation })
    }
  }

  /** What was lost must not come back as whole: where the document cannot be read, any slot may be in it. */
  #lost(): readonly Slot[] {
    if (this.#find(lostSlotsName) === undefined) return []
    const lost = this.#readable(lostSlotsName, parseLost)
    if (lost !== undefined) return lost
    const all = Array.from({ length: slotCount }, (_, slot) => slot as Slot)
    this.#rewrite(lostSlotsName, lostSlotsContents(all))
    return all
  }

  /** A whole identity that is not that of any file was put here by somebody, and the files are not to blame. */
  #checkBelongs(identity: MemberIdentity): void {
    const { snapshots, log, findings } = this.#survey
    const paths = [...snapshots, ...log.segments].map(({ path }) => path)
    const foreign = (path: string): boolean => findings.some((each) => each.path === path && each.kind === 'foreign')
    if (paths.length === 0 || !paths.every(foreign)) return
    throw unrepairable(
      'identity',
      `it names incarnation ${identity.incarnation}, and every snapshot and segment of this directory belongs to ` +
        'another: restore the identity that belongs to them',
    )
  }

  #rewrite(name: string, contents: Readonly<Record<string, unknown>>): void {
    const payload = new TextEncoder().encode(JSON.stringify(contents))
    this.#repairs.push({ action: 'rewrite', name, present: this.#find(name) !== undefined, payload })
  }

  #forget(name: string): void {
    this.#repairs.push({ action: 'forget', name, present: true })
  }
}

function unrepairable(name: string, advice: string): FatalError {
  return new FatalError('corrupt', `"${name}" cannot be repaired; ${advice}. Nothing was changed`)
}

/** Undefined where the parser finds nothing to make sense of. */
function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch (error) {
    if (error instanceof Error && error.name !== 'AssertionError') return undefined
    throw error
  }
}
