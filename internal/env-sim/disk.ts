import { assert } from '../base/index.js'
import { type Disk, DiskError } from '../env/index.js'
import { type DiskOperation, DriveFaults } from './disk-faults.js'
import { type CrashPolicy, DirectoryNode, type FileNode } from './disk-image.js'
import { type Drive, MountedDisk } from './disk-mount.js'
import { splitPath } from './disk-path.js'
import type { SimRandom } from './random.js'
import type { EventOwner, Scheduler } from './scheduler.js'

/** How long operations take, in virtual milliseconds: each a uniform choice between two bounds. */
export interface DiskLatency {
  readonly readMs: readonly [number, number]
  readonly writeMs: readonly [number, number]
  readonly syncMs: readonly [number, number]
  /** Opening, renaming, removing, listing. */
  readonly nameMs: readonly [number, number]
}

/** A fast local drive. */
export const defaultDiskLatency: DiskLatency = {
  readMs: [0.02, 0.08],
  writeMs: [0.01, 0.05],
  syncMs: [0.1, 1],
  nameMs: [0.02, 0.2],
}

/** 500 MB/s, on top of the latency. */
const transferBytesPerMs = 500_000

const latencyOf: Readonly<Record<DiskOperation, keyof DiskLatency>> = {
  open: 'nameMs',
  rename: 'nameMs',
  remove: 'nameMs',
  list: 'nameMs',
  makeDirectory: 'nameMs',
  syncDirectory: 'syncMs',
  freeBytes: 'nameMs',
  size: 'nameMs',
  read: 'readMs',
  write: 'writeMs',
  sync: 'syncMs',
  truncate: 'writeMs',
  preallocate: 'writeMs',
  close: 'nameMs',
}

/** Something that has been asked of the drive and has not happened yet. */
interface Pending {
  readonly apply: () => unknown
}

/**
 * A simulated drive with one file system. It outlives the processes that use it; `mount` gives the Disk of one of
 * them. What survives a crash is what `Disk` promises and not a bit more: a sync of a file makes nobody's name
 * durable, and neither does a rename.
 */
export class SimDisk implements Drive {
  readonly faults: DriveFaults
  readonly #scheduler: Scheduler
  readonly #random: SimRandom
  readonly #latency: DiskLatency
  readonly #underWay = new Set<Pending>()
  #root = new DirectoryNode()
  #clones = 0

  constructor(scheduler: Scheduler, random: SimRandom, latency: DiskLatency = defaultDiskLatency) {
    this.#scheduler = scheduler
    this.#random = random
    this.#latency = latency
    this.faults = new DriveFaults(random.fork('faults'))
  }

  /** The drive as `owner` sees it. When the owner has died, its calls never settle and have no effect. */
  mount(owner: EventOwner): Disk {
    return new MountedDisk(this, owner)
  }

