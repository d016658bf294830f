import { randomBytes } from 'node:crypto'
import { chmodSync, closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type ClusterId, FatalError, parseClusterId } from '@quorumkv/internal/base'
import { makeDirectories } from '@quorumkv/internal/env-node'
import { Authority, type Issued } from './authority.js'
import { clientUri, nodeUri } from './names.js'

const dayMs = 86_400_000
/** A certificate holds from a little before it was made, because clocks differ. */
const beforeMs = 3_600_000
const authorityDays = 3_650
const everywhere: readonly string[] = ['localhost', '127.0.0.1', '::1']
const authorityName = /^QuorumKV cluster ([0-9a-f]{32})$/

/** Hosts under which nodes are reached: of all, and of one. */
export interface Hosts {
  readonly all: readonly string[]
  readonly of: ReadonlyMap<string, readonly string[]>
}

/** Whom certificates are wanted for. */
export interface Wanted {
  readonly nodes: readonly string[]
  readonly hosts: Hosts
  readonly clients: readonly string[]
  readonly days: number
}

function failed(what: string, error: unknown): FatalError {
  return new FatalError('usage', `cannot ${what}: ${error instanceof Error ? error.message : String(error)}`, error)
}

function attempt<T>(what: string, act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw failed(what, error)
  }
}

/** Writes a file as a whole, in place of what was there: a node that reads it meanwhile sees the old or the new. */
function replaceFile(path: string, text: string, mode: number): void {
  attempt(`write ${path}`, () => {
    const draft = `${path}.tmp`
    const file = openSync(draft, 'w', mode)
    writeSync(file, text)
    fsyncSync(file)
    closeSync(file)
    chmodSync(draft, mode)
    renameSync(draft, path)
  })
}

/** An authority of one cluster in a directory, with what it has signed. */
export class CertificateDirectory {
  readonly path: string
  readonly clusterId: ClusterId
  readonly #authority: Authority

  private constructor(path: string, clusterId: ClusterId, authority: Authority) {
    this.path = path
    this.clusterId = clusterId
    this.#authority = authority
  }

  /** Makes the directory, and the authority of a new cluster in it. Throws FatalError `usage` where one is there. */
  static async create(path: string, nowMs: number): Promise<CertificateDirectory> {
    try {
      await makeDirectories(resolve(path), 0o700)
    } catch (error) {
      throw failed(`make ${path}`, error)
    }
    if (existsSync(join(path, 'ca.crt')) || existsSync(join(path, 'ca.key'))) {
      throw new FatalError(
        'usage',
        `${path} holds an authority already: "kv-server certs issue" makes more certificates of it`,
      )
    }
    const clusterId = parseClusterId(randomBytes(16).toString('hex'))
    const validity = { fromMs: nowMs - beforeMs, toMs: nowMs + authorityDays * dayMs }
    const authority = await Authority.create(`QuorumKV cluster ${clusterId}`, validity)
    replaceFile(join(path, 'ca.key'), await authority.key(), 0o600)
    replaceFile(join(path, 'ca.crt'), authority.cert, 0o644)
    return new CertificateDirectory(path, clusterId, authority)
  }

  /** The directory that `create` has made. Throws FatalError `usage` where it is none. */
  static async open(path: string): Promise<CertificateDirectory> {
    const read = (name: string): string =>
      attempt(`read ${join(path, name)}`, () => readFileSync(join(path, name), 'utf8'))
    let authority: Authority
    try {
      authority = await Authority.load({ cert: read('ca.crt'), key: read('ca.key') })
    } catch (error) {
      if (error instanceof FatalError) throw error
      throw new FatalError(
        'usage',
        `ca.crt and ca.key in ${path} are not those that "kv-server certs init" has made`,
        error,
      )
    }
    const [, clusterId] = authorityName.exec(authority.subject) ?? []
    if (clusterId === undefined) {
      throw new FatalError(
        'usage',
        `the authority in ${path} is called ${JSON.stringify(authority.subject)}: "kv-server certs init" has not made it`,
      )
    }
    return new CertificateDirectory(path, parseClusterId(clusterId), authority)
  }

  /** Makes certificates, new ones for who has one. Returns the names of the files without `.crt` and `.key`. */
  async issue({ nodes, hosts, clients, days }: Wanted, nowMs: number): Promise<readonly string[]> {
    const validity = { fromMs: nowMs - beforeMs, toMs: nowMs + days * dayMs }
    const names: string[] = []
    for (const id of nodes) {
      const own = new Set([...everywhere, ...hosts.all, ...(hosts.of.get(id) ?? [])])
      const uris = [nodeUri(this.clusterId, id)]
      this.#write(id, await this.#authority.issue({ subject: id, hosts: [...own], uris, ...validity }))
      names.push(id)
    }
    for (const client of clients) {
      const uris = [clientUri(this.clusterId, client)]
      this.#write(
        `client-${client}`,
        await this.#authority.issue({ subject: client, uris, uses: ['client'], ...validity }),
      )
      names.push(`client-${client}`)
    }
    return names
  }

  #write(name: string, { cert, key }: Issued): void {
    // A node that looks between the two finds a pair that does not fit, waits, and looks again.
    replaceFile(join(this.path, `${name}.key`), key, 0o600)
    replaceFile(join(this.path, `${name}.crt`), cert, 0o644)
  }
}
