import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { FatalError } from '@quorumkv/internal/base'
import {
  describeHolder,
  formatHolder,
  type Holder,
  hasCode,
  isShared,
  mayLiveElsewhere,
  parseHolder,
  readHolder,
  thisHolder,
} from './lock-holder.js'

/** The directory, inside a data directory, of what this file writes. */
export const lockName = 'LOCK'
const holderName = 'holder'
const socketSuffix = '.sock'
const unfinishedSuffix = '.tmp'

/** How long a process whose socket still takes connections may take to answer, or to die if it has been killed. */
const answerWaitMs = 2_000
/** How long the first among several that start at once waits for the others to withdraw. */
const contestMs = 5_000
/** An answer is some hundred bytes. */
const answerBytesMax = 4_096

/** What a socket told about the process behind it. */
type Finding =
  /** No process listens, and none ever will: the name is used once, and was not there before it listened. */
  | { readonly kind: 'dead' }
  /** It went away while it was asked. */
  | { readonly kind: 'leaving' }
  | { readonly kind: 'starting'; readonly holder: Holder }
  /** It has the directory; or it gives no answer, and must be taken to have it. */
  | { readonly kind: 'holding'; readonly holder: Holder | undefined }

/** Asks the process behind a socket who it is. Always resolves, in time. */
function ask(path: string): Promise<Finding> {
  return new Promise((resolve) => {
    const socket = connect(path)
    let text = ''
    const settle = (finding: Finding): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(finding)
    }
    const timer = globalThis.setTimeout(() => settle({ kind: 'holding', holder: undefined }), answerWaitMs)
    socket.setEncoding('utf8')
    socket.on('error', (error) => {
      if (hasCode(error, 'ECONNREFUSED')) settle({ kind: 'dead' })
      else if (hasCode(error, 'ENOENT', 'ECONNRESET', 'EPIPE')) settle({ kind: 'leaving' })
      // Only a refusal proves that nobody is there: not a full queue, not a lack of rights.
      else settle({ kind: 'holding', holder: undefined })
    })
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.length > answerBytesMax) settle({ kind: 'holding', holder: undefined })
    })
    socket.on('end', () => {
      const answer = parseHolder(text)
      if (answer === undefined) settle({ kind: 'leaving' })
      else settle({ kind: answer.owns ? 'holding' : 'starting', holder: answer })
    })
  })
}

function unsupported(directory: string, error: unknown): unknown {
  if (!hasCode(error, 'EOPNOTSUPP', 'ENOTSUP', 'EPERM', 'EINVAL', 'ENOSYS')) return error
  const why = error instanceof Error ? error.message : String(error)
  return new FatalError(
    'usage',
    `cannot use the data directory ${directory}: its file system takes no sockets (${why}), and without one nothing ` +
      'would keep a second process out; name a directory on another file system',
    error,
  )
}

/** The socket of this process in the lock directory, and what it knows about the others there. */
class Claim {
  readonly #directory: string
  readonly #descriptor: number
  /** The lock directory by way of its descriptor: whatever its path, that fits the 108 bytes of a socket's address. */
  readonly #base: string
  readonly #name: string = randomBytes(12).toString('hex') + socketSuffix
  readonly #server: Server
  #owns = false
  #released = false

