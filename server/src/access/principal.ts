import { KvError, startsWith } from '@quorumkv/internal/base'
import type { Role } from '@quorumkv/internal/slots'
import type { RateLimit } from '../limits/rate-limit.js'

/**
 * How a principal became one. `cluster`: the members have agreed on it; `file`: it stands in this node's own file; `node`: it is another
 * node of the cluster; `anyone`: nobody is asked who they are.
 */
export type PrincipalSource = 'cluster' | 'file' | 'node' | 'anyone'

export interface PrincipalOptions {
  readonly name: string
  readonly role: Role
  /** None: all keys. */
  readonly prefixes: readonly Uint8Array[]
  readonly source: PrincipalSource
  /** Unix milliseconds. Undefined: never. */
  readonly expiresAtMs: number | undefined
  /** Undefined: it may go as fast as it can. */
  readonly rate?: RateLimit | undefined
}

/**
 * Who calls, and what they may do. There is one object for a principal at a node for as long as nothing about it changes, whatever
 * else changes: what is counted for each of them may hang on it.
 */
export class Principal {
  readonly name: string
  readonly role: Role
  readonly source: PrincipalSource
  readonly expiresAtMs: number | undefined
  readonly mayWrite: boolean
  readonly mayAdminister: boolean
  /** It may do with every key what can be done with keys, so that none has to be looked at. */
  readonly unrestricted: boolean
  /** How fast it may go at this node; undefined: as fast as it can. */
  readonly rate: RateLimit | undefined
  readonly #prefixes: readonly Uint8Array[]
  /** Why it is nobody any more: its calls that run end. Empty: it is somebody. */
  over: string = ''

  constructor({ name, role, prefixes, source, expiresAtMs, rate }: PrincipalOptions) {
    this.name = name
    this.role = role
    this.source = source
    this.expiresAtMs = expiresAtMs
    this.mayWrite = role !== 'read'
    this.mayAdminister = role === 'admin'
    this.unrestricted = this.mayWrite && prefixes.length === 0
    this.rate = rate
    this.#prefixes = prefixes
  }

  /** Copies of the prefixes of its keys; none: all keys. */
  get prefixes(): readonly Uint8Array[] {
    return this.#prefixes.map((prefix) => Uint8Array.from(prefix))
  }

  /** Whether it may use a key; or, of the prefix of many, each of them. */
  covers(key: Uint8Array): boolean {
    const prefixes = this.#prefixes
    if (prefixes.length === 0) return this.source !== 'node'
    for (let i = 0; i < prefixes.length; i++) if (startsWith(key, prefixes[i]!)) return true
    return false
  }

  /** Throws `permission-denied`. */
  checkKey(key: Uint8Array): void {
    if (!this.covers(key)) throw denied(`${this.name} may not use this key`)
  }

  /** Of a scan. Throws `permission-denied`. */
  checkPrefix(prefix: Uint8Array): void {
    if (!this.covers(prefix)) throw denied(`${this.name} may not use all keys with this prefix`)
  }

  /** Throws `permission-denied`. */
  checkRole(role: Role): void {
    const may = role === 'read' || (role === 'write' ? this.mayWrite : this.mayAdminister)
    if (!may) throw denied(`${this.name} may ${this.role}, and this takes the role ${role}`)
  }

  /** What runs for long asks again and again. Throws `unauthenticated` once it is nobody any more. */
  checkValid(): void {
    if (this.over !== '') throw new KvError('unauthenticated', this.over, { outcome: 'not-applied' })
  }
}

/** Whoever calls a node that does not ask who they are: all of them together go by one rate. */
export function anyonePrincipal(rate: RateLimit | undefined): Principal {
  return new Principal({ name: 'anyone', role: 'admin', prefixes: [], source: 'anyone', expiresAtMs: undefined, rate })
}

/** The same without a rate. */
export const anyone: Principal = anyonePrincipal(undefined)

/**
 * Another node of the cluster. It may look at this one, and use no key.
 */
export function nodePrincipal(id: string): Principal {
  return new Principal({ name: `node ${id}`, role: 'read', prefixes: [], source: 'node', expiresAtMs: undefined })
}

/** A principal may not do something. */
export function denied(message: string): KvError {
  return new KvError('permission-denied', message, { outcome: 'not-applied' })
}
