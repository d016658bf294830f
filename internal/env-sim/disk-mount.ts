import { assert } from '../base/index.js'
import type { Disk, DiskFile, OpenMode } from '../env/index.js'
import type { DiskOperation, DriveFaults } from './disk-faults.js'
import { SimFile } from './disk-file.js'
import { DirectoryNode, FileNode } from './disk-image.js'
import { PathFinder, splitPath } from './disk-path.js'
import type { EventOwner } from './scheduler.js'

/** What carries out the operations of those who have it mounted: see `SimDisk` and `MemoryDrive`. */
export interface Drive {
  readonly faults: DriveFaults
  /** The directory that holds all others. */
  readonly root: DirectoryNode
  /** Gives back the room of a file that has neither a name nor a reader any more. */
  forgetUnused(node: FileNode): void
  /**
   * Runs `apply` when the drive has had its time for it, or `onFault` where it fails by a fault that was set. Never within
   * the call; not at all, and the promise never settles, when `owner` has died before.
   */
  request<T>(
    owner: EventOwner,
    operation: DiskOperation,
    path: string,
    bytes: number,
    apply: () => T,
    onFault?: () => void,
  ): Promise<T>
}

/** A drive as one life of a process sees it. */
export class MountedDisk implements Disk {
  readonly #drive: Drive
  readonly #owner: EventOwner

  constructor(drive: Drive, owner: EventOwner) {
    this.#drive = drive
    this.#owner = owner
  }

  open(path: string, mode: OpenMode): Promise<DiskFile> {
    return this.#drive.request(this.#owner, 'open', path, 0, () => {
      const find = new PathFinder(this.#drive.root, 'open', path)
      const [parent, name] = find.parent()
      const known = parent.entries.get(name)
      const node = mode === 'create' ? create(find, parent, name) : find.file(known)
      return new SimFile(this.#drive, this.#owner, path, node, mode)
    })
  }

  rename(from: string, to: string): Promise<void> {
    return this.#drive.request(this.#owner, 'rename', from, 0, () => {
      const find = new PathFinder(this.#drive.root, 'rename', from)
      const [source, oldName] = find.parent()
      const [target, newName] = find.parent(to)
      const node = find.file(source.entries.get(oldName))
      const replaced = target.entries.get(newName)
      if (replaced === node) return
      if (replaced !== undefined) this.#unlink(find.file(replaced))
      if (source === target) {
        source.change([
          [newName, node],
          [oldName, undefined],
        ])
      } else {
        // Two directories are two changes: each survives a crash by itself until its directory is synced.
        target.change([[newName, node]])
        source.change([[oldName, undefined]])
      }
    })
  }

  remove(path: string): Promise<void> {
    return this.#drive.request(this.#owner, 'remove', path, 0, () => {
      const find = new PathFinder(this.#drive.root, 'remove', path)
      const [parent, name] = find.parent()
      const node = find.file(parent.entries.get(name))
      parent.change([[name, undefined]])
      this.#unlink(node)
    })
  }

  list(directory: string): Promise<string[]> {
    return this.#drive.request(this.#owner, 'list', directory, 0, () =>
      [...new PathFinder(this.#drive.root, 'list', directory).directory().entries.keys()].sort(),
    )
  }

  makeDirectory(path: string): Promise<void> {
    return this.#drive.request(this.#owner, 'makeDirectory', path, 0, () => {
      const find = new PathFinder(this.#drive.root, 'makeDirectory', path)
      const parts = splitPath(path)
      let directory = this.#drive.root
      for (const [index, part] of parts.entries()) {
        let next = directory.entries.get(part)
        if (next === undefined) {
          next = new DirectoryNode()
          directory.change([[part, next]])
        }
        if (next.kind !== 'directory') throw find.fail(index === parts.length - 1 ? 'exists' : 'io', 'not a directory')
        directory = next
      }
    })
  }

  syncDirectory(path: string): Promise<void> {
    const find = (): DirectoryNode => new PathFinder(this.#drive.root, 'syncDirectory', path).directory()
    return this.#drive.request(
      this.#owner,
      'syncDirectory',
      path,
      0,
      () => find().sync(),
      () => find().loseWriteBack(),
    )
  }

  freeBytes(): Promise<number> {
    return this.#drive.request(this.#owner, 'freeBytes', '.', 0, () => this.#drive.faults.freeBytes)
  }

  #unlink(node: FileNode): void {
    node.links--
    assert(node.links >= 0, 'a file has no fewer than no names')
    this.#drive.forgetUnused(node)
  }
}

function create(find: PathFinder, parent: DirectoryNode, name: string): FileNode {
  if (parent.entries.has(name)) throw find.fail('exists')
  const node = new FileNode()
  node.links = 1
  parent.change([[name, node]])
  return node
}
