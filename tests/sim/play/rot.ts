import { type Incarnation, parseIncarnation } from '@quorumkv/internal/base'
import { decodeTopology, decodeVotes } from '@quorumkv/internal/cluster'
import type { Disk } from '@quorumkv/internal/env'
import type { SimDisk, SimProcess, SimRandom } from '@quorumkv/internal/env-sim'
import { carryOutRepair, type DocumentCheck, planRepair, surveyDirectory } from '@quorumkv/internal/store'
import { loseRecords, type SimCluster } from '../sim-cluster.js'
import type { Scenario } from './scenario.js'

/** Where the frames of a segment begin (FORMAT.md, "Segment header"), and what they begin with. */
const framesAt = 512
const frameMagic = [0xf1, 0x4b, 0x56, 0x0a] as const
const segmentTagAt = 16
const frameHeaderBytes = 40
/** So much of the end of a log holds what is still of use. */
const lastFramesBytes = 600

const checks: Readonly<Record<string, DocumentCheck>> = {
  topology: (payload) => void decodeTopology(payload),
  votes: (payload) => void decodeVotes(payload),
  clock: (payload) => {
    if (payload.length !== 8) throw new Error(`${payload.length} bytes where a ceiling has 8`)
  },
}

/** Of documents more than one wrong byte cannot be mended, so each gets one only while its node is damaged. */
const documents: ReadonlySet<string> = new Set(['identity', 'topology', 'clock', 'store', 'lost'])

/**
 * What disks lose or spoil, and what is left. With the atlas one node at a time is damaged: it stays the victim until a
 * look at its files has found nothing and its lost slots have been refilled.
 */
export class Rot {
  readonly #cluster: SimCluster
  readonly #scenario: Scenario
  readonly #random: SimRandom
  readonly #spoiltDocuments = new Set<string>()
  /** Nodes that have said that their data is corrupt, and have not been repaired. */
  readonly #broken = new Set<string>()
  #victim: string | undefined
  /** Nodes whose files may be spoilt: one that has left the cluster is no victim any more, and may return with them. */
  readonly #spoilt = new Set<string>()
  /** The victim's files were sound when it started last. */
  #sound = false
  #repairs = 0
  /** Nodes whose disks are emptied, or lose all records, before they start again. */
  readonly #toWipe = new Set<string>()
  readonly #toLose = new Set<string>()
  readonly #reborn = new Set<string>()
  #losses = 0
  /** Called when a disk has been emptied. */
  wiped: (name: string) => void = () => undefined
  /** Whether the others have another copy of all that is on this node's disk. */
  mayDamage: (name: string) => boolean
  /** Whether the others can agree without this node, and have what it had. */
  mayWipe: (name: string) => boolean
  /** Whatever is found is repaired, also what a node starts with: damage to what it keeps of an older generation. */
  thorough = false

  constructor(cluster: SimCluster, scenario: Scenario) {
    this.#cluster = cluster
    this.#scenario = scenario
    this.#random = cluster.world.random.fork('rot')
    const { nodes, replication } = scenario
    // Of one node nobody has another copy.
    this.mayDamage = () => nodes > 1
    this.mayWipe = () => nodes >= 3 && replication.replicationFactor >= 2
  }

  /** Nothing is wrong with the files of the victim, as far as its last start could tell. */
  get sound(): boolean {
    return this.#sound
  }

  /** The node whose disk is damaged, or may be. */
  get victim(): string | undefined {
    return this.#victim
  }

  /** How often a disk has been emptied, or has lost all records. */
  get losses(): number {
    return this.#losses
  }

  /** Whether the node may have become a new incarnation since this was asked last: it was wiped or repaired. */
  mayBeReborn(name: string): boolean {
    return this.#reborn.delete(name)
  }

  /** How often a node has been repaired; what a repair could not read is gone from that node. */
  get repairs(): number {
    return this.#repairs
  }

