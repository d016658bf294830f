import { assert } from '../base/index.js'
import { type Disk, DiskError, type DiskFile, type OpenMode } from '../env/index.js'
import type { SimDisk } from './disk.js'
import { SimFile } from './disk-file.js'
import { DirectoryNode, FileNode } from './disk-image.js'
import { findDirectory, findNode, findParent, splitPath } from './disk-path.js'
import type { EventOwner } from './scheduler.js'

/** A drive as one life of a process sees it. */
export class MountedDisk implements Disk {
  readonly #drive: SimDisk
  readonly #owner: EventOwner

  constructor(drive: SimDisk, owner: EventOwner) {
    this.#drive = drive
    this.#owner = owner
  }

  open(path: string, mode: OpenMode): Promise<DiskFile> {
    return this.#drive.request(this.#owner, 'open', path, 0, () => {
      assert(path !== '' && path !== '.', 'a file needs a name')
      const node = mode === 'create' ? this.#create(path) : findNode(this.#drive.root, 'open', path)
      if (node === undefined) throw new DiskError('not-found', 'open', path)
      if (node.kind !== 'file') throw new DiskError('io', 'open', path, new Error('is a directory'))
      return new SimFile(this.#drive, this.#owner, path, node, mode)
    })
  }

  rename(from: string, to: string): Promise<void> {
    return this.#drive.request(this.#owner, 'rename', from, 0, () => {
      const [source, oldName] = findParent(this.#drive.root, 'rename', from)
      const [target, newName] = findParent(this.#drive.root, 'rename', to)
      const node = source.entries.get(oldName)
      const replaced = target.entries.get(newName)
      if (node === undefined) throw new DiskError('not-found', 'rename', from)
      if (node.kind !== 'file') throw new DiskError('io', 'rename', from, new Error('is a directory'))
      if (replaced !== undefined && replaced.kind !== 'file') {
        throw new DiskError('io', 'rename', to, new Error('is a directory'))
      }
      if (replaced === node) return
      if (source === target) {
        source.change([
          [newName, node],
          [oldName, undefined],
        ])
      } else {
        target.change([[newName, node]])
        source.change([[oldName, undefined]])
      }
      if (replaced !== undefined) this.#unlink(replaced)
    })
  }

  remove(path: string): Promise<void> {
    return this.#drive.request(this.#owner, 'remove', path, 0, () => {
      const [parent, name] = findParent(this.#drive.root, 'remove', path)
      const node = parent.entries.get(name)
      if (node === undefined) throw new DiskError('not-found', 'remove', path)
      if (node.kind !== 'file') throw new DiskError('io', 'remove', path, new Error('is a directory'))
      parent.change([[name, undefined]])
      this.#unlink(node)
    })
  }

  list(directory: string): Promise<string[]> {
    return this.#drive.request(this.#owner, 'list', directory, 0, () =>
      [...findDirectory(this.#drive.root, 'list', directory).entries.keys()].sort(),
    )
  }

  makeDirectory(path: string): Promise<void> {
    return this.#drive.request(this.#owner, 'makeDirectory', path, 0, () => {
      let directory = this.#drive.root
      const parts = splitPath(path)
      for (const [index, part] of parts.entries()) {
        let next = directory.entries.get(part)
        if (next === undefined) {
          next = new DirectoryNode()
          directory.change([[part, next]])
        }
        if (next.kind !== 'directory') {
          throw new DiskError(index === parts.length - 1 ? 'exists' : 'io', 'makeDirectory', path)
        }
        directory = next
      }
    })
  }

  syncDirectory(path: string): Promise<void> {
    return this.#drive.request(
      this.#owner,
      'syncDirectory',
      path,
      0,
      () => findDirectory(this.#drive.root, 'syncDirectory', path).sync(),
      () => findDirectory(this.#drive.root, 'syncDirectory', path).loseWriteBack(),
    )
  }

  #create(path: string): FileNode {
    const [parent, name] = findParent(this.#drive.root, 'open', path)
    if (parent.entries.has(name)) throw new DiskError('exists', 'open', path)
    const node = new FileNode()
    node.links = 1
    parent.change([[name, node]])
    return node
  }

  #unlink(node: FileNode): void {
    node.links--
    assert(node.links >= 0, 'a file has no fewer than no names')
    this.#drive.forgetUnused(node)
  }
}
