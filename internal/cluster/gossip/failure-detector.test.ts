import { beforeEach, describe, expect, test } from 'vitest'
import {
  type Address,
  type ClusterId,
  type Epoch,
  type Incarnation,
  Instruments,
  limits,
  parseNodeId,
} from '../../base/index.js'
import type { Log } from '../../env/index.js'
import { SimWorld } from '../../env-sim/index.js'
import type { PeerLink } from '../../replication/index.js'
import { atRest, type Topology } from '../../slots/index.js'
import type { SwimMessage } from '../../swim/index.js'
import { FailureDetector } from './failure-detector.js'
import { gossipFromMessage, gossipToMessage, metaToBytes } from './gossip-codec.js'

const address = (name: string): Address => `${name}:50051` as Address
const [n1, n2, n3] = [parseNodeId('n1'), parseNodeId('n2'), parseNodeId('n3')]
const noLink = {} as PeerLink

function topologyOf(epoch: number, ...ids: string[]): Topology {
  const members = ids.map((id) => {
    const number = Number(id.slice(1))
    const incarnation = id.padEnd(32, '0') as Incarnation
    const fixed = {
      zone: '',
      weight: 1,
      since: 1 as Epoch,
      state: 'serving' as const,
      levels: { min: 1, max: 1 },
      authenticates: false,
    }
    return { ...fixed, id: parseNodeId(id), incarnation, number, address: address(id) }
  })
  const replication = { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 }
  const clusterId = 'c'.repeat(32) as ClusterId
  return {
    ...atRest,
    clusterId,
    epoch: epoch as Epoch,
    replication,
    virtualNodes: 150,
    members,
    nextNumber: 9,
  }
}

/** Node n1, with the test as the network and as all the others. */
class Play {
  readonly world = new SimWorld({ seed: 'detector' })
  readonly sent: { to: string; message: SwimMessage | undefined; topologyWanted: boolean }[] = []
  readonly told: string[] = []
  readonly reached: string[] = []
  readonly detector: FailureDetector
  /** Members that answer pings. */
  readonly answering = new Set<string>(['n2', 'n3'])
  #kept: ReadonlySet<string> = new Set()

  constructor() {
    const { clock, random } = this.process.life
    const tell = (message: string): void => void this.told.push(message)
    const log: Log = { debug() {}, info: tell, warn: tell, error: tell }
    const settings = {
      probeIntervalMs: 1_000,
      probeTimeoutMs: 500,
      suspicionMult: 4,
      gossipIntervalMs: 200,
      gossipFanout: 3,
    }
    this.detector = new FailureDetector(
      {
        ...settings,
        clock,
        random,
        log,
        instruments: new Instruments(() => 0),
        self: { id: n1, address: address('n1') },
        links: {
          send: (to, _address, part) => {
            const message = part.gossip === undefined ? undefined : gossipFromMessage(part.gossip)
            this.sent.push({ to, message, topologyWanted: part.topologyWanted === true })
            if (message?.kind === 'ping' && this.answering.has(to)) clock.defer(() => this.say(to, 'ack', message.seq))
          },
          sweep() {},
          keep: (members) => {
            this.#kept = members
          },
        },
        reached: (id) => void this.reached.push(id),
        changed() {},
      },
      topologyOf(1, 'n1', 'n2', 'n3'),
    )
    this.detector.start()
  }

  get process() {
    return this.world.process('n1')
  }