  /**
   * What is left after its machine or process went down now; its users must have been fenced before. Operations under
   * way happened or did not (with `lose`: did not). After `keep`, what was unsynced is still only in the kernel's
   * cache, for a later crash to lose.
   */
  crash(policy: CrashPolicy): void {
    const underWay = [...this.#underWay]
    this.#underWay.clear()
    for (const pending of underWay) {
      if (policy !== 'lose' && this.#random.chance(0.5)) applyUnseen(pending)
    }
    if (policy !== 'keep') this.#root = this.#root.afterCrash(policy, this.#random)
    visitFiles(this.#root, '', (_, file) => {
      file.handles = 0
    })
    this.faults.recount(allocatedBelow(this.#root))
  }

  /**
   * Another drive that holds what this one would after a power cut now. This one goes on undisturbed. `scheduler`: of
   * the world that the clone is for (`SimWorld.crashClone`).
   */
  crashClone(policy: CrashPolicy, scheduler: Scheduler = this.#scheduler): SimDisk {
    const random = this.#random.fork(`clone/${this.#clones++}`)
    const clone = new SimDisk(scheduler, random, this.#latency)
    clone.#root = this.#root.afterCrash(policy, random)
    clone.faults.recount(allocatedBelow(clone.#root))
    return clone
  }

  /** Another, empty drive takes this one's place; nobody may have anything under way on it. */
  erase(): void {
    assert(this.#underWay.size === 0, 'a drive is taken away while it is being used')
    this.#root = new DirectoryNode()
    this.faults.recount(0)
  }

  /** Bit rot: turns over the bits of `mask` in the byte at `offset`, for readers and on the medium. */
  corrupt(path: string, offset: number, mask = 1): void {
    const node = this.#file(path)
    assert(node !== undefined, `there is no file ${path} to corrupt`)
    assert(offset >= 0 && offset < node.volatile.size, `${path} has no byte ${offset}`)
    node.flip(offset, mask)
  }

  /** The contents of a file as a reader would see them now, without the drive taking notice; undefined: no such file. */
  peek(path: string): Uint8Array | undefined {
    const node = this.#file(path)
    if (node === undefined) return undefined
    const bytes = new Uint8Array(node.volatile.size)
    node.volatile.read(bytes, 0)
    return bytes
  }

  /** Paths of all files as a reader would see them now, sorted. */
  paths(): string[] {
    const paths: string[] = []
    visitFiles(this.#root, '', (path) => paths.push(path))
    return paths.sort()
  }

  /** The directory that holds all others. @internal */
  get root(): DirectoryNode {
    return this.#root
  }

  /** Gives back the room of a file that has neither a name nor a reader any more. @internal */
  forgetUnused(node: FileNode): void {
    if (node.links === 0 && node.handles === 0) this.faults.release(node, 0)
  }

  /**
   * Runs `apply` when the drive has had its time for it, or `onFault` where it fails by a fault that was set.
   * @internal
   */
  request<T>(
    owner: EventOwner,
    operation: DiskOperation,
    path: string,
    bytes: number,
    apply: () => T,
    onFault?: () => void,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      splitPath(path) // before anything else: a path of a wrong shape is a bug of the caller
      if (!owner.alive) return // never settles: whoever waits for it is dead
      const pending: Pending = { apply }
      const fire = (): void => {
        this.#underWay.delete(pending)
        try {
          this.#checkFaults(operation, path, onFault)
          resolve(apply())
        } catch (error) {
          reject(error)
        }
      }
      this.#underWay.add(pending)
      this.#scheduler.schedule(owner, 'disk', this.#delayMs(operation, bytes), fire, bytes)
    })
  }

  #file(path: string): FileNode | undefined {
    let found: FileNode | undefined
    visitFiles(this.#root, '', (each, file) => {
      if (each === path) found = file
    })
    return found
  }

  #checkFaults(operation: DiskOperation, path: string, onFault: (() => void) | undefined): void {
    try {
      this.faults.check(operation, path)
    } catch (error) {
      onFault?.()
      throw error
    }
  }

  #delayMs(operation: DiskOperation, bytes: number): number {
    const [low, high] = this.#latency[latencyOf[operation]]
    return this.#random.between(low, high) + bytes / transferBytesPerMs + this.faults.extraDelayMs
  }
}

/** Its process is gone, so nobody learns that the operation failed. A bug of ours is no such failure. */
function applyUnseen(pending: Pending): void {
  try {
    pending.apply()
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
  }
}

function visitFiles(directory: DirectoryNode, prefix: string, visit: (path: string, file: FileNode) => void): void {
  for (const [name, node] of directory.entries) {
    if (node.kind === 'file') visit(prefix + name, node)
    else visitFiles(node, `${prefix}${name}/`, visit)
  }
}

/** The room that all files below a directory have been given, in bytes. */
export function allocatedBelow(root: DirectoryNode): number {
  const seen = new Set<FileNode>()
  visitFiles(root, '', (_, file) => seen.add(file))
  let bytes = 0
  for (const file of seen) bytes += file.allocated
  return bytes
}
