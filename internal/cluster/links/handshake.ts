import type { Founder as FounderMessage, Hello, Topology as TopologyMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import {
  type Address,
  type Incarnation,
  invalidArgument,
  KvError,
  limits,
  type NodeId,
  parseAddress,
  parseIncarnation,
  parseNodeId,
} from '../../base/index.js'
import type { PeerProof } from '../../env/index.js'
import {
  type Conduct,
  commonLevel,
  demandsAuthentication,
  goesBy,
  levelsText,
  parseLevels,
  parseWeight,
  parseZone,
  type ReplicationSettings,
  type Topology,
} from '../../slots/index.js'
import { farewell } from '../changes/objections.js'

/** What a node says of itself; enough to make it a member. */
export interface Founder extends Conduct {
  readonly id: NodeId
  readonly incarnation: Incarnation
  readonly address: Address
  readonly zone: string
  readonly weight: number
}

/** Whom a forming node has met, itself included, and which addresses have not answered yet. */
export interface FormationView {
  readonly met: readonly Founder[]
  readonly unmet: readonly Address[]
}

/** What a conversation begins with: who speaks, and the topology that it goes by where the other may not know it. */
export interface Greeting {
  readonly hello: Hello
  readonly topology?: TopologyMessage
}

export interface LocalNode extends Founder {
  /** Random, new at each start of the process. */
  readonly life: string
  readonly replication: ReplicationSettings
  readonly virtualNodes: number
}

/** Why a node will not talk to another. */
export type RefusalCode =
  | 'protocol'
  | 'id'
  | 'cluster'
  /** Others than this node's, both forming a cluster: either may be started again with others. */
  | 'settings'
  /** Others than those of the cluster that the node wants to join. */
  | 'settings-in-force'
  | 'not-a-member'
  | 'incarnation'
  | 'clock'
  /** It is not whom it has proved to be. */
  | 'identity'
  | 'wait'

export interface RefusedHello {
  readonly kind: 'refused'
  readonly code: RefusalCode
  readonly message: string
}

export type HelloVerdict =
  | { readonly kind: 'welcome'; readonly remote: Founder; readonly view: FormationView }
  | { readonly kind: 'self' }
  /** A member's name with an empty data directory: it may be taken back as a new incarnation. */
  | { readonly kind: 'returning'; readonly remote: Founder }
  /** Nobody that is known here, without a cluster: it may be taken in. */
  | { readonly kind: 'joining'; readonly remote: Founder }
  | RefusedHello

export function helloOf(local: LocalNode, topology: Topology | undefined, view: FormationView): Hello {
  return {
    levelMin: local.levels.min,
    levelMax: local.levels.max,
    authenticates: local.authenticates,
    nodeId: local.id,
    incarnation: local.incarnation,
    address: local.address,
    clusterId: topology?.clusterId ?? '',
    replicationFactor: local.replication.replicationFactor,
    readQuorum: local.replication.readQuorum,
    writeQuorum: local.replication.writeQuorum,
    virtualNodes: local.virtualNodes,
    zone: local.zone,
    weight: local.weight,
    met: view.met.map(({ id, incarnation, address, zone, weight, levels, authenticates }) => {
      const whom = { nodeId: id, incarnation, address, zone, weight }
      return { ...whom, levelMin: levels.min, levelMax: levels.max, authenticates }
    }),
    unmet: [...view.unmet],
    life: local.life,
  }
}

export function greetingOf(hello: Hello, topology: TopologyMessage | undefined): Greeting {
  return topology === undefined ? { hello } : { hello, topology }
}

/**
 * Why a hello must not be believed that comes from somebody who has proved who they are; undefined: it may be. The cluster is that
 * of the proof, or none yet, also where it was proved before the node joined one.
 */
export function judgeProof(proved: PeerProof | undefined, { nodeId, clusterId }: Hello): RefusedHello | undefined {
  if (proved === undefined) return undefined
  const refuse = (message: string): RefusedHello => ({ kind: 'refused', code: 'identity', message })
  if (nodeId !== proved.nodeId) return refuse(`it calls itself ${nodeId}, and has proved to be ${proved.nodeId}`)
  if (clusterId === '' || proved.clusterId === '' || clusterId === proved.clusterId) return undefined
  return refuse(`it calls itself a node of cluster ${clusterId}, and has proved to be one of ${proved.clusterId}`)
}

/** Decides whether to talk to the sender of a hello. Pure. */
export function judgeHello(local: LocalNode, topology: Topology | undefined, hello: Hello): HelloVerdict {
  let remote: Founder
  let view: FormationView
  try {
    remote = parseFounder(hello)
    if (hello.met.length + hello.unmet.length > limits.membersMax) {
      throw invalidArgument('hello.met', `more than ${limits.membersMax} nodes`)
    }
    const unmet = hello.unmet.map((address) => parseAddress(address, 'unmet'))
    view = { met: hello.met.map(parseFounder), unmet }
  } catch (error) {
    if (!(error instanceof KvError)) throw error
    return refused('protocol', error.message)
  }
  const apart = levelsApart(local, topology, remote)
  if (apart !== undefined) return refused('protocol', apart)
  if (remote.id === local.id) {
    if (hello.life === local.life) return { kind: 'self' }
    return refused('id', `the id ${local.id} is in use at ${local.address}`)
  }
  if (topology === undefined) {
    // A node of a running cluster says what its flags say, which may differ from its topology.
    const differ = hello.clusterId === '' ? foundersApart(local, hello) : undefined
    return differ === undefined ? { kind: 'welcome', remote, view } : refused('settings', differ)
  }
  return judgeAsMember(topology, remote, hello) ?? { kind: 'welcome', remote, view }
}

/** Why the software of two nodes does not fit together, in a sentence; undefined: it does. */
function levelsApart(local: LocalNode, topology: Topology | undefined, { id, levels }: Founder): string | undefined {
  const theirs = `the software of ${id} goes by ${levelsText(levels)}`
  if (topology === undefined) {
    if (commonLevel([local.levels, levels]) !== undefined) return undefined
    return `${theirs}, that of ${local.id} by ${levelsText(local.levels)}: no two releases so far apart form a cluster`
  }
  const { featureLevel, clusterId } = topology
  if (goesBy(levels, featureLevel)) return undefined
  const advice = levels.max < featureLevel ? 'it is too old' : 'it is too new: go through the releases between'
  return `${theirs}, and cluster ${clusterId} by level ${featureLevel}: ${advice}`
}

/** Founders are alike, so that a cluster is not open by a door that was forgotten. */
function foundersApart(local: LocalNode, hello: Hello): string | undefined {
  if (hello.authenticates !== local.authenticates) {
    const [demanding, other] = hello.authenticates ? [hello.nodeId, local.id] : [local.id, hello.nodeId]
    return `${demanding} has an --auth-file and ${other} has none: all founders of a cluster have one, or none has`
  }
  return settingsApart(local, hello, local.id)
}

function settingsApart(
  { replication, virtualNodes }: Pick<Topology, 'replication' | 'virtualNodes'>,
  hello: Hello,
  where: string,
): string | undefined {
  const { replicationFactor, readQuorum, writeQuorum } = replication
  const pairs: [flag: string, theirs: number, ours: number][] = [
    ['--replication-factor', hello.replicationFactor, replicationFactor],
    ['--read-quorum', hello.readQuorum, readQuorum],
    ['--write-quorum', hello.writeQuorum, writeQuorum],
    ['--virtual-nodes', hello.virtualNodes, virtualNodes],
  ]
  const apart = pairs.filter(([, theirs, ours]) => theirs !== ours)
  if (apart.length === 0) return undefined
  return apart
    .map(([flag, theirs, ours]) => `${flag} is ${theirs} at ${hello.nodeId} and ${ours} at ${where}`)
    .join('; ')
}

function judgeAsMember(topology: Topology, remote: Founder, hello: Hello): HelloVerdict | undefined {
  if (hello.clusterId !== '' && hello.clusterId !== topology.clusterId) {
    return refused('cluster', `it belongs to cluster ${hello.clusterId}, this node to ${topology.clusterId}`)
  }
  if (demandsAuthentication(topology) && !remote.authenticates) {
    return refused('settings-in-force', withoutAuthentication(topology))
  }
  const member = topology.members.find(({ id }) => id === remote.id)
  if (member === undefined) return judgeStranger(topology, remote, hello)
  if (member.incarnation === remote.incarnation) return undefined
  // Whoever belongs to the cluster already has a data directory of some life of the member, but not of this one.
  if (hello.clusterId !== '') {
    return refused(
      'incarnation',
      `${remote.id} goes by incarnation ${member.incarnation} here, not ${remote.incarnation}`,
    )
  }
  return { kind: 'returning', remote }
}

/** Why a node that lets anybody in cannot be a member of this cluster. */
export function withoutAuthentication({ clusterId }: Pick<Topology, 'clusterId'>): string {
  return `every member of cluster ${clusterId} demands authentication: the node needs an --auth-file`
}

function judgeStranger(topology: Topology, remote: Founder, hello: Hello): HelloVerdict {
  const { clusterId, removed } = topology
  if (hello.clusterId !== '') {
    const former = removed.find(({ incarnation }) => incarnation === remote.incarnation)
    const forgotten = `${remote.id} (incarnation ${remote.incarnation}) is no member of cluster ${clusterId} any more`
    return refused('not-a-member', former === undefined ? forgotten : farewell(former, topology))
  }
  const differ = settingsApart(topology, hello, `cluster ${clusterId}`)
  return differ === undefined ? { kind: 'joining', remote } : refused('settings-in-force', differ)
}

function refused(code: RefusalCode, message: string): HelloVerdict {
  return { kind: 'refused', code, message }
}

function parseFounder(message: FounderMessage): Founder {
  return {
    id: parseNodeId(message.nodeId, 'hello.nodeId'),
    incarnation: parseIncarnation(message.incarnation, 'hello.incarnation'),
    address: parseAddress(message.address, 'hello.address'),
    zone: parseZone(message.zone, 'hello.zone'),
    weight: parseWeight(message.weight, 'hello.weight'),
    levels: parseLevels({ min: message.levelMin, max: message.levelMax }, 'hello.levels'),
    authenticates: message.authenticates,
  }
}
