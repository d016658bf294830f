import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Authority, type CertificateOptions, type Issued } from './authority.js'
import type { TlsFiles } from './material.js'
import { clientUri, nodeUri } from './names.js'

export const hourMs = 3_600_000
export const testCluster = '0123456789abcdef0123456789abcdef'

/** From an hour ago until in an hour. */
export function around(nowMs: number): { fromMs: number; toMs: number } {
  return { fromMs: nowMs - hourMs, toMs: nowMs + hourMs }
}

/** Files with certificates, in a directory that is removed in the end. */
export class CertificateFolder {
  readonly path: string = mkdtempSync(join(tmpdir(), 'kv-tls-'))
  readonly authority: Authority

  private constructor(authority: Authority) {
    this.authority = authority
    writeFileSync(this.ca, authority.cert)
  }

  static async create(name = 'a test', life = around(Date.now())): Promise<CertificateFolder> {
    return new CertificateFolder(await Authority.create(`${name} authority`, life))
  }

  get ca(): string {
    return join(this.path, 'ca.crt')
  }

  /** Of a node that is reached as localhost; `options` say what is wrong with it. */
  async node(id: string, options: Partial<CertificateOptions> = {}, cluster: string = testCluster): Promise<TlsFiles> {
    return this.write(id, await this.issue(id, [nodeUri(cluster, id)], options))
  }

  async client(name: string, options: Partial<CertificateOptions> = {}): Promise<TlsFiles> {
    return this.write(name, await this.issue(name, [clientUri(testCluster, name)], options))
  }

  issue(subject: string, uris: readonly string[], options: Partial<CertificateOptions> = {}): Promise<Issued> {
    return this.authority.issue({ subject, hosts: ['localhost', '127.0.0.1'], uris, ...around(Date.now()), ...options })
  }

  /** The files of one who has this certificate, which replace those of before. */
  write(name: string, { cert, key }: Issued): TlsFiles {
    const folder = join(this.path, name)
    mkdirSync(folder, { recursive: true })
    const files = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key'), ca: this.ca }
    writeFileSync(files.cert, cert)
    writeFileSync(files.key, key, { mode: 0o600 })
    return files
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}
