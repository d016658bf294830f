import { Hello, type PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { beforeEach, describe, expect, test } from 'vitest'
import { type Address, Instruments, limits, type NodeId, parseNodeId } from '../../base/index.js'
import { silentLog } from '../../env/index.js'
import { SimWorld } from '../../env-sim/index.js'
import { zeroVersion } from '../../hlc/index.js'
import type { PeerLink } from '../../replication/index.js'
import type { Founder } from '../links/handshake.js'
import { gossipToMessage } from './gossip-codec.js'
import { GossipLinks } from './gossip-links.js'

const at = (name: string): Address => `${name}:1` as Address

function gossip(seq: number): Partial<PeerMessage> {
  const head = { kind: 'ping' as const, seq, number: 1, refutation: 1, address: at('a'), target: 2 }
  return { gossip: gossipToMessage({ ...head, rumours: [], digest: [], wanted: [] }) }
}

/** One node that takes gossip; it welcomes whoever says that it is a member. */
class End {
  readonly id: NodeId
  readonly links: GossipLinks
  readonly heard: number[] = []
  /** Where what was heard came from. */
  readonly from: string[] = []
  readonly opened: string[] = []
  onMessage: (from: NodeId, link: PeerLink) => void = () => {}

  constructor(world: SimWorld, name: string, members: ReadonlySet<string>, life = 'l1') {
    this.id = parseNodeId(name)
    const { clock, random, network } = world.process(name).life
    const greeting = { hello: { ...Hello.decode(new Uint8Array()), nodeId: name, life } }
    const judge = (hello: { nodeId: string }) => {
      const remote = { id: parseNodeId(hello.nodeId) } as Founder
      if (!members.has(hello.nodeId)) return { kind: 'refused', code: 'not-a-member', message: 'no' } as const
      return { kind: 'welcome', remote, view: { met: [], unmet: [] } } as const
    }
    const options = {
      ...{ clock, random, log: silentLog, probeIntervalMs: 1_000, probeTimeoutMs: 500 },
      network: {
        ...network,
        connect: (...args: Parameters<typeof network.connect>) => {
          this.opened.push(args[0])
          return network.connect(...args)
        },
      },
      instruments: new Instruments(() => 0),
      envelope: { hlc: () => zeroVersion, epoch: () => 1 },
    }
    this.links = new GossipLinks(options, {
      greeting: () => greeting,
      judge,
      greetedBy: ({ hello }) => (members.has(hello.nodeId) ? greeting : { code: 'not-a-member', message: 'no' }),
      message: (from, message, link) => {
        if (message.gossip === undefined) return undefined
        this.heard.push(message.gossip.seq)
        this.from.push(from)
        this.onMessage(from, link)
        return undefined
      },
      guard: (run) => void run,
    })
    void network.listen(at(name), (link) => this.links.accept(link))
  }
}

let world: SimWorld
let a: End
let b: End
const members = new Set(['a', 'b'])

beforeEach(async () => {
  world = new SimWorld({ seed: 'gossip links' })
  a = new End(world, 'a', members)
  b = new End(world, 'b', members)
  await world.advance(10)
})

function ask(seq: number): void {
  a.links.send(b.id, at('b'), gossip(seq), true)
}

describe('links for gossip', () => {
  test('are opened by what there is to say, which waits for them, and serve both directions', async () => {
    ask(1)
    ask(2)
    await world.advance(50)
    expect(b.heard).toEqual([1, 2])
    expect(b.from).toEqual(['a', 'a'])
    b.links.send(a.id, at('a'), gossip(3), false)
    await world.advance(50)
    expect(a.heard).toEqual([3])
    expect([a.opened, b.opened]).toEqual([['b:1'], []])
  })

  test('hold no more than a few messages while they open, the newest', async () => {
    for (let seq = 1; seq <= 3 * limits.gossipWaitingMax; seq++) ask(seq)
    await world.advance(50)
    expect(b.heard).toHaveLength(limits.gossipWaitingMax)
    expect(b.heard.at(-1)).toBe(3 * limits.gossipWaitingMax)
  })

  test('take no more than so many messages a second from one member', async () => {
    for (let i = 0; i < 4; i++) {
      for (let seq = 1; seq <= limits.gossipReceivedPerSecondMax; seq++) {
        a.links.send(b.id, at('b'), gossip(seq), false)
        if (seq % 10 === 0) await world.advance(1)
      }
    }
    expect(world.nowMs).toBeLessThan(1_000)
    expect(b.heard.length).toBeLessThanOrEqual(limits.gossipReceivedPerSecondMax)
    await world.advance(1_000)
    ask(7)
    await world.advance(10)
    expect(b.heard.at(-1)).toBe(7)
  })

  test('are closed when nothing was said for long, and opened again when there is something to say', async () => {
    ask(1)
    await world.advance(limits.gossipIdleMs - 1_000)
    a.links.sweep()
    expect(world.network.linkEnds).toBe(2)
    await world.advance(2_000)
    a.links.sweep()
    await world.advance(100)
    expect(world.network.linkEnds).toBe(0)
    ask(2)
    await world.advance(100)
    expect(b.heard).toEqual([1, 2])
  })

  test('that have gone silent are given up for new ones', async () => {
    b.onMessage = (from, link) => b.links.send(from, at('a'), gossip(9), false, link)
    ask(1)
    await world.advance(100)
    expect(a.heard).toEqual([9])
    // What `a` sends on it from now on goes nowhere, and nobody tells it.
    world.network.cutLinks('b', 'a', 'first')
    for (let seq = 2; seq < 6; seq++) {
      ask(seq)
      await world.advance(1_000)
    }
    expect(b.heard).toContain(5)
    expect(a.opened.length).toBe(2)
  })

  test('that are opened and never greeted, because who has opened them is gone, do not stay as long as others', async () => {
    const { network } = world.process('c').life
    const silent = { message: () => {}, drain: () => {}, close: () => {} }
    void network.connect(at('b'), 'gossip', 1_000).then((link) => link.start(silent))
    await world.advance(10)
    expect(world.network.linkEnds).toBe(2)
    world.process('c').crash({ links: 'silent' })
    await world.advance(limits.greetingMsMax / 2)
    expect(world.network.linkEnds).toBe(1)
    await world.advance(limits.greetingMsMax / 2 + 100)
    expect(world.network.linkEnds).toBe(0)
  })

  test('that were greeted live on in silence for as long as who has opened them keeps them', async () => {
    ask(1)
    await world.advance(limits.gossipIdleMs - 1_000)
    expect(world.network.linkEnds).toBe(2)
    ask(2)
    await world.advance(limits.gossipIdleMs - 1_000)
    expect([b.heard, a.opened.length, world.network.linkEnds]).toEqual([[1, 2], 1, 2])
  })

  test('lead to nobody who is no member, in either direction', async () => {
    const stranger = new End(world, 'c', new Set(['a', 'b', 'c']))
    await world.advance(10)
    stranger.links.send(a.id, at('a'), gossip(1), false)
    a.links.send(stranger.id, at('c'), gossip(2), false)
    await world.advance(100)
    expect([a.heard, stranger.heard]).toEqual([[], []])
    // Nor to one that answers in the place of another.
    a.links.send(parseNodeId('x'), at('b'), gossip(3), false)
    await world.advance(100)
    expect(b.heard).toEqual([])
  })

  test('follow a member to another address', async () => {
    ask(1)
    await world.advance(50)
    a.links.send(b.id, at('nowhere'), gossip(2), false)
    await world.advance(50)
    expect(a.opened).toEqual(['b:1', 'nowhere:1'])
    ask(3)
    await world.advance(2_000)
    ask(4)
    await world.advance(50)
    expect(b.heard).toEqual([1, 4])
  })

  test('end with the membership, and with the node', async () => {
    ask(1)
    await world.advance(50)
    a.links.keep(new Set([a.id]))
    await world.advance(50)
    expect(world.network.linkEnds).toBe(0)
    ask(2)
    await world.settle(a.links.flushed())
    a.links.stop()
    await world.advance(50)
    expect(b.heard).toEqual([1, 2])
    expect(world.network.linkEnds).toBe(0)
    ask(3)
    await world.advance(50)
    expect(b.heard).toEqual([1, 2])
  })
})
