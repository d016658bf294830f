import { assert } from '../base/index.js'
import { DiskError, type DiskErrorCode } from '../env/index.js'
import type { DirectoryNode, DiskNode, FileNode } from './disk-image.js'

/** A drive has some dozen names, and each operation takes one of them apart two or three times. */
const knownMax = 1_024
const known = new Map<string, readonly string[]>()

/** The parts of a relative path; none for the root, which is written '' or '.'. Other shapes are bugs. Shared. */
export function splitPath(path: string): readonly string[] {
  const before = known.get(path)
  if (before !== undefined) return before
  const parts = takeApart(path)
  if (known.size >= knownMax) known.clear()
  known.set(path, parts)
  return parts
}

function takeApart(path: string): readonly string[] {
  if (path === '' || path === '.') return []
  const parts = path.split('/')
  const sound = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0'))
  assert(sound, `not a plain relative path: ${JSON.stringify(path)}`)
  return parts
}

/**
 * Finds things in the tree for one operation. Failures are DiskErrors about `path`, which is what the caller named
 * first, even where another path or a directory on the way is at fault: so does the machine's file system.
 */
export class PathFinder {
  readonly #root: DirectoryNode
  readonly #operation: string
  readonly #path: string

  constructor(root: DirectoryNode, operation: string, path: string) {
    this.#root = root
    this.#operation = operation
    this.#path = path
  }

  fail(code: DiskErrorCode, detail?: string): DiskError {
    return new DiskError(code, this.#operation, this.#path, detail === undefined ? undefined : new Error(detail))
  }

  /** The node at a path, or undefined where its directory is there and the name is not. */
  node(path: string = this.#path): DiskNode | undefined {
    let node: DiskNode | undefined = this.#root
    for (const part of splitPath(path)) {
      if (node === undefined) throw this.fail('not-found')
      if (node.kind !== 'directory') throw this.fail('io', 'not a directory')
      node = node.entries.get(part)
    }
    return node
  }

  directory(path: string = this.#path): DirectoryNode {
    const node = this.node(path)
    if (node === undefined) throw this.fail('not-found')
    if (node.kind !== 'directory') throw this.fail('io', 'not a directory')
    return node
  }

  /** The directory that holds the last part of a path, and that part. */
  parent(path: string = this.#path): [DirectoryNode, string] {
    const parts = splitPath(path)
    const name = parts.at(-1)
    assert(name !== undefined, 'a file needs a name')
    return [this.directory(path.slice(0, Math.max(0, path.length - name.length - 1))), name]
  }

  /** A file that is there. */
  file(node: DiskNode | undefined): FileNode {
    if (node === undefined) throw this.fail('not-found')
    if (node.kind !== 'file') throw this.fail('io', 'is a directory')
    return node
  }
}
