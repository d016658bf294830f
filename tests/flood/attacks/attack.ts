import type { Field } from './field.js'

/** A server that asks nobody who he is; or one that asks its callers for tokens, and other nodes for the cluster's secret. */
export type Setup = 'open' | 'guarded'

/** So much of something: in `npm test`, and in `npm run test:flood`. */
export interface Extent {
  readonly short: number
  readonly long: number
}

/** One way to make a node too busy, too full or too confused to serve those who mean well. */
export interface Attack {
  /** Words joined by "-". */
  readonly name: string
  /** Undefined: `open`. */
  readonly setup?: Setup
  /** How many of whatever it sends or opens. */
  readonly size: Extent
  /** In the long form the node has two others, and one of them is started again while the attack lasts. */
  readonly amongNodes?: boolean
  /**
   * How long what has been built up is kept, in milliseconds. Undefined: the attack is over when all of it has been sent.
   */
  readonly holdMs?: Extent
  /**
   * What the node may hold for it, by the limits that it comes to: see `limits` and docs/limits.md. Besides, everybody
   * is allowed `slackBytes` of `verdict.ts`.
   */
  readonly mayHoldBytes: (size: number) => number
  /**
   * nghttp2 takes its leave of such a connection and reads no more of it, so that Node does not see its end: it goes with the
   * next ping that is not answered, `keepaliveTimeMs` and `keepaliveTimeoutMs` later. The short form does not wait for that.
   */
  readonly lingers?: boolean
  /** Does it, and returns when all has been sent and kept for long enough. What it opens is closed for it. */
  readonly run: (field: Field) => Promise<void>
}