  constructor(directory: string) {
    this.#directory = directory
    const path = join(directory, lockName)
    try {
      mkdirSync(path, 0o700)
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error
    }
    this.#descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
    const short = `/proc/self/fd/${this.#descriptor}`
    this.#base = existsSync(short) ? short : path
    this.#server = createServer((socket) => {
      // Whoever asks may go away before it is told, which is nothing to us.
      socket.on('error', () => socket.destroy())
      socket.end(formatHolder(thisHolder(this.#owns)), () => socket.destroy())
    })
  }

  /** Listens, and only then takes a name that others look for: a refusal at that name proves a death. */
  async show(): Promise<void> {
    const unfinished = this.#at(this.#name + unfinishedSuffix)
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => reject(unsupported(this.#directory, error)))
      this.#server.listen({ path: unfinished }, resolve)
    })
    // What fails from here on is a connection that could not be taken: who asked sees a process that does not answer.
    this.#server.on('error', () => undefined).unref()
    try {
      chmodSync(unfinished, 0o600)
      renameSync(unfinished, this.#at(this.#name))
    } catch (error) {
      // An owner sweeps out what has no final name yet.
      throw hasCode(error, 'ENOENT') ? this.#inUse(undefined) : error
    }
  }

  /**
   * Resolves when no other living process is seen. Each is seen before it looks, so of two the later sees the earlier,
   * and never can both be alone. Of those that start at once, the one with the lowest name waits for the others to
   * withdraw. Rejects with FatalError `in-use`.
   */
  async contest(): Promise<void> {
    const endMs = performance.now() + contestMs
    for (;;) {
      const names = readdirSync(this.#base).filter((name) => name.endsWith(socketSuffix) && name !== this.#name)
      const findings = await Promise.all(names.map((name) => ask(this.#at(name))))
      const late = performance.now() > endMs
      let alone = true
      for (const [i, finding] of findings.entries()) {
        const name = names[i]!
        if (finding.kind === 'holding') throw this.#inUse(finding.holder)
        if (finding.kind === 'dead') rmSync(this.#at(name), { force: true })
        else alone = false
        if (finding.kind === 'starting' && (late || name < this.#name)) throw this.#inUse(finding.holder)
      }
      if (alone) return
      if (late) throw this.#inUse(undefined)
      await setTimeout(5 + Math.random() * 20)
    }
  }

  /**
   * Throws FatalError `in-use` where the last holder may live on another machine, where no socket reaches. To be asked
   * before anybody is: its socket would read as that of a dead process, and its name is what keeps its neighbours out.
   */
  refuseElsewhere(): void {
    const last = readHolder(this.#at(holderName))
    if (last !== undefined && mayLiveElsewhere(last, thisHolder(true)) && isShared(this.#directory)) {
      throw new FatalError(
        'in-use',
        `the data directory ${this.#directory} was last used by ${describeHolder(last)}, which has not signed off, ` +
          'and lies on a file system that other machines can use too; make sure that the process has ended, then ' +
          `remove ${join(this.#directory, lockName, holderName)}`,
      )
    }
  }

  /** Takes the directory. Of those who contested it, this process alone is left. */
  take(): void {
    for (const name of readdirSync(this.#base)) {
      if (name.endsWith(unfinishedSuffix)) rmSync(this.#at(name), { force: true })
    }
    this.#owns = true
    try {
      writeFileSync(this.#at(holderName), formatHolder(thisHolder(true)), { mode: 0o600 })
    } catch (error) {
      // A node starts on a full disk, and is read-only. Other machines alone need the file; here the socket tells.
      if (!hasCode(error, 'ENOSPC', 'EDQUOT', 'EFBIG') || isShared(this.#directory)) throw error
      rmSync(this.#at(holderName), { force: true })
    }
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    if (this.#owns) rmSync(this.#at(holderName), { force: true })
    // First the name: a living process must not be found dead.
    rmSync(this.#at(this.#name), { force: true })
    this.#server.close(() => closeSync(this.#descriptor))
  }

  #at(name: string): string {
    return join(this.#base, name)
  }

  #inUse(holder: Holder | undefined): FatalError {
    const who = describeHolder(holder ?? readHolder(this.#at(holderName)))
    return new FatalError('in-use', `the data directory ${this.#directory} is in use by ${who}`)
  }
}

/** Keeps every other process out of a data directory. */
export interface DirectoryLock {
  /** Lets others have the directory, at once. Idempotent. */
  release(): void
}

/**
 * Locks a directory for this process, against all others on the same kernel, in whatever container they are. Node has no
 * flock; what the kernel takes back however a process ends, and what is seen through every mount of a directory, is a
 * listening Unix socket in it. Rejects with FatalError: `in-use`, naming the holder where it is known; `usage` where the
 * file system takes no sockets; and with the system's errors. The decision: docs/adr/0018-directory-lock.md.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const claim = new Claim(directory)
  try {
    await claim.show()
    claim.refuseElsewhere()
    await claim.contest()
    // Meanwhile somebody elsewhere may have come and gone.
    claim.refuseElsewhere()
    claim.take()
    return claim
  } catch (error) {
    claim.release()
    throw error
  }
}
