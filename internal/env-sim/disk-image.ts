import { assert } from '../base/index.js'
import { PagedBytes } from './paged-bytes.js'
import type { SimRandom } from './random.js'

/**
 * What becomes of unsynced changes in a crash. `keep`: all of them survive, as when a process is killed and its kernel
 * lives. `lose`: none survives. `random`: each survives or not, by itself, and writes may be torn. `tear`: of each write
 * some sectors survive; names are as with `random`.
 */
export type CrashPolicy = 'keep' | 'lose' | 'random' | 'tear'

/** The unit that a drive writes wholly or not at all. */
export const sectorBytes = 512

/** When the unsynced changes of one file pass this, the older half is written back, as a kernel does. */
const unsyncedBytesMax = 16_777_216

/** What a change counts on top of its bytes, so that a million empty ones are bounded too. */
const changeOverheadBytes = 64

type FileChange =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: 'resize'; readonly size: number }

/** A file, apart from its names: what a reader sees, what the medium holds, and the changes in between. */
export class FileNode {
  readonly kind = 'file'
  readonly volatile: PagedBytes
  readonly durable: PagedBytes
  #unsynced: FileChange[] = []
  #unsyncedBytes = 0
  /** Up to where blocks have been given out; what is written below needs no room. */
  allocated: number
  links = 0
  handles = 0

  constructor(contents: PagedBytes = new PagedBytes()) {
    this.durable = contents
    this.volatile = contents.fork()
    this.allocated = contents.size
  }

  /** Writes; the node keeps `bytes`. */
  write(bytes: Uint8Array, position: number): void {
    this.volatile.write(bytes, position)
    this.#remember({ kind: 'write', position, bytes })
  }

  resize(size: number): void {
    this.volatile.resize(size)
    this.#remember({ kind: 'resize', size })
  }

  sync(): void {
    this.volatile.shareInto(this.durable)
    this.#unsynced = []
    this.#unsyncedBytes = 0
  }

  /** A sync that fails: the changes stay readable, but no later sync makes them durable. */
  loseWriteBack(): void {
    this.volatile.forgetChanges()
    this.#unsynced = []
    this.#unsyncedBytes = 0
  }

  flip(position: number, mask: number): void {
    this.volatile.flip(position, mask)
    this.durable.flip(position, mask)
  }

  /** The contents that the medium holds after a power cut now. */
  afterCrash(policy: CrashPolicy, random: SimRandom): PagedBytes {
    const contents = this.durable.fork()
    if (policy === 'lose') return contents
    // One bias for the whole file: with a coin for each change, "all kept" and "only the last lost" would be rare.
    const keepProbability = policy === 'keep' ? 1 : policy === 'tear' ? 0 : random.float()
    for (const change of this.#unsynced) {
      const kept = random.chance(keepProbability)
      if (change.kind === 'resize') {
        if (kept) contents.resize(change.size)
      } else if (kept) contents.write(change.bytes, change.position)
      else damageWrite(contents, change.position, change.bytes, random, policy === 'tear' ? 1 : 0.5)
    }
    return contents
  }

  #remember(change: FileChange): void {
    this.#unsynced.push(change)
    this.#unsyncedBytes += changeCost(change)
    if (this.#unsyncedBytes > unsyncedBytesMax) this.#writeBackOlderHalf()
  }

  #writeBackOlderHalf(): void {
    let count = 0
    while (this.#unsyncedBytes > unsyncedBytesMax / 2) {
      const change = this.#unsynced[count++]
      assert(change !== undefined, 'unsynced bytes belong to a change')
      if (change.kind === 'resize') this.durable.resize(change.size)
      else this.durable.write(change.bytes, change.position)
      this.#unsyncedBytes -= changeCost(change)
    }
    this.#unsynced.splice(0, count)
  }
}

function changeCost(change: FileChange): number {
  return changeOverheadBytes + (change.kind === 'write' ? change.bytes.length : 0)
}

/** A write that did not fully make it: nothing of it, some of its sectors, or only the new size of the file. */
function damageWrite(
  contents: PagedBytes,
  position: number,
  bytes: Uint8Array,
  random: SimRandom,
  tearProbability: number,
): void {
  const end = position + bytes.length
  if (random.chance(tearProbability)) {
    for (let at = position; at < end; ) {
      const sectorEnd = Math.min(end, at - (at % sectorBytes) + sectorBytes)
      if (random.chance(0.5)) contents.write(bytes.subarray(at - position, sectorEnd - position), at)
      at = sectorEnd
    }
  }
  if (end > contents.size && random.chance(0.25)) contents.resize(end)
}

export type DiskNode = FileNode | DirectoryNode

/** One change of names in one directory; all its parts happen together. */
type NameChange = readonly (readonly [name: string, node: DiskNode | undefined])[]

function applyNames(entries: Map<string, DiskNode>, change: NameChange): void {
  for (const [name, node] of change) {
    if (node === undefined) entries.delete(name)
    else entries.set(name, node)
  }
}

/** A directory: the names that a reader sees, those that the medium holds, and the changes in between. */
export class DirectoryNode {
  readonly kind = 'directory'
  readonly entries: Map<string, DiskNode> = new Map()
  readonly #durable = new Map<string, DiskNode>()
  #unsynced: NameChange[] = []

  change(change: NameChange): void {
    applyNames(this.entries, change)
    this.#unsynced.push(change)
  }

  sync(): void {
    for (const change of this.#unsynced) applyNames(this.#durable, change)
    this.#unsynced = []
  }

  /** A sync that fails: the names stay as readers see them, but no later sync makes them durable. */
  loseWriteBack(): void {
    this.#unsynced = []
  }

  /** The tree that the medium holds after a power cut now. `moved` maps nodes to their images: a file may have two names. */
  afterCrash(policy: CrashPolicy, random: SimRandom, moved: Map<DiskNode, DiskNode> = new Map()): DirectoryNode {
    const copy = new DirectoryNode()
    moved.set(this, copy)
    const names = new Map(this.#durable)
    const keepProbability = policy === 'keep' ? 1 : policy === 'lose' ? 0 : random.float()
    for (const change of this.#unsynced) if (random.chance(keepProbability)) applyNames(names, change)
    for (const [name, node] of names) {
      const image = moved.get(node) ?? imageOf(node, policy, random, moved)
      moved.set(node, image)
      if (image.kind === 'file') image.links++
      copy.entries.set(name, image)
      copy.#durable.set(name, image)
    }
    return copy
  }
}

function imageOf(node: DiskNode, policy: CrashPolicy, random: SimRandom, moved: Map<DiskNode, DiskNode>): DiskNode {
  if (node.kind === 'directory') return node.afterCrash(policy, random, moved)
  return new FileNode(node.afterCrash(policy, random))
}