  get kept(): string[] {
    return [...this.#kept]
  }

  /** A member says something. */
  say(from: string, kind: SwimMessage['kind'], seq = 0, rumours: SwimMessage['rumours'] = []): string | undefined {
    const number = Number(from.slice(1))
    const head = { kind, seq, number, refutation: 7, address: address(from), target: number }
    const gossip = gossipToMessage({ ...head, rumours, digest: [], wanted: [] })
    return this.detector.received(parseNodeId(from), { gossip } as never, noLink)
  }

  /** It tells what all should know of it. */
  introduce(from: string, epoch = 1, refutation = 7): void {
    const [number, meta] = [Number(from.slice(1)), metaToBytes(epoch)]
    this.say(from, 'gossip', 0, [{ number, status: 'alive', refutation, address: address(from), meta, accusers: [] }])
  }

  status(number: number): string | undefined {
    return this.detector.liveness(number)?.status
  }
}

let play: Play
beforeEach(() => {
  play = new Play()
})

describe('who is away', () => {
  test('is suspect until heard of, then alive, and dead for as long as it has not been heard of', async () => {
    expect(play.status(2)).toBe('suspect')
    play.introduce('n2')
    play.introduce('n3')
    expect([play.status(2), play.status(3), play.status(9)]).toEqual(['alive', 'alive', undefined])
    expect(play.reached).toEqual(['n2', 'n3'])
    play.answering.delete('n3')
    await play.world.runUntil(() => play.status(3) === 'dead', 60_000)
    expect(play.detector.absentMs(3)).toBeLessThan(100)
    await play.world.advance(100_000)
    expect(play.detector.absentMs(3)).toBeGreaterThan(99_000)
    expect(play.detector.absentMs(2)).toBe(0)
    play.answering.add('n3')
    play.introduce('n3', 1, 20)
    expect(play.detector.absentMs(3)).toBe(0)
    expect(play.told).toEqual([
      'a member is alive',
      'a member is alive',
      'a member is suspected to be dead',
      'a member is held for dead',
      'a member is back',
    ])
  })

  test('is not so in the eyes of a process that stood still: not at once, and not for that time', async () => {
    play.introduce('n2')
    play.introduce('n3')
    play.answering.delete('n3')
    await play.world.runUntil(() => play.status(3) === 'dead', 60_000)
    await play.world.advance(5_000)
    play.process.pause()
    await play.world.advance(3_600_000)
    play.process.resume()
    // It is asked before anything else happens.
    expect(play.detector.absentMs(3)).toBe(0)
    await play.world.advance(5_000)
    expect(play.detector.absentMs(3)).toBe(0)
    await play.world.advance(10_000)
    expect(play.detector.absentMs(3)).toBeGreaterThan(15_000)
    expect(play.detector.absentMs(3)).toBeLessThan(25_000)
    expect(play.status(2)).toBe('alive')
  })

  test('is forgotten with its name, and a new life under the name is another member', async () => {
    play.introduce('n2')
    play.answering.clear()
    await play.world.runUntil(() => play.status(2) === 'dead' && play.status(3) === 'dead', 120_000)
    play.detector.follow(topologyOf(2, 'n1', 'n2'))
    expect([play.status(2), play.status(3)]).toEqual(['dead', undefined])
    expect(play.detector.absentMs(3)).toBe(0)
    expect(play.kept).toEqual(['n1', 'n2'])
  })
})

describe('a newer topology', () => {
  test('is asked for where somebody goes by it, once in a while, until it is there', async () => {
    play.introduce('n2')
    await play.world.advance(3_000)
    expect(play.sent.some(({ topologyWanted }) => topologyWanted)).toBe(false)
    play.introduce('n3', 4)
    await play.world.advance(5 * limits.gossipTopologyAskMs)
    const asked = play.sent.filter(({ topologyWanted }) => topologyWanted)
    expect(asked.length).toBeGreaterThanOrEqual(4)
    expect(asked.length).toBeLessThanOrEqual(6)
    expect(new Set(asked.map(({ to }) => to))).toEqual(new Set([n3]))
    play.sent.length = 0
    play.detector.follow(topologyOf(4, 'n1', 'n2', 'n3'))
    await play.world.advance(3_000)
    expect(play.sent.some(({ topologyWanted }) => topologyWanted)).toBe(false)
    // And the others hear of it from here.
    const told = play.sent.flatMap(({ message }) => message?.rumours.filter(({ number }) => number === 1) ?? [])
    expect(told.some(({ meta }) => Buffer.compare(meta, metaToBytes(4)) === 0)).toBe(true)
  })
})

test('what no node says ends the link, and changes nothing', () => {
  play.introduce('n2')
  expect(play.say('n2', 'gossip', -1)).toMatch(/malformed gossip/)
  expect(play.detector.received(n2, {} as never, noLink)).toBeUndefined()
  expect(play.status(2)).toBe('alive')
})

test('who stops says so to all that are there, and is silent from then on', async () => {
  play.introduce('n2')
  play.introduce('n3')
  play.sent.length = 0
  play.detector.stop()
  play.detector.stop()
  const left = play.sent.filter(({ message }) => message?.rumours.some(({ status }) => status === 'left'))
  expect(left.map(({ to }) => to).sort()).toEqual(['n2', 'n3'])
  play.sent.length = 0
  expect(play.say('n2', 'ping', 5)).toBeUndefined()
  await play.world.advance(10_000)
  expect(play.sent).toEqual([])
})
