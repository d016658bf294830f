import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Node } from '@quorumkv/internal/cluster'
import type { Log } from '@quorumkv/internal/env'
import type { Grant, Role } from '@quorumkv/internal/slots'
import { newToken, tokenHash } from '@quorumkv/proto/tokens'
import { testClock } from '../calls/services.test-support.js'
import { AccessControl } from './access-control.js'
import { openAudit } from './audit.js'
import { AuthFile } from './auth-file.js'

/** An auth file in a directory of its own. */
export class TestAuthFile implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'quorumkv-auth-'))
  readonly path: string = join(this.#directory, 'auth.yaml')
  /** Of its one principal, an admin. */
  readonly token: string = newToken('root')

  constructor() {
    this.write(entry(this.token))
  }

  /** Replaces what stands there. */
  write(text: string, mode: number = 0o600): void {
    rmSync(this.path, { force: true })
    writeFileSync(this.path, text, { mode })
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true })
  }
}

/** The text of an auth file with one admin. */
export function entry(token: string, name: string = 'root'): string {
  const hash = tokenHash(token).toString('hex')
  return `principals:\n  - name: ${name}\n    role: admin\n    tokenSha256: "${hash}"\n`
}

/** The same, until a time. */
export function expiringEntry(token: string, toMs: number): string {
  return `${entry(token)}    expires: "${new Date(toMs).toISOString()}"\n`
}

/** A grant as the members would have agreed on it. */
export function grantOf(token: string, name: string, role: Role, prefixes: readonly string[] = []): Grant {
  return {
    name,
    role,
    prefixes: prefixes.map((text) => Buffer.from(text)),
    tokenHash: tokenHash(token),
    createdAtMs: 1,
    expiresAtMs: undefined,
  }
}

/** What `startServices` takes: callers have to say who they are, and one that stands in the file may do everything. */
export function demandingAccess(file: TestAuthFile): (node: () => Node | undefined, log: Log) => AccessControl {
  return (node, log) => {
    const audit = openAudit(log, () => testClock.wallMs())
    return new AccessControl({ clock: testClock, log, audit, node, file: new AuthFile(file.path) })
  }
}
