import type { Channel } from '@quorumkv/internal/env'

/** What goes over the links of one channel, in both directions; counts since the node started. */
export interface LinkTraffic {
  /** Links that are open now. */
  links: number
  messagesSent: number
  messagesReceived: number
  /** Of messages, without what HTTP/2 adds. */
  bytesSent: number
  bytesReceived: number
}

export type Traffic = Readonly<Record<Channel, LinkTraffic>>

function noTraffic(): LinkTraffic {
  return { links: 0, messagesSent: 0, messagesReceived: 0, bytesSent: 0, bytesReceived: 0 }
}

/** Before there were any links. */
export function freshTraffic(): Traffic {
  return { requests: noTraffic(), gossip: noTraffic(), bulk: noTraffic() }
}
