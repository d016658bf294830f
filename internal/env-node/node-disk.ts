import * as fs from 'node:fs'
import * as fsPromises from 'node:fs/promises'
import { dirname, resolve as resolvePath } from 'node:path'
import { assert } from '../base/index.js'
import type { Disk, DiskFile, OpenMode } from '../env/index.js'
import { makeDirectories } from './make-directories.js'
import { diskError } from './node-errors.js'
import { NodeFile } from './node-file.js'

const fileMode = 0o600
const directoryMode = 0o700

const openFlags: Readonly<Record<OpenMode, number>> = {
  read: fs.constants.O_RDONLY,
  write: fs.constants.O_RDWR,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
}

/** The file system of the machine below one directory, which `makeDirectory('')` creates. */
export class NodeDisk implements Disk {
  readonly #root: string

  constructor(rootDirectory: string) {
    this.#root = resolvePath(rootDirectory)
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const fd = await wrap('open', path, openDescriptor(this.#resolveFile(path), openFlags[mode]))
    return new NodeFile(path, fd, mode)
  }

  async rename(from: string, to: string): Promise<void> {
    const [source, target] = [this.#resolveFile(from), this.#resolveFile(to)]
    await wrap('rename', from, fsPromises.rename(source, target))
  }

  async remove(path: string): Promise<void> {
    await wrap('remove', path, fsPromises.unlink(this.#resolveFile(path)))
  }

  async list(directory: string): Promise<string[]> {
    const names = await wrap('list', directory, fsPromises.readdir(this.#resolve(directory)))
    return names.sort()
  }

  async makeDirectory(path: string): Promise<void> {
    const full = this.#resolve(path)
    const first = await wrap('makeDirectory', path, makeDirectories(full, directoryMode))
    if (first === undefined) return
    // Names of the root and of what is above it can be made durable by nobody else.
    for (let made = this.#root; made.length >= first.length; made = dirname(made)) {
      await wrap('makeDirectory', path, syncDirectory(dirname(made)))
    }
  }

  async syncDirectory(path: string): Promise<void> {
    await wrap('syncDirectory', path, syncDirectory(this.#resolve(path)))
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await wrap('freeBytes', '.', fsPromises.statfs(this.#root))
    return bavail * bsize
  }

  #resolveFile(path: string): string {
    assert(path !== '' && path !== '.', 'a file needs a name')
    return this.#resolve(path)
  }

  #resolve(path: string): string {
    if (path === '' || path === '.') return this.#root
    const sound = path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0'))
    assert(sound, `not a plain relative path: ${JSON.stringify(path)}`)
    return `${this.#root}/${path}`
  }
}

async function wrap<T>(operation: string, path: string, running: Promise<T>): Promise<T> {
  try {
    return await running
  } catch (error) {
    if (error instanceof Error && 'code' in error) throw diskError(operation, path, error as NodeJS.ErrnoException)
    throw error
  }
}

/** Opens a file, never a directory: opening one for reading would succeed and fail at the first read only. */
function openDescriptor(path: string, flags: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(path, flags, fileMode, (openError, fd) => {
      if (openError !== null) {
        reject(openError)
        return
      }
      fs.fstat(fd, (error, stats) => {
        if (error === null && !stats.isDirectory()) resolve(fd)
        else fs.close(fd, () => reject(error ?? Object.assign(new Error('is a directory'), { code: 'EISDIR' })))
      })
    })
  })
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await fsPromises.open(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
