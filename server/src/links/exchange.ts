import type { PeerProof } from '@quorumkv/internal/env'

/** What a stream between two nodes tells whom it belongs to. */
export interface ExchangeHandlers {
  message(bytes: Buffer): void
  /** It is over, for good. Called exactly once, and nothing after it. */
  close(reason: string): void
}

/** One end of a stream of kv.peer.v1.Peer/Exchange: the caller's, or the called one's. */
export interface Exchange {
  /** Whom it goes to, for messages to people. */
  readonly remote: string
  /** Whom the other end has proved to be, as far as anything was to be proved. */
  readonly proved: PeerProof | undefined
  /** Must be called once, at once: nothing is read before. Calls `close` itself if the stream is over by then. */
  start(handlers: ExchangeHandlers): void
  /** Calls `taken` when the connection has taken the bytes, in order; not after it was closed. */
  send(message: Uint8Array, taken: () => void): void
  /** Ends the stream, and what belongs to it. Idempotent. */
  close(reason: string): void
}

export const exchangePath = '/kv.peer.v1.Peer/Exchange'
/** The metadata that says what a stream is for. */
export const channelKey = 'kv-channel'
/** The metadata by which both ends prove that they know the cluster's secret: see `ClusterSecret`. */
export const linkKeys = { node: 'kv-node', cluster: 'kv-cluster', nonce: 'kv-nonce', proof: 'kv-proof' } as const
