import type { Clock } from '@quorumkv/internal/env'
import type { ClusterSecret } from '../tls/cluster-secret.js'

/** How far the clocks of two nodes may be apart, and for how long a proof that was overheard is worth anything. */
const proofMsMax = 60_000

const shape = /^QuorumKV-Node ([a-z0-9-]{1,63}) (\d{1,15}) (\S+)$/

/**
 * By what a node proves in a call, as a client would make it, that it is one: an HMAC with the secret of the cluster over who it
 * is and when it calls. It lets the caller look (figures, for dashboards), and nothing else; who overhears it hears
 * those figures anyway.
 */
export class CallerProof {
  readonly #secret: ClusterSecret
  readonly #clock: Pick<Clock, 'wallMs'>

  constructor(secret: ClusterSecret, clock: Pick<Clock, 'wallMs'>) {
    this.#secret = secret
    this.#clock = clock
  }

  /** What `authorization` is to say in a call of this node. */
  show(nodeId: string): string {
    const atMs = this.#clock.wallMs()
    return `QuorumKV-Node ${nodeId} ${atMs} ${this.#secret.callProof(nodeId, atMs)}`
  }

  /** The id of the node that shows this; undefined: it is no node's. */
  nodeThatShows(authorization: string): string | undefined {
    const [, nodeId = '', atText = '', proof] = shape.exec(authorization) ?? []
    const atMs = Number(atText)
    if (nodeId === '' || Math.abs(this.#clock.wallMs() - atMs) > proofMsMax) return undefined
    return this.#secret.provesCall(proof, nodeId, atMs) ? nodeId : undefined
  }
}
