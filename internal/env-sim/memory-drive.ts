import type { Clock, Disk } from '../env/index.js'
import { allocatedBelow } from './disk.js'
import { type DiskOperation, DriveFaults } from './disk-faults.js'
import { DirectoryNode, type FileNode } from './disk-image.js'
import { type Drive, MountedDisk } from './disk-mount.js'
import { splitPath } from './disk-path.js'
import { SimRandom } from './random.js'
import { EventOwner, neverSettles } from './scheduler.js'

/**
 * A drive that is memory and nothing else, for nodes that run on the real machine and need no files: tests and trials. It
 * makes the same difference between what was synced and what was not as the simulator's drive, whose files it has; each
 * operation takes one turn of the event loop. It outlives the node that uses it, so a node that is started on it again
 * finds its data.
 */
export class MemoryDrive implements Drive {
  readonly faults: DriveFaults
  readonly #clock: Pick<Clock, 'defer'>
  readonly #random = new SimRandom('memory')
  #owner = new EventOwner('nobody yet')
  #root = new DirectoryNode()

  constructor(clock: Pick<Clock, 'defer'>) {
    this.#clock = clock
    this.faults = new DriveFaults(this.#random.fork('faults'))
  }

  /** The drive for its next user. The one before must have stopped; whatever it asks from now on never happens. */
  mount(): Disk {
    this.#owner.alive = false
    this.#owner = new EventOwner('mounted')
    return new MountedDisk(this, this.#owner)
  }

  /**
   * The power goes: its user's operations, those under way included, never settle, and whoever mounts it next finds what was
   * synced and nothing else.
   */
  cutPower(): void {
    this.#owner.alive = false
    this.#root = this.#root.afterCrash('lose', this.#random)
    this.faults.recount(allocatedBelow(this.#root))
  }

  /** Another, empty drive takes its place; as with `cutPower`, nothing is answered any more. */
  erase(): void {
    this.#owner.alive = false
    this.#root = new DirectoryNode()
    this.faults.recount(0)
  }

  /** @internal */
  get root(): DirectoryNode {
    return this.#root
  }

  /** @internal */
  forgetUnused(node: FileNode): void {
    if (node.links === 0 && node.handles === 0) this.faults.release(node, 0)
  }

  /** @internal */
  async request<T>(
    owner: EventOwner,
    operation: DiskOperation,
    path: string,
    _bytes: number,
    apply: () => T,
    onFault?: () => void,
  ): Promise<T> {
    splitPath(path)
    await new Promise<void>((resolve) => this.#clock.defer(resolve))
    if (!owner.alive) return await neverSettles()
    try {
      this.faults.check(operation, path)
    } catch (error) {
      onFault?.()
      throw error
    }
    return apply()
  }
}
