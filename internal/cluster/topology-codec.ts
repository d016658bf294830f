import { Topology as TopologyMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { parseAddress, parseClusterId, parseEpoch, parseIncarnation, parseNodeId } from '../base/index.js'
import { type Topology, validateTopology } from '../slots/index.js'

export function topologyToMessage(topology: Topology): TopologyMessage {
  return {
    clusterId: topology.clusterId,
    epoch: BigInt(topology.epoch),
    replicationFactor: topology.replication.replicationFactor,
    readQuorum: topology.replication.readQuorum,
    writeQuorum: topology.replication.writeQuorum,
    virtualNodes: topology.virtualNodes,
    members: topology.members.map(({ id, incarnation, number, address, zone, weight, since }) => {
      return { id, incarnation, number, address, zone, weight, since: BigInt(since) }
    }),
    nextNumber: topology.nextNumber,
  }
}

/** Throws KvError `invalid-argument` that names what is wrong. */
export function topologyFromMessage(message: TopologyMessage): Topology {
  const { replicationFactor, readQuorum, writeQuorum, virtualNodes } = message
  return validateTopology({
    clusterId: parseClusterId(message.clusterId),
    epoch: parseEpoch(message.epoch),
    replication: { replicationFactor, readQuorum, writeQuorum },
    virtualNodes,
    members: message.members.map((member) => ({
      id: parseNodeId(member.id, 'members.id'),
      incarnation: parseIncarnation(member.incarnation, 'members.incarnation'),
      number: member.number,
      address: parseAddress(member.address, 'members.address'),
      zone: member.zone,
      weight: member.weight,
      since: parseEpoch(member.since, 'members.since'),
    })),
    nextNumber: message.nextNumber,
  })
}

export function encodeTopology(topology: Topology): Uint8Array {
  return TopologyMessage.encode(topologyToMessage(topology)).finish()
}

/** Throws when the bytes are no topology. */
export function decodeTopology(bytes: Uint8Array): Topology {
  return topologyFromMessage(TopologyMessage.decode(bytes))
}
