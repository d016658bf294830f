import type { CallOptions, Key } from '../types.js'

/** What a principal may do; each includes the one before. */
export type Role = 'read' | 'write' | 'admin'

/** Somebody who may call, where nodes ask their callers who they are. */
export interface PrincipalInfo {
  readonly name: string
  readonly role: Role
  /** Its keys begin with one of these; none: all keys. */
  readonly prefixes: readonly Uint8Array[]
  /** Undefined: unknown. */
  readonly createdAt: Date | undefined
  /** Undefined: never. */
  readonly expiresAt: Date | undefined
  /** It stands in the auth file of the node that answered, and can be revoked only there. */
  readonly inFile: boolean
}

/** Who may call. */
export interface AccessOverview {
  /** Of what the members have agreed on: one more with each change. */
  readonly revision: number
  readonly principals: readonly PrincipalInfo[]
  /** Members that let in anybody, because they were started without an auth file. */
  readonly openMembers: readonly string[]
}

/** What a new principal may do. */
export interface NewPrincipal extends CallOptions {
  readonly role: Role
  /** Its keys begin with one of these; none: all keys. None of them may be empty. */
  readonly prefixes?: readonly Key[] | undefined
  /** From then on it is nobody any more. Default: never. */
  readonly expiresAt?: Date | undefined
}

/** A principal that was made, with its token: the only time that anybody sees it. */
export interface CreatedPrincipal {
  readonly name: string
  readonly token: string
  readonly revision: number
}
