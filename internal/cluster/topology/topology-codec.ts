import {
  type AccessList as AccessMessage,
  type Handover as HandoverMessage,
  HandoverStep,
  MemberState,
  type PlannedChange as PlannedChangeMessage,
  PlannedKind,
  type RemovedMember as RemovedMemberMessage,
  type TopologyMember,
  Topology as TopologyMessage,
  Role as WireRole,
} from '@quorumkv/proto/kv/peer/v1/messages'
import {
  invalidArgument,
  parseAddress,
  parseClusterId,
  parseEpoch,
  parseIncarnation,
  parseNodeId,
} from '../../base/index.js'
import {
  type AccessList,
  type Handover,
  type Member,
  nobodyGranted,
  type PlannedChange,
  parseLevels,
  type RemovedMember,
  type Topology,
  validateTopology,
} from '../../slots/index.js'

const states = {
  joining: MemberState.JOINING,
  arrived: MemberState.ARRIVED,
  serving: MemberState.SERVING,
  leaving: MemberState.LEAVING,
  left: MemberState.LEFT,
} as const

const steps = { both: HandoverStep.BOTH, switch: HandoverStep.SWITCH } as const

const kinds = {
  decommission: PlannedKind.DECOMMISSION,
  remove: PlannedKind.REMOVE,
  reweight: PlannedKind.REWEIGHT,
  replace: PlannedKind.REPLACE,
} as const

const wireRoles = { read: WireRole.READ, write: WireRole.WRITE, admin: WireRole.ADMIN } as const

export function topologyToMessage(topology: Topology): TopologyMessage {
  return {
    clusterId: topology.clusterId,
    epoch: BigInt(topology.epoch),
    replicationFactor: topology.replication.replicationFactor,
    readQuorum: topology.replication.readQuorum,
    writeQuorum: topology.replication.writeQuorum,
    virtualNodes: topology.virtualNodes,
    members: topology.members.map((member) => {
      const { id, incarnation, number, address, zone, weight, since, state, levels, authenticates } = member
      const whom = { id, incarnation, number, address, zone, weight, since: BigInt(since), state: states[state] }
      return { ...whom, levelMin: levels.min, levelMax: levels.max, authenticates }
    }),
    nextNumber: topology.nextNumber,
    featureLevel: topology.featureLevel,
    forcedAt: BigInt(topology.forced?.at ?? 0),
    forcedFrom: BigInt(topology.forced?.from ?? 0),
    handover: topology.handover === undefined ? undefined : handoverToMessage(topology.handover),
    planned: topology.planned.map(plannedToMessage),
    removed: topology.removed.map(({ id, incarnation, epoch, by }) => {
      return { id, incarnation, epoch: BigInt(epoch), by: kinds[by] }
    }),
    access: topology.access.revision === 0 ? undefined : accessToMessage(topology.access),
  }
}

function handoverToMessage({ step, since, ring, changes }: Handover): HandoverMessage {
  return {
    step: steps[step],
    since: BigInt(since),
    ring: ring.map(({ id, weight }) => ({ id, weight })),
    changes: changes.map(plannedToMessage),
  }
}

function plannedToMessage(change: PlannedChange): PlannedChangeMessage {
  const weight = change.kind === 'reweight' ? change.weight : 0
  return { kind: kinds[change.kind], id: change.id, weight, by: change.kind === 'replace' ? change.by : '' }
}

function accessToMessage({ revision, grants }: AccessList): AccessMessage {
  return {
    revision: BigInt(revision),
    grants: grants.map(({ name, role, prefixes, tokenHash, createdAtMs, expiresAtMs }) => ({
      name,
      role: wireRoles[role],
      prefixes: prefixes.map((prefix) => Buffer.from(prefix)),
      tokenSha256: Buffer.from(tokenHash),
      createdAtMs: BigInt(createdAtMs),
      expiresAtMs: BigInt(expiresAtMs ?? 0),
    })),
  }
}

