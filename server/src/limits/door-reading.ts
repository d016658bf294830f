/** What is counted at one door of a node: who is there, and who was shown out. */
export interface DoorReading {
  readonly kind: 'grpc' | 'http'
  /** Connections that are open. */
  readonly connections: number
  /** Connections that were closed at once, as there were too many. */
  readonly refused: number
  /** Calls or connections that were cut off as their other end took nothing, or did not end what it had begun to send. */
  readonly cut: number
  /** Calls under way, those of other nodes included. Undefined: they are not counted here. */
  readonly calls?: number
  /** Handshakes of TLS that have failed. Undefined: TLS is not spoken. */
  readonly handshakesFailed?: number
  /** Bytes of messages that have not come to their end. Undefined: as `calls`. */
  readonly receivedBytes?: number
}
