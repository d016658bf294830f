import type { Slot } from '@quorumkv/internal/base'
import type { Channel, Link, LinkHandlers, Network } from '@quorumkv/internal/env'
import { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { emptyPeerMessage } from '../../internal/replication/replicas/message-codec.js'
import { SimCluster } from '../sim/sim-cluster.js'

/** Changes messages on their way; what it returns is sent. */
export type Tamper = (bytes: Uint8Array, from: string, to: string, channel: Channel) => Uint8Array

/** A network on whose way messages are seen and changed. `host` is the node that it is given to. */
export function tamperedNetwork(network: Network, host: string, tamper: Tamper): Network {
  const tampered = (link: Link, channel: Channel): Link => {
    const other = link.remote.slice(0, link.remote.lastIndexOf(':'))
    return {
      remote: link.remote,
      proved: link.proved,
      start: (handlers: LinkHandlers) => link.start(handlers),
      send: (bytes) => link.send(tamper(bytes, host, other, channel)),
      close: (reason) => link.close(reason),
    }
  }
  return {
    connect: async (address, channel, timeoutMs) =>
      tampered(await network.connect(address, channel, timeoutMs), channel),
    listen: (address, accept) => network.listen(address, (link, channel) => accept(tampered(link, channel), channel)),
  }
}

/** So many of each kind. */
const sameKindMax = 12
const envelope = new Set(['hlcHi', 'hlcLo', 'epoch', 'wallMs'])

/** What a message is about: the names of its fields that say something. */
function kindOf(bytes: Uint8Array): string {
  const message: object = PeerMessage.decode(bytes)
  const empty: object = emptyPeerMessage()
  const said = (value: unknown): boolean => {
    if (value === undefined || value === 0 || value === '' || value === false) return false
    return (
      typeof value !== 'object' || value === null || !('length' in value) || (value as { length: number }).length > 0
    )
  }
  return Object.keys(empty)
    .filter((name) => !envelope.has(name) && said(message[name as keyof typeof message]))
    .join('+')
}

let recorded: Promise<readonly Uint8Array[]> | undefined

/**
 * Messages that nodes really send, of every kind that comes up in a cluster's life: it forms, serves, loses a member, gets it back,
 * grows and shrinks. They are the same each time, and recorded once.
 */
export function recordedTraffic(): Promise<readonly Uint8Array[]> {
  recorded ??= record()
  return recorded
}

async function record(): Promise<Uint8Array[]> {
  const byKind = new Map<string, Uint8Array[]>()
  const note: Tamper = (bytes) => {
    const kind = kindOf(bytes)
    const known = byKind.get(kind)
    if (known === undefined) byKind.set(kind, [bytes.slice()])
    else if (known.length < sameKindMax && bytes.length <= 16_384) known.push(bytes.slice())
    return bytes
  }
  const cluster = await SimCluster.start({
    seed: 'traffic',
    networkOf: (name, network) => tamperedNetwork(network, name, note),
    floorTuning: { horizonMs: 2_000, agreementMs: 2_000, intervalMs: 1_000 },
  })
  const put = async (from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++)
      await cluster.settle(cluster.put(i % 2 === 0 ? 'n1' : 'n2', `key ${i}`, `value ${i}`.repeat(1 + (i % 7))))
  }
  await put(0, 40)
  for (let i = 0; i < 10; i++) await cluster.settle(cluster.get('n1', `key ${i}`))
  await cluster.settle(cluster.delete('n1', 'key 1'))
  await cluster.scan('n2')
  cluster.crash('n3')
  await put(40, 60)
  await cluster.restart('n3')
  await cluster.world.advance(20_000)
  cluster.crash('n2')
  cluster.process('n2').restart()
  await cluster.lose(
    'n2',
    Array.from({ length: 2_000 }, (_, slot) => slot as Slot),
  )
  const back = await cluster.startNode('n2')
  await cluster.settle(back.ready())
  await cluster.world.advance(10_000)
  cluster.enlist('n4')
  await cluster.startNode('n4')
  await cluster.settle(cluster.node('n4').ready())
  await cluster.world.advance(30_000)
  return [...byKind.values()].flat()
}
