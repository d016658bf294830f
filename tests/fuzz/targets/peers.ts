import { AssertionError, FatalError, type Slot } from '@quorumkv/internal/base'
import type { Channel, Link } from '@quorumkv/internal/env'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { ItemReader, itemKind } from '@quorumkv/internal/replication'
import { allSlots } from '@quorumkv/internal/slots'
import { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { decodeMessage } from '../../../internal/replication/replicas/message-codec.js'
import { toHandover } from '../../../server/src/calls/topology-messages.js'
import { SimCluster } from '../../sim/sim-cluster.js'
import { mutate } from '../mutate.js'
import { Fault, type OpenTarget, type Target } from '../target.js'
import { recordedTraffic, type Tamper, tamperedNetwork } from '../traffic.js'
import { isDecodeError } from './messages.js'

/** A node that was told by its peers, in words that make sense, that it has no place among them has reason to end. */
function isDismissal(error: Error): boolean {
  return error instanceof FatalError && (error.reason === 'refused' || error.reason === 'decommissioned')
}

/** Throws what a node has ended with, where nobody may end it with that. */
function checkEnds(cluster: SimCluster): void {
  for (const error of cluster.fatal.values()) if (!isDismissal(error)) throw error
}

const channels: readonly Channel[] = ['requests', 'gossip', 'bulk']

/** The records of a node, as text. */
function recordsOf(cluster: SimCluster, name: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const slot of allSlots()) {
    cluster.node(name).localStore?.scanSlot(slot as Slot, ({ key, hi, lo, node, value }) => {
      found.set(Buffer.from(key).toString('latin1'), `${hi}/${lo}/${node} ${Buffer.from(value).toString('latin1')}`)
    })
  }
  return found
}

/** The keys that a message may change as a write of a member, read once more by themselves. */
function keysIn(input: Uint8Array): string[] {
  const keys: string[] = []
  try {
    for (const item = new ItemReader(decodeMessage(input).items); item.next(); ) {
      if (item.kind === itemKind.write) keys.push(Buffer.from(item.record!.key).toString('latin1'))
    }
  } catch (error) {
    if (!isDecodeError(error) && !(error instanceof Error && error.name === 'RecordFormatError')) throw error
    return []
  }
  return keys
}

const honest = Array.from({ length: 20 }, (_, i) => `honest ${i}`)

async function freshCluster(seed: string, tamper?: Tamper): Promise<SimCluster> {
  const cluster = await SimCluster.start({
    seed,
    floorTuning: { horizonMs: 2_000, agreementMs: 2_000, intervalMs: 500 },
    ...(tamper === undefined ? {} : { networkOf: (name, network) => tamperedNetwork(network, name, tamper) }),
  })
  for (const key of honest) await cluster.settle(cluster.put('n1', key, `value of ${key}`))
  await cluster.world.advance(1_000)
  return cluster
}

/** Whom a case pretends to be: half of them nobody, who sends whatever comes to mind; the others a member that has greeted. */
interface Case {
  readonly asMember: boolean
  readonly channel: Channel
  readonly message: Uint8Array
}

function caseOf(input: Uint8Array): Case {
  const head = input[0] ?? 0
  return { asMember: (head & 1) === 1, channel: channels[(head >>> 1) % 3]!, message: input.subarray(1) }
}

/** What a node says first, and by whom it is said: the greeting of a member, in a life of its process that nobody knows. */
function greetingOf(cluster: SimCluster): Uint8Array {
  const { topology } = cluster.node('n1')
  const member = topology!.members.find(({ id }) => id === 'n3')!
  const { replication, virtualNodes, clusterId } = topology!
  const empty = PeerMessage.decode(new Uint8Array(0))
  const { id: nodeId, incarnation, address, zone, weight, levels } = member
  const hello = {
    nodeId,
    incarnation,
    address,
    clusterId,
    ...replication,
    virtualNodes,
    zone,
    weight,
    levelMin: levels.min,
    levelMax: levels.max,
    authenticates: false,
  }
  return PeerMessage.encode({
    ...empty,
    epoch: topology!.epoch,
    hello: { ...hello, met: [], unmet: [], life: 'another' },
  }).finish()
}

