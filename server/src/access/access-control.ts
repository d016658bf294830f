import { timingSafeEqual } from 'node:crypto'
import { assert, FatalError, KvError, limits } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import type { Clock, Log, Timer } from '@quorumkv/internal/env'
import { type AccessList, nobodyGranted } from '@quorumkv/internal/slots'
import { nameInToken, tokenHash } from '@quorumkv/proto/tokens'
import { RateLimit, type Rates, unlimitedRates } from '../limits/rate-limit.js'
import type { ShownCertificate } from '../tls/names.js'
import { type Audit, AuditRuns } from './audit.js'
import type { AuthFile } from './auth-file.js'
import type { CallerProof } from './caller-proof.js'
import { type FilePrincipal, hasAdmin } from './file-principal.js'
import { anyonePrincipal, nodePrincipal, Principal } from './principal.js'

export interface AccessOptions {
  readonly clock: Clock
  readonly log: Log
  readonly audit: Audit
  /** Whose topology says whom the members let in; undefined while there is none. */
  readonly node: () => Pick<Node, 'id' | 'topology'> | undefined
  /** Undefined: nobody is asked who they are. */
  readonly file: AuthFile | undefined
  /** By what other nodes prove who they are where certificates do not; undefined: by nothing. */
  readonly proof?: CallerProof | undefined
  /** Of principals for whom the auth file does not say otherwise. */
  readonly rates?: Rates
}

/** A principal, and what is kept of its token. */
interface Known {
  readonly principal: Principal
  readonly hash: Uint8Array
  /** Says all that makes it what it is: while it stays the same, so does `principal`. */
  readonly nature: string
}

/** Compared with where nobody has the name, so that this takes as long as where somebody has. */
const nobodysHash = Buffer.alloc(32)

/**
 * Who calls this node. With an auth file whoever calls has to show a token of somebody who stands in that file, or whom the
 * members have agreed on. Changes of the file are seen within `limits.accessCheckMs`, those of the topology at once;
 * sessions and scans that run are ended then, because they look at `Principal.over`.
 */
export class AccessControl {
  readonly audit: Audit
  /** Who everybody is, where nobody is asked. */
  readonly anyone: Principal
  readonly #options: AccessOptions
  readonly #file: AuthFile | undefined
  /** By name; a name may stand in the file and in the topology. */
  #known = new Map<string, Known[]>()
  #list: AccessList = nobodyGranted
  #principals: readonly FilePrincipal[] = []
  readonly #runs = new AuditRuns()
  readonly #onChange = new Set<() => void>()
  #timer: Timer | undefined