  /** Turns over bits of a file, if the atlas allows it. Returns what was done. */
  strike({ name, drive }: SimProcess): string | undefined {
    if (!this.claim(name)) return undefined
    const path = this.#pickFile(drive)
    const bytes = path === undefined ? undefined : drive.peek(path)
    if (path === undefined || bytes === undefined) return undefined
    const end = this.#scenario.atlas
      ? provenEnd(path, bytes, drive.paths(), (other) => drive.peek(other))
      : bytes.length
    if (end === 0) return undefined
    const isDocument = !path.includes('/')
    const count = isDocument || this.#random.chance(0.5) ? 1 : 1 + this.#random.below(20)
    if (isDocument && this.#scenario.atlas) this.#spoiltDocuments.add(path)
    // Near each other, as a bad spot of the medium is.
    const first = this.#pickPlace(path, end)
    for (let i = 0; i < count; i++) {
      drive.corrupt(
        path,
        i === 0 ? first : Math.min(end - 1, first + this.#random.below(600)),
        1 << this.#random.below(8),
      )
    }
    this.#sound = false
    this.#spoilt.add(name)
    return `${path} from byte ${first}, ${count} times`
  }

  /**
   * Sends one of the next writes to a wrong place of its file. What a log acknowledged last cannot be told from a torn
   * write when it is gone, so the atlas leaves logs out.
   */
  misdirect({ name, drive }: SimProcess): boolean {
    if (!this.claim(name)) return false
    const path = this.#scenario.atlas ? (each: string) => each.startsWith('snapshots/') : () => true
    drive.faults.misdirectNext({ path, skip: this.#random.below(6) })
    this.#sound = false
    this.#spoilt.add(name)
    return true
  }

  /** The node is to come back with an empty disk, if the atlas and the size of the cluster allow it. */
  wipe({ name }: SimProcess): boolean {
    if (!this.mayWipe(name) || !this.claim(name)) return false
    this.#toWipe.add(name)
    this.#sound = false
    return true
  }

  /** The node is to come back without any records, and to know it, as a repair may leave it. */
  lose({ name }: SimProcess): boolean {
    // Not again before it has everything back: else nobody would ever see what it makes of that.
    if (!this.release() || !this.claim(name)) return false
    this.#toLose.add(name)
    this.#sound = false
    return true
  }

  /** The node has said that its data is corrupt. Whether it may have been damaged. */
  isBroken(name: string): boolean {
    this.#broken.add(name)
    return !this.#scenario.atlas || name === this.#victim || this.#spoilt.has(name)
  }

  /** What an operator does before the node is started: repairs it if it would not start, or looks at its files. */
  async beforeStart(name: string, disk: Disk): Promise<void> {
    if (this.#toWipe.has(name)) {
      this.#cluster.process(name).drive.erase()
      this.#toWipe.delete(name)
      this.#toLose.delete(name)
      this.#broken.delete(name)
      this.#spoilt.delete(name)
      this.#reborn.add(name)
      // Of a new directory nothing but its identity says whose it is.
      for (const document of documents) this.#spoiltDocuments.add(document)
      this.#sound = true
      this.#losses++
      this.wiped(name)
      return
    }
    if (this.#toLose.has(name)) {
      await loseRecords(disk)
      this.#toLose.delete(name)
      this.#losses++
    }
    if (!this.#broken.has(name) && name !== this.#victim) return
    const survey = await surveyDirectory(disk, checks)
    if (name === this.#victim) this.#sound = survey.findings.length === 0
    if (survey.findings.length === 0) this.#spoilt.delete(name)
    if (survey.identity?.clusterId === undefined && survey.documents.length === 0) return
    // Without an identity but with anything else, as a repair leaves it that was cut short, kv-server does not start.
    const refused = !survey.documents.some((document) => document.name === 'identity')
    const mended =
      refused || this.#broken.has(name) || (survey.findings.length > 0 && (this.thorough || this.#random.chance(0.3)))
    if (!mended) return
    this.#repairs++
    const plan = await planRepair({
      disk,
      checks,
      members: (topology) => decodeTopology(topology).members,
      newIncarnation: this.#newIncarnation(),
      name: `r${this.#repairs}`,
      acceptLoss: false,
    })
    await carryOutRepair(disk, plan)
    this.#reborn.add(name)
    this.#broken.delete(name)
  }

  /** Lets the atlas forget the victim when nothing of its damage is left. Whether there is none now. */
  release(): boolean {
    if (this.#victim === undefined) return true
    const running = this.#cluster.runningNames.includes(this.#victim)
    if (!this.#sound || !running || this.#broken.has(this.#victim)) return false
    if (!this.#isRefilled(this.#victim)) return false
    this.#victim = undefined
    this.#spoiltDocuments.clear()
    return true
  }

  /** The node belongs to the cluster no more, which has all its data without it. */
  forgive(name: string): void {
    this.#toWipe.delete(name)
    this.#toLose.delete(name)
    this.#broken.delete(name)
    if (this.#victim !== name) return
    this.#victim = undefined
    this.#spoiltDocuments.clear()
  }

  /** What it has lost and does not own stays lost: nobody asks it. */
  #isRefilled(name: string): boolean {
    const { localStore, slotTable, topology } = this.#cluster.node(name)
    const member = topology?.members.findIndex(({ id }) => id === name)
    if (localStore === undefined || slotTable === undefined || member === undefined) return false
    return localStore.lostSlots().every((slot) => !slotTable.ownsSlot(member, slot))
  }

  /** What this node has may be lost now, and nothing of any other one; whether the atlas allows it. */
  claim(name: string): boolean {
    if (!this.#scenario.atlas) return true
    if (!this.mayDamage(name)) return false
    this.release()
    if (this.#victim !== undefined && this.#victim !== name) return false
    this.#victim = name
    return true
  }

  #newIncarnation(): Incarnation {
    return parseIncarnation(this.#random.u32().toString(16).padStart(8, '0').repeat(4))
  }

  #pickFile(drive: SimDisk): string | undefined {
    const { atlas } = this.#scenario
    const allowed = drive.paths().filter((path) => {
      if (path.startsWith('damaged/')) return false
      if (path.includes('/')) return true
      return !atlas || (documents.has(path) && !this.#spoiltDocuments.has(path))
    })
    const files = allowed.filter((path) => path.includes('/'))
    // What a start reads, more often than what it does not.
    const needed = [
      files.filter((path) => path.startsWith('snapshots/')).at(-1),
      files.filter((path) => isSegment(path) && drive.peek(path)?.[0] !== 0).at(-1),
    ]
    const choices = [needed.filter((path) => path !== undefined), files, allowed].filter(({ length }) => length > 0)
    const draw = this.#random.float()
    const choice = choices[draw < 0.5 ? 0 : draw < 0.9 ? 1 : 2] ?? choices.at(-1)
    return choice === undefined ? undefined : this.#random.pick(choice)
  }

  /** In a log rather among the last frames: what older ones hold has mostly been overwritten since. */
  #pickPlace(path: string, end: number): number {
    const from = isSegment(path) && this.#random.chance(0.5) ? Math.max(0, end - lastFramesBytes) : 0
    return from + this.#random.below(end - from)
  }
}

function isSegment(path: string): boolean {
  return /^log\/\d+\.log$/.test(path)
}

/**
 * Up to where damage to a file can be told from a write that a crash has torn: of the log, whatever lies before a frame
 * that could only be written when all before it was durable. Behind that an acknowledged write can vanish without a
 * trace, on this disk, and no one could tell.
 */
function provenEnd(
  path: string,
  bytes: Uint8Array,
  paths: readonly string[],
  peek: (path: string) => Uint8Array | undefined,
): number {
  if (!isSegment(path)) return path.startsWith('log/') ? 0 : bytes.length
  const segments = paths.filter(isSegment).sort()
  for (const segment of segments.reverse()) {
    const end = lastFrameButOne(segment === path ? bytes : (peek(segment) ?? new Uint8Array(0)))
    if (segment === path) return end
    if (end > 0) return bytes.length
  }
  return 0
}

/** Where the last frame but one of a segment begins; 0: there are not so many. */
function lastFrameButOne(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (bytes.length < framesAt + frameHeaderBytes) return 0
  // It was made ready and has not begun: what stands in it is of a former life.
  if (bytes[0] === 0) return 0
  const tag = view.getUint32(framesAt + segmentTagAt, true)
  let last = 0
  let before = 0
  for (let at = bytes.indexOf(frameMagic[0], framesAt); at !== -1; at = bytes.indexOf(frameMagic[0], at + 1)) {
    if (at + frameHeaderBytes > bytes.length) break
    if (frameMagic.some((byte, i) => bytes[at + i] !== byte) || view.getUint32(at + segmentTagAt, true) !== tag)
      continue
    before = last
    last = at
  }
  return before
}
