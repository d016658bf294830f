import type { Clock } from '@quorumkv/internal/env'
import type { ClusterSecret } from '../tls/cluster-secret.js'

/** How far the clocks of two nodes may be apart. */
const proofMsMax = 60_000

const shape = /^QuorumKV-Node ([a-z0-9-]{1,63}) (\d{1,15}) (\S+)$/

/**
 * By what a node proves in a call, as a client would make it, that it is one: an HMAC with the secret of the cluster over who it
 * is, whom it calls and when. It lets the caller look (figures, for dashboards), and nothing else. Who overhears it can do
 * nothing with it: it is good at one node, once.
 */
export class CallerProof {
  readonly #secret: ClusterSecret
  readonly #clock: Pick<Clock, 'wallMs'>
  /** So that no two proofs of this node are the same. */
  #shownMs = 0
  /** What was taken and could be shown again, by when that is over; the oldest first. Only nodes get anything in here. */
  readonly #taken = new Map<string, number>()

  constructor(secret: ClusterSecret, clock: Pick<Clock, 'wallMs'>) {
    this.#secret = secret
    this.#clock = clock
  }

  /** What `authorization` is to say in a call of this node, `nodeId`, to another. */
  show(nodeId: string, to: string): string {
    const atMs = Math.max(this.#clock.wallMs(), this.#shownMs + 1)
    this.#shownMs = atMs
    return `QuorumKV-Node ${nodeId} ${atMs} ${this.#secret.callProof(nodeId, to, atMs)}`
  }

  /** The id of the node that shows this to this one, `self`, for the first time; undefined: it is no node's. */
  nodeThatShows(authorization: string, self: string): string | undefined {
    const [, nodeId = '', atText = '', proof = ''] = shape.exec(authorization) ?? []
    const atMs = Number(atText)
    const nowMs = this.#clock.wallMs()
    if (nodeId === '' || Math.abs(nowMs - atMs) > proofMsMax) return undefined
    if (!this.#secret.provesCall(proof, nodeId, self, atMs)) return undefined
    this.#forget(nowMs)
    if (this.#taken.has(proof)) return undefined
    this.#taken.set(proof, nowMs + 2 * proofMsMax)
    return nodeId
  }

  #forget(nowMs: number): void {
    for (const [proof, untilMs] of this.#taken) {
      if (untilMs > nowMs) return
      this.#taken.delete(proof)
    }
  }
}
