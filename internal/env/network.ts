/** What a connection is for; each kind travels apart, so that bulk data cannot starve a heartbeat. */
export type Channel = 'requests' | 'gossip' | 'bulk'

export interface LinkHandlers {
  /** One whole message. The bytes belong to the receiver. */
  message(bytes: Uint8Array): void
  /** The send buffer has room again after `send` returned false. */
  drain(): void
  /** The link is gone, for good; called exactly once, also after our own `close`. No `message` follows. */
  close(reason: string): void
}

/** Whom the other end of a link has proved to be, before the link was handed over. */
export interface PeerProof {
  readonly nodeId: string
  /** Empty: it belonged to no cluster then. */
  readonly clusterId: string
}

/** A two-way, ordered stream of messages to another node. It loses nothing while it lives; it may break at any time. */
export interface Link {
  /** Where it goes, for messages to people. */
  readonly remote: string
  /** Undefined: nobody had to prove anything, and who it is has to be believed. */
  readonly proved: PeerProof | undefined
  /** Must be called once, at once, before anything can arrive. */
  start(handlers: LinkHandlers): void
  /**
   * Takes one message of at most `limits.messageBytesMax` bytes; the bytes must not change afterwards. Returns false
   * when the buffer is past its mark: the message is still taken, but wait for `drain` before sending more.
   * On a closed link it does nothing and returns false.
   */
  send(message: Uint8Array): boolean
  close(reason: string): void
}

export interface Listener {
  /** The address that was bound, with the real port. */
  readonly address: string
  close(): Promise<void>
}

/** Connections between nodes. */
export interface Network {
  /** Resolves when the link is open; rejects when it cannot be opened within `timeoutMs`. */
  connect(address: string, channel: Channel, timeoutMs: number): Promise<Link>
  /** Takes links from other nodes; `accept` must call `link.start` before it returns. */
  listen(address: string, accept: (link: Link, channel: Channel) => void): Promise<Listener>
}
