import { stat } from 'node:fs/promises'
import { invalidArgument, KvError, limits } from '@quorumkv/internal/base'
import type { Clock, Log, Timer } from '@quorumkv/internal/env'
import { type CertificateFacts, type OwnName, readMaterial, type TlsFiles, type TlsMaterial } from './material.js'

export interface CertificatesOptions {
  readonly files: TlsFiles
  readonly clock: Clock
  readonly log: Log
  /** `limits.tlsFilesPollMs` unless a test makes it short. */
  readonly pollMs?: number
}

/** What became of the files since the node started. */
export interface ReloadCounts {
  readonly reloaded: number
  /** What had changed was no good, and the old is still in use. */
  readonly failed: number
}

/**
 * What tells one state of the files from another, without reading them: also who may read them, which is often set after they
 * were written. A symbolic link counts as what it points to.
 */
async function signature({ cert, key, ca }: TlsFiles): Promise<string> {
  const paths = ca === undefined ? [cert, key] : [cert, key, ca]
  const states = paths.map(async (path) => {
    try {
      const { mtimeMs, ctimeMs, size, ino } = await stat(path)
      return `${mtimeMs}/${ctimeMs}/${size}/${ino}`
    } catch (error) {
      return String((error as NodeJS.ErrnoException).code)
    }
  })
  return (await Promise.all(states)).join()
}

function nameText(name: OwnName | undefined): string {
  return name === undefined ? 'no node' : `${name.nodeId} of cluster ${name.clusterId}`
}

/**
 * The certificate of a node and what goes with it, while it runs. The files are looked at again and again: what has changed is
 * checked as at the start, then new connections get it, and those that are open stay as they are. What is no good leaves the old
 * in use. Certificates are replaced while nobody looks, and a node that had to be restarted for it would be forgotten.
 */
export class Certificates {
  readonly #options: CertificatesOptions
  readonly #listeners = new Set<(material: TlsMaterial) => void>()
  #material: TlsMaterial
  #counts = { reloaded: 0, failed: 0 }
  #problem: string | undefined
  /** Of the files that are in use, or were found bad. */
  #read: string
  /** As it was seen last. */
  #seen: string
  #timer: Timer | undefined
  #warnedMs = Number.NEGATIVE_INFINITY
  /** How many of those in use have been told to have expired. */
  #expired = 0
  #reloading: Promise<boolean> | undefined
  #closed = false

  /** Reads the files, and looks at them from now on. Rejects with `invalid-argument`. */
  static async open(options: CertificatesOptions): Promise<Certificates> {
    const before = await signature(options.files)
    const certificates = new Certificates(options, await readMaterial(options.files, options.clock.wallMs()), before)
    certificates.#warn()
    certificates.#poll()
    return certificates
  }

  private constructor(options: CertificatesOptions, material: TlsMaterial, read: string) {
    this.#options = options
    this.#material = material
    this.#read = read
    this.#seen = read
  }

  /** What new connections are made with. */
  get material(): TlsMaterial {
    return this.#material
  }

  get facts(): readonly CertificateFacts[] {
    return this.#material.facts
  }

  get counts(): ReloadCounts {
    return this.#counts
  }

  /** Why files that have changed are not used; undefined: they are. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** Calls `listener` with what is to be used from then on, whenever that changes. */
  onChange(listener: (material: TlsMaterial) => void): void {
    this.#listeners.add(listener)
  }

  /** Reads the files again, changed or not. Resolves to whether what they hold is in use now. */
  reload(): Promise<boolean> {
    return this.#reloadOnce(false)
  }

  #reloadOnce(unchanged: boolean): Promise<boolean> {
    this.#reloading ??= this.#reload(unchanged).finally(() => {
      this.#reloading = undefined
    })
    return this.#reloading
  }

  /** Looks at the files no more. Idempotent. */
  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  /** `unchanged`: the same files were no good before, which was told then. */
  async #reload(unchanged: boolean): Promise<boolean> {
    const { files, clock, log } = this.#options
    this.#read = await signature(files)
    let material: TlsMaterial
    try {
      material = await readMaterial(files, clock.wallMs())
      this.#checkName(material.name)
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      if (!unchanged) {
        this.#counts = { ...this.#counts, failed: this.#counts.failed + 1 }
        if (this.#problem !== error.message) log.error('a new certificate is not used', { problem: error.message })
      }
      this.#problem = error.message
      return false
    }
    this.#material = material
    this.#problem = undefined
    this.#counts = { ...this.#counts, reloaded: this.#counts.reloaded + 1 }
    for (const listener of this.#listeners) listener(material)
    log.info('certificates were read again', { certificates: material.facts.map(factText) })
    this.#warnedMs = Number.NEGATIVE_INFINITY
    this.#expired = 0
    this.#warn()
    return true
  }

  /** Other nodes know this one by its name. */
  #checkName(name: OwnName | undefined): void {
    const before = this.#material.name
    if (before?.clusterId === name?.clusterId && before?.nodeId === name?.nodeId) return
    const changed = `the new certificate names ${nameText(name)}, and this process is ${nameText(before)}`
    throw invalidArgument('tls-cert', changed)
  }

  #poll(): void {
    const { clock, pollMs = limits.tlsFilesPollMs, log } = this.#options
    this.#timer = clock.setTimer(pollMs, () => {
      this.#look()
        .catch((error: unknown) => log.error('cannot look whether certificates have changed', { error }))
        .finally(() => {
          if (!this.#closed) this.#poll()
        })
    })
  }

  async #look(): Promise<void> {
    this.#warn()
    const now = await signature(this.#options.files)
    // Certificate and key are written one after the other: they are read once they have been left alone for a while.
    const settled = now === this.#seen
    this.#seen = now
    if (!settled || this.#closed) return
    // What is wrong may pass: a clock that is a little behind that of the authority takes a new certificate a moment later.
    if (now !== this.#read) await this.reload()
    else if (this.#problem !== undefined) await this.#reloadOnce(true)
  }

  #warn(): void {
    const { clock, log } = this.#options
    const nowMs = clock.wallMs()
    const expired = this.#material.facts.filter(({ toMs }) => toMs < nowMs)
    // That one has expired is told when it does, however little before it was told that it would.
    const isNew = expired.length > this.#expired
    if (!isNew && nowMs - this.#warnedMs < limits.certificateWarnAgainMs) return
    const late = this.#material.facts.filter(({ toMs }) => toMs - nowMs < limits.certificateWarnMs)
    if (late.length === 0) return
    this.#warnedMs = nowMs
    this.#expired = expired.length
    for (const fact of late) {
      const isOver = expired.includes(fact)
      const tell = isOver ? log.error.bind(log) : log.warn.bind(log)
      tell(isOver ? 'a certificate has expired: new connections are refused' : 'a certificate expires soon', {
        kind: fact.kind,
        certificate: factText(fact),
        days: Math.floor((fact.toMs - nowMs) / 86_400_000),
      })
    }
  }
}

function factText({ subject, toMs }: CertificateFacts): string {
  return `${subject}, until ${new Date(toMs).toISOString()}`
}
