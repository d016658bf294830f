import { assert } from '../base/index.js'
import { DiskError } from '../env/index.js'
import type { DirectoryNode, DiskNode } from './disk-image.js'

/** The parts of a relative path; none for the root, which is written '' or '.'. Other shapes are bugs. */
export function splitPath(path: string): string[] {
  if (path === '' || path === '.') return []
  const parts = path.split('/')
  const sound = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0'))
  assert(sound, `not a plain relative path: ${JSON.stringify(path)}`)
  return parts
}

/** The node at a path, or undefined where its directory is there and the name is not. Fails like `open` otherwise. */
export function findNode(root: DirectoryNode, operation: string, path: string): DiskNode | undefined {
  let node: DiskNode | undefined = root
  for (const part of splitPath(path)) {
    if (node === undefined) throw new DiskError('not-found', operation, path)
    if (node.kind !== 'directory') throw new DiskError('io', operation, path, new Error('not a directory'))
    node = node.entries.get(part)
  }
  return node
}

/** The directory at a path. Fails with `not-found`, or with `io` where it is a file. */
export function findDirectory(root: DirectoryNode, operation: string, path: string): DirectoryNode {
  const node = findNode(root, operation, path)
  if (node === undefined) throw new DiskError('not-found', operation, path)
  if (node.kind !== 'directory') throw new DiskError('io', operation, path, new Error('not a directory'))
  return node
}

/** The directory that holds the last part of a path, and that part. */
export function findParent(root: DirectoryNode, operation: string, path: string): [DirectoryNode, string] {
  const parts = splitPath(path)
  const name = parts.pop()
  assert(name !== undefined, `${operation} needs a name, not the root`)
  return [findDirectory(root, operation, parts.join('/')), name]
}
