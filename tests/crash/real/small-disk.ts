import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually, makeTemporaryDirectory, RunningProgram, tryCommand } from '../../fixtures.js'

/*
 * A file system in memory of a few mebibytes, in a mount namespace of its own that a waiting process holds: nobody else
 * sees it, and with that process it is gone. Servers join the namespace; the test looks into it through /proc.
 */

const asRoot = process.getuid?.() === 0
const unshare = asRoot ? ['-m'] : ['-r', '-m']

/** Why there can be no small disk here; undefined: there can. */
export function whyNoSmallDisk(): string | undefined {
  const script = 'mount -t tmpfs -o size=1m none /tmp && command -v nsenter'
  if (tryCommand('unshare', ...unshare, 'sh', '-c', script) !== undefined) return undefined
  return 'a file system cannot be mounted in a namespace of its own (unshare, mount, nsenter)'
}

export class SmallDisk implements AsyncDisposable {
  /** As processes see it that run `under`. */
  readonly path: string
  readonly #holder: RunningProgram

  private constructor(path: string, holder: RunningProgram) {
    this.path = path
    this.#holder = holder
  }

  static async make(mebibytes: number): Promise<SmallDisk> {
    const path = makeTemporaryDirectory()
    // It ends with its standard input, which ends with this process at the latest.
    const script = `mount -t tmpfs -o size=${mebibytes}m,mode=0700 none '${path}' && echo mounted && exec cat`
    const holder = new RunningProgram('unshare', [...unshare, 'sh', '-c', script])
    await eventually('the disk is mounted', () => {
      if (!holder.runs) throw new Error(`not mounted: ${holder.diagnostics}`)
      return holder.output.includes('mounted')
    })
    return new SmallDisk(path, holder)
  }

  /** What makes a server see it. */
  get under(): readonly string[] {
    const user = asRoot ? [] : ['-U', '--preserve-credentials']
    return ['nsenter', '-t', String(this.#holder.pid), '-m', ...user]
  }

  /** A path on it as this process sees it. */
  from(path: string): string {
    return join(`/proc/${this.#holder.pid}/root`, this.path, path)
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.from('.'))
    return bavail * bsize
  }

  /** Takes what is free but for so many bytes, by a file that has nothing to do with the server. May be called again. */
  fill(leftBytes: number): void {
    const bytes = Math.max(0, this.freeBytes - leftBytes)
    writeFileSync(this.from('ballast'), Buffer.alloc(bytes, 1), { flag: 'a' })
  }

  /** Gives that back. */
  relieve(): void {
    rmSync(this.from('ballast'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holder[Symbol.asyncDispose]()
  }
}