/** Throws KvError `invalid-argument` that names what is wrong. */
export function topologyFromMessage(message: TopologyMessage): Topology {
  const { replicationFactor, readQuorum, writeQuorum, virtualNodes } = message
  return validateTopology({
    clusterId: parseClusterId(message.clusterId),
    epoch: parseEpoch(message.epoch),
    replication: { replicationFactor, readQuorum, writeQuorum },
    featureLevel: message.featureLevel,
    virtualNodes,
    members: message.members.map(memberOf),
    nextNumber: message.nextNumber,
    handover: message.handover === undefined ? undefined : handoverOf(message.handover),
    planned: message.planned.map((change) => plannedOf(change, 'planned')),
    removed: message.removed.map(removedOf),
    forced:
      message.forcedAt === 0n
        ? undefined
        : { at: parseEpoch(message.forcedAt, 'forced.at'), from: parseEpoch(message.forcedFrom, 'forced.from') },
    access: message.access === undefined ? nobodyGranted : accessOf(message.access),
  })
}

function memberOf(member: TopologyMember): Member {
  return {
    id: parseNodeId(member.id, 'members.id'),
    incarnation: parseIncarnation(member.incarnation, 'members.incarnation'),
    number: member.number,
    address: parseAddress(member.address, 'members.address'),
    zone: member.zone,
    weight: member.weight,
    since: parseEpoch(member.since, 'members.since'),
    state: named(states, member.state, 'members.state'),
    levels: parseLevels({ min: member.levelMin, max: member.levelMax }, 'members.levels'),
    authenticates: member.authenticates,
  }
}

function handoverOf({ step, since, ring, changes }: HandoverMessage): Handover {
  return {
    step: named(steps, step, 'handover.step'),
    since: parseEpoch(since, 'handover.since'),
    ring: ring.map(({ id, weight }) => ({ id: parseNodeId(id, 'handover.ring.id'), weight })),
    changes: changes.map((change) => plannedOf(change, 'handover.changes')),
  }
}

function plannedOf(message: PlannedChangeMessage, field: string): PlannedChange {
  const id = parseNodeId(message.id, `${field}.id`)
  const kind = named(kinds, message.kind, `${field}.kind`)
  switch (kind) {
    case 'reweight':
      return { kind, id, weight: message.weight }
    case 'replace':
      return { kind, id, by: parseNodeId(message.by, `${field}.by`) }
    default:
      return { kind, id }
  }
}

function removedOf(message: RemovedMemberMessage): RemovedMember {
  const by = named(kinds, message.by, 'removed.by')
  if (by === 'reweight') throw invalidArgument('removed.by', `${by} takes nobody away`)
  return {
    id: parseNodeId(message.id, 'removed.id'),
    incarnation: parseIncarnation(message.incarnation, 'removed.incarnation'),
    epoch: parseEpoch(message.epoch, 'removed.epoch'),
    by,
  }
}

/** The bytes are copies: the message may lie in a larger buffer, and a list is kept for long. */
function accessOf({ revision, grants }: AccessMessage): AccessList {
  return {
    revision: Number(revision),
    grants: grants.map(({ name, role, prefixes, tokenSha256, createdAtMs, expiresAtMs }) => ({
      name,
      role: named(wireRoles, role, 'access.grants.role'),
      prefixes: prefixes.map((prefix) => Uint8Array.from(prefix)),
      tokenHash: Uint8Array.from(tokenSha256),
      createdAtMs: Number(createdAtMs),
      expiresAtMs: expiresAtMs === 0n ? undefined : Number(expiresAtMs),
    })),
  }
}

/** What a number on the wire stands for; what is not known, from a later version, is refused rather than guessed. */
function named<Name extends string>(numbers: Readonly<Record<Name, number>>, value: number, field: string): Name {
  for (const name in numbers) if (numbers[name] === value) return name
  throw invalidArgument(field, `${value} is unknown`)
}

export function encodeTopology(topology: Topology): Uint8Array {
  return TopologyMessage.encode(topologyToMessage(topology)).finish()
}

/** Throws when the bytes are no topology. */
export function decodeTopology(bytes: Uint8Array): Topology {
  return topologyFromMessage(TopologyMessage.decode(bytes))
}