async function openLinks(): Promise<OpenTarget> {
  const corpus = await recordedTraffic()
  let cluster = await freshCluster('links')
  let before = recordsOf(cluster, 'n1')
  let mayBe = new Set<string>()
  let member = false
  let opened = 0
  const again = async (): Promise<void> => {
    cluster = await freshCluster(`links ${++opened}`)
    before = recordsOf(cluster, 'n1')
    mayBe = new Set()
    member = false
  }
  const check = (): void => {
    checkEnds(cluster)
    const found = recordsOf(cluster, 'n1')
    // As a member it may have said that a record, a floor or a topology is so, and was right to be believed.
    for (const [key, shown] of before)
      if (!member && found.get(key) !== shown) throw new Fault(`the record ${key} has changed`)
    for (const key of found.keys()) if (!before.has(key) && !mayBe.has(key)) throw new Fault(`there is a record ${key}`)
  }
  return {
    make: (random) => Buffer.concat([Uint8Array.of(random.below(6)), mutate(random, corpus)]),
    run: async (input) => {
      if (cluster.fatal.size > 0) await again()
      const { asMember, channel, message } = caseOf(input)
      const { world } = cluster
      const { network } = world.process('stranger').life
      let closed = false
      let answers = 0
      const link: Link = await world.settle(network.connect(cluster.address('n1'), channel, 1_000))
      link.start({ message: () => void answers++, drain: () => undefined, close: () => (closed = true) })
      if (asMember) {
        member = true
        for (const key of keysIn(message)) mayBe.add(key)
        link.send(greetingOf(cluster))
      }
      link.send(message)
      await world.advance(3)
      link.close('done')
      checkEnds(cluster)
      return answers > (asMember ? 1 : 0) && !closed ? 'taken' : 'refused'
    },
    settle: async () => {
      if (cluster.fatal.size > 0) await again()
      await cluster.world.advance(2_000)
      check()
      // What comes next is judged from here: a member may have spoken.
      await again()
    },
  }
}

/** Messages on links that others have opened to a node of three, from nobody and from who claims to be a member. */
export const peerLink: Target = { name: 'peer-link', share: 22, keptBytesPerCase: 200, open: openLinks }

/**
 * One node of three whose messages are garbled on their way, requests, replies and gossip alike, while clients work with the
 * other two. A garbled message may well make sense, so nothing is said of what they store; none of them may end.
 */
async function openBetween(): Promise<OpenTarget> {
  /** Undefined: what is said arrives as it is. */
  let garble: SimRandom | undefined
  const garbled: Tamper = (bytes, from) => {
    if (garble === undefined || from !== 'n3' || garble.chance(0.7)) return bytes
    return mutate(garble, [bytes])
  }
  let cluster = await freshCluster('between', garbled)
  let opened = 0
  let turn = 0
  const again = async (): Promise<void> => {
    garble = undefined
    cluster = await freshCluster(`between ${++opened}`, garbled)
  }
  const works: readonly (() => Promise<unknown>)[] = [
    () => cluster.put('n1', `case ${turn % 50}`, 'value', 'quorum', 300),
    () => cluster.get('n1', honest[turn % honest.length]!, 'all', 300),
    () => cluster.get('n2', `case ${turn % 50}`, 'quorum', 300),
    () => cluster.put('n2', `case ${turn % 50}`, 'v'.repeat(500), 'all', 300),
    () => cluster.delete('n1', `case ${turn % 50}`, 300),
    () => cluster.world.advance(500),
  ]
  return {
    // The input is what the garbling follows from: what is garbled is what the node says meanwhile.
    make: (random) => random.bytes(12),
    run: async (input) => {
      if (cluster.fatal.size > 0 || cluster.node('n3').phase !== 'serving') await again()
      garble = new SimRandom(Buffer.from(input).toString('hex'))
      turn++
      let verdict: 'taken' | 'refused' = 'taken'
      const working = works[input[0]! % works.length]!().catch((error: unknown) => {
        if (error instanceof Error && error.name === 'KvError') verdict = 'refused'
        else throw error
      })
      await (input[0]! % works.length === 5 ? working : cluster.world.settle(working))
      garble = undefined
      checkEnds(cluster)
      // Whoever was asked shows what it has been told: a number that is none breaks those who show it.
      for (const name of cluster.names) toHandover(cluster.node(name))
      return verdict
    },
    settle: async () => {
      garble = undefined
      await cluster.world.advance(1_000)
      checkEnds(cluster)
      for (const error of cluster.fatal.values()) if (error instanceof AssertionError) throw error
    },
  }
}

export const peerBetween: Target = { name: 'peer-between', share: 16, keptBytesPerCase: 1_000, open: openBetween }