  /** Throws FatalError `usage` where no admin in the file is left: nobody could let anybody in. */
  constructor(options: AccessOptions) {
    this.#options = options
    this.#file = options.file
    this.audit = options.audit
    this.anyone = anyonePrincipal(this.#rateOf('anyone', {}))
    if (options.file === undefined) return
    this.#checkAdmin(options.file)
    this.#rebuild(options.file.principals, nobodyGranted)
    this.#wait()
  }

  /** Whether callers have to say who they are. */
  get demanded(): boolean {
    return this.#file !== undefined
  }

  /** Whether what takes many calls has ended so for somebody for the first time in a while. */
  beginsRun(action: string, { name }: Principal, outcome: string): boolean {
    return this.#runs.isFirst(`${action} ${name} ${outcome}`, this.#options.clock.monotonicMs())
  }

  /** What this node lets in by its own file. */
  get filePrincipals(): readonly FilePrincipal[] {
    return this.#principals
  }

  /** What `authorization` says in this node's own calls to another, `to`; undefined: nothing, its certificate is enough. */
  asNode(to: string): string | undefined {
    const id = this.#options.node()?.id
    return id === undefined ? undefined : this.#options.proof?.show(id, to)
  }

  /** Calls `changed` whenever somebody may be over. */
  onChange(changed: () => void): void {
    this.#onChange.add(changed)
  }

  /** Nothing is looked at any more. Idempotent. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /**
   * Who shows this: the contents of `authorization`, of a call or a request, or else a certificate that an authority of this node
   * vouches for, of the connection. Throws KvError: `unauthenticated` where nothing is shown or it is nobody's;
   * `unavailable` where it may be that of somebody whom only the members know, and this node does not know yet what they
   * have agreed on; what `certificate` throws.
   */
  identify(
    authorization: string | undefined,
    certificate: () => ShownCertificate | undefined = () => undefined,
  ): Principal {
    if (this.#file === undefined) return this.anyone
    this.refresh()
    if (authorization === undefined || authorization === '') return this.#certified(certificate())
    const self = this.#options.node()?.id ?? ''
    const node = this.#options.proof?.nodeThatShows(authorization, self)
    if (node !== undefined) return this.#member(node)
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
    const name = token === undefined ? undefined : nameInToken(token)
    if (token === undefined || name === undefined) throw unknown('this is no token: "Bearer qkv_…" is expected')
    const principal = this.#find(name, tokenHash(token))
    if (principal !== undefined) {
      principal.checkValid()
      return principal
    }
    this.#checkKnowing()
    throw unknown('the token is nobody’s, or has been revoked')
  }

  /** Whom a certificate names. Its key is what proves it: no token is needed, whatever the principal has. */
  #certified(certificate: ShownCertificate | undefined): Principal {
    if (certificate === undefined) throw unknown('a token is needed')
    const { name, toMs } = certificate
    if (toMs < this.#options.clock.wallMs()) throw unknown('the certificate has expired since the connection was made')
    this.#checkKnowing()
    const { clusterId } = this.#options.node()!.topology!
    if (name.clusterId !== clusterId) throw unknown(`the certificate is for cluster ${name.clusterId}`)
    if (name.kind === 'node') return this.#member(name.nodeId)
    const [known] = this.#known.get(name.principal) ?? []
    if (known === undefined) throw unknown(`the certificate names ${name.principal}, and there is no such principal`)
    known.principal.checkValid()
    return known.principal
  }

  /** Who has been removed still has what proved that it was one. */
  #member(nodeId: string): Principal {
    this.#checkKnowing()
    const { members } = this.#options.node()!.topology!
    if (!members.some(({ id }) => id === nodeId)) throw unknown(`node ${nodeId} is no member of the cluster`)
    return nodePrincipal(nodeId)
  }

  #checkKnowing(): void {
    if (this.#options.node()?.topology !== undefined) return
    throw new KvError('unavailable', 'this node does not know yet who may call', { outcome: 'not-applied' })
  }

  /** Takes over what the topology says now, and who has expired. Costs two comparisons where nothing has changed. */
  refresh(): void {
    const list = this.#options.node()?.topology?.access
    if (list === undefined || list === this.#list) return
    // The same list comes as another object with each topology.
    if (list.revision === this.#list.revision) this.#list = list
    else this.#rebuild(this.#principals, list)
  }

  #find(name: string, hash: Uint8Array): Principal | undefined {
    let found: Principal | undefined
    const named = this.#known.get(name)
    for (const known of named ?? []) if (timingSafeEqual(known.hash, hash)) found = known.principal
    if (named === undefined) timingSafeEqual(nobodysHash, hash)
    return found
  }

  #rebuild(principals: readonly FilePrincipal[], list: AccessList): void {
    const before = this.#known
    const known = new Map<string, Known[]>()
    const add = (source: 'file' | 'cluster', given: FilePrincipal): void => {
      const { name, role, prefixes, tokenHash: hash, expiresAtMs, rates = {} } = given
      const hex = [hash, ...prefixes].map((bytes) => Buffer.from(bytes).toString('hex'))
      const nature = JSON.stringify([source, role, expiresAtMs, rates, ...hex])
      const same = before.get(name)?.find((one) => one.nature === nature)
      const make = (): Principal => {
        const rate = this.#rateOf(name, rates)
        return new Principal({ name, role, prefixes, source, expiresAtMs, rate })
      }
      const one = same ?? { nature, hash, principal: make() }
      known.set(name, [...(known.get(name) ?? []), one])
    }
    for (const principal of principals) add('file', principal)
    for (const grant of list.grants) add('cluster', grant)
    this.#known = known
    this.#principals = principals
    this.#list = list
    for (const [name, those] of before) {
      for (const one of those) if (!known.get(name)?.includes(one)) one.principal.over = 'the token has been revoked'
    }
    this.#expire()
    for (const changed of this.#onChange) changed()
  }

  /** Its buckets hang on the principal, so there are as many as there are principals. */
  #rateOf(name: string, own: Partial<Rates>): RateLimit | undefined {
    const { clock, rates: others = unlimitedRates } = this.#options
    const rates = { ...others, ...own }
    if (rates.operationsPerSecond === 0 && rates.bytesPerSecond === 0) return undefined
    return new RateLimit(name, rates, clock)
  }

  /** Whether somebody has. */
  #expire(): boolean {
    const nowMs = this.#options.clock.wallMs()
    let any = false
    for (const those of this.#known.values()) {
      for (const { principal } of those) {
        const { expiresAtMs, over } = principal
        const expired = expiresAtMs !== undefined && expiresAtMs <= nowMs
        if (expired === (over !== '')) continue
        principal.over = expired ? 'the token has expired' : ''
        any = true
      }
    }
    return any
  }

  #wait(): void {
    this.#timer = this.#options.clock.setTimer(limits.accessCheckMs, () => {
      this.#look()
      this.#wait()
    })
  }

  #checkAdmin({ path, principals }: AuthFile): void {
    if (hasAdmin(principals, this.#options.clock.wallMs())) return
    throw new FatalError(
      'usage',
      `${path}: every admin of all keys in it has expired; "kv-server auth hash" makes a new one`,
    )
  }

  #warnOfNoAdmin(): void {
    const { clock, log } = this.#options
    if (hasAdmin(this.#principals, clock.wallMs())) return
    log.warn('the last admin of the auth file has expired: this node would not start again with it', {
      path: this.#file?.path ?? '',
    })
  }

  #look(): void {
    this.refresh()
    if (this.#expire()) {
      for (const changed of this.#onChange) changed()
      this.#warnOfNoAdmin()
    }
    const file = this.#file
    assert(file !== undefined, 'only a node with a file looks at it')
    try {
      if (!file.refresh()) return
      this.#checkAdmin(file)
      this.#rebuild(file.principals, this.#list)
      this.audit({ action: 'auth-file', who: '', from: '', outcome: 'ok', subject: file.path })
    } catch (error) {
      if (!(error instanceof FatalError)) throw error
      this.#options.log.error('the auth file was changed and cannot be used: who stood there before stays', {
        cause: error.message,
      })
      this.audit({
        action: 'auth-file',
        who: '',
        from: '',
        outcome: 'invalid',
        subject: file.path,
        reason: error.message,
      })
    }
  }
}

function unknown(message: string): KvError {
  return new KvError('unauthenticated', message, { outcome: 'not-applied' })
}
