import type { ErrorCode, WriteOutcome } from '@quorumkv/internal/base'
import type { Consistency } from '@quorumkv/internal/replication'

/*
 * What a play consists of, as the parser hands it to the stage. README.md in this folder describes the language.
 */

/** Something to be read or written, as a client asks for it. */
export type Request =
  | {
      readonly kind: 'put'
      readonly key: string
      readonly value: string
      readonly ttlMs: number | undefined
      readonly returnPrevious: boolean
      readonly level: Consistency
      readonly withinMs: number
    }
  | { readonly kind: 'get' | 'delete'; readonly key: string; readonly level: Consistency; readonly withinMs: number }
  | { readonly kind: 'scan'; readonly prefix: string; readonly level: Consistency; readonly withinMs: number }

/** What a write replaced: a value that was asked for, something (a delete tells no more), or nothing. */
export type Replaced = { readonly value: string } | 'something' | 'nothing' | 'unknown'

/** What the client is told. `version` is the name of a version: the first mention names it, later ones must be equal. */
export type Expectation =
  | { readonly kind: 'ok'; readonly version: string | undefined; readonly replaced: Replaced | undefined }
  | { readonly kind: 'value'; readonly value: string; readonly version: string | undefined }
  | { readonly kind: 'absent' }
  | { readonly kind: 'entries'; readonly entries: ReadonlyMap<string, string> }
  | { readonly kind: 'error'; readonly codes: readonly ErrorCode[]; readonly outcome: WriteOutcome | undefined }
  | { readonly kind: 'pending' }

export interface Asked {
  readonly client: string
  readonly node: string
  readonly request: Request
}

/** What a node's own store holds for a key. */
export type Held =
  | { readonly kind: 'value'; readonly value: string; readonly version: string | undefined }
  /** A tombstone. */
  | { readonly kind: 'deleted'; readonly version: string | undefined }
  /** It knows only that whatever it had is deleted: the tombstone has gone, the slot's floor is above it. */
  | { readonly kind: 'collected' }
  /** It has never heard of the key, and knows nothing of the past of its slot. */
  | { readonly kind: 'absent' }

/** What can be looked at at any moment, and waited for with `eventually`. */
export type Check =
  | { readonly kind: 'disk'; readonly node: string; readonly key: string; readonly held: Held }
  /** All nodes that run hold the same record of the key, byte for byte. */
  | { readonly kind: 'agree'; readonly key: string }
  | { readonly kind: 'sees'; readonly node: string; readonly other: string; readonly liveness: 'alive' | 'down' }
  | { readonly kind: 'connected' }
  | { readonly kind: 'ended'; readonly node: string; readonly reason: string }
  /** The log of the node's present life has a warning, an error or a notice with this text. */
  | { readonly kind: 'says'; readonly node: string; readonly text: string }
  | { readonly kind: 'lost-slots'; readonly node: string; readonly count: number | 'all' }
  /** How many writes one node keeps for another. */
  | { readonly kind: 'hints'; readonly holder: string; readonly owner: string; readonly count: number | 'some' }
  | { readonly kind: 'order'; readonly lower: string; readonly higher: string }

/** A kind of message between nodes, of one key or of any, one way. */
export interface MessagePattern {
  readonly message: string
  readonly key: string | undefined
  readonly from: string
  readonly to: string
}

export interface ClusterSettings {
  readonly nodes: number
  readonly replicationFactor: number
  readonly readQuorum: number
  readonly writeQuorum: number
  readonly maxClockDriftMs: number
  /** Everything that the play leaves to chance; undefined: each performance draws its own. */
  readonly seed: string | undefined
  /** How often it is performed where nobody says otherwise; less than usual for a play that takes long. */
  readonly times: number
}

export type Action =
  | { readonly kind: 'cluster'; readonly settings: ClusterSettings }
  | { readonly kind: 'ask'; readonly asked: Asked; readonly expected: Expectation }
  | { readonly kind: 'begin'; readonly asked: Asked; readonly name: string }
  | { readonly kind: 'outcome'; readonly name: string; readonly expected: Expectation }
  | { readonly kind: 'check'; readonly check: Check }
  | { readonly kind: 'eventually'; readonly withinMs: number; readonly check: Check }
  /** The same question again and again until the answer is the expected one. */
  | {
      readonly kind: 'eventually-ask'
      readonly withinMs: number
      readonly asked: Asked
      readonly expected: Expectation
    }
  | { readonly kind: 'after'; readonly ms: number }
  | { readonly kind: 'until'; readonly pattern: MessagePattern; readonly arrived: boolean }
  | { readonly kind: 'partition'; readonly groups: readonly (readonly string[])[] }
  | { readonly kind: 'cut'; readonly from: string; readonly to: string }
  | { readonly kind: 'heal' }
  /** `from` undefined: both ways between `to` and everybody. */
  | { readonly kind: 'delay'; readonly from: string | undefined; readonly to: string; readonly ms: number }
  | { readonly kind: 'intercept'; readonly how: 'lose' | 'hold'; readonly pattern: MessagePattern }
  | { readonly kind: 'kill' | 'stop' | 'pause' | 'resume'; readonly node: string }
  | { readonly kind: 'wipe' | 'lose-records' | 'copy-disk' | 'restore-disk'; readonly node: string }
  /** `tearing`: of what was not synced some is kept, some lost and some torn; otherwise all of it is lost. */
  | { readonly kind: 'power'; readonly node: string; readonly tearing: boolean }
  | { readonly kind: 'start'; readonly node: string; readonly wait: boolean }
  | { readonly kind: 'clock'; readonly node: string; readonly skewMs: number }
  | { readonly kind: 'drive'; readonly node: string; readonly fault: 'full' | 'room' | 'sync-fails' }
  | { readonly kind: 'drive-slow'; readonly node: string; readonly ms: number }

export interface Statement {
  /** From 1. */
  readonly line: number
  /** The line itself, without blanks around it. */
  readonly text: string
  readonly action: Action
}

export interface Play {
  /** The file's path, as messages name it. */
  readonly file: string
  /** Its first comment line. */
  readonly title: string
  readonly statements: readonly Statement[]
}
