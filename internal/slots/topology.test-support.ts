import { createHash } from 'node:crypto'
import type { Address, ClusterId, Epoch, Incarnation, NodeId } from '../base/index.js'
import { atRest, type Member, type MemberState, softwareLevels, type Topology } from './index.js'

function hex(text: string): string {
  return createHash('md5').update(text).digest('hex')
}

/** A member as a test needs it; the rest follows from its id and position. */
export interface MemberSketch {
  readonly id: string
  readonly weight?: number
  readonly zone?: string
  readonly state?: MemberState
}

export function topologyOf(
  sketches: readonly MemberSketch[],
  replicationFactor: number = 3,
  virtualNodes: number = 150,
): Topology {
  const quorum = Math.floor(replicationFactor / 2) + 1
  const members = sketches
    .map(
      ({ id, weight = 1, zone = '', state = 'serving' }, i): Member => ({
        id: id as NodeId,
        incarnation: hex(id) as Incarnation,
        number: i + 1,
        address: `${id}:50051` as Address,
        zone,
        weight,
        since: 1 as Epoch,
        state,
        levels: softwareLevels,
        authenticates: false,
      }),
    )
    .sort((a, b) => (a.id < b.id ? -1 : 1))
  return {
    clusterId: hex('cluster') as ClusterId,
    epoch: 1 as Epoch,
    replication: { replicationFactor, readQuorum: replicationFactor - quorum + 1, writeQuorum: quorum },
    virtualNodes,
    members,
    nextNumber: members.length + 1,
    ...atRest,
  }
}
