import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AssertionError, KvError, limits } from '../base/index.js'
import type { Channel, Link, Listener, Network } from './index.js'

export interface NetworkFixture {
  /** The network of one more node. */
  makeNetwork(): Promise<Network>
  /** An address on which this node may listen and nobody does. */
  freeAddress(network: Network): string
  /** Makes time pass, where it does not do so by itself, until the promise settles. */
  settle<T>(promise: Promise<T>): Promise<T>
  close(): Promise<void>
}

/** How long anything may take here: generous, since a real machine may be busy. */
const patienceMs = 10_000

/** One end of a link, with what has happened to it. */
class End {
  readonly link: Link
  readonly channel: Channel
  readonly messages: Uint8Array[] = []
  readonly closes: string[] = []
  drains = 0
  onMessage: (bytes: Uint8Array) => void = () => {}
  #waiting: (() => void)[] = []

  constructor(link: Link, channel: Channel) {
    this.link = link
    this.channel = channel
    link.start({
      message: (bytes) => {
        this.messages.push(bytes)
        this.onMessage(bytes)
        this.#wake()
      },
      drain: () => {
        this.drains++
        this.#wake()
      },
      close: (reason) => {
        this.closes.push(reason)
        this.#wake()
      },
    })
  }

  /** Resolves when the condition holds; it is asked whenever something happens to this end. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  async received(count: number): Promise<void> {
    await this.until(() => this.messages.length >= count)
  }

  async closed(): Promise<void> {
    await this.until(() => this.closes.length > 0)
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

/** A node that listens, and the ends that it was given. */
class Server {
  readonly network: Network
  readonly address: string
  readonly listener: Listener
  readonly #accepted: End[]
  readonly #waiting: (() => void)[]

  private constructor(network: Network, address: string, listener: Listener, accepted: End[], waiting: (() => void)[]) {
    this.network = network
    this.address = address
    this.listener = listener
    this.#accepted = accepted
    this.#waiting = waiting
  }

  static async start(fixture: NetworkFixture, greet: (end: End) => void = () => {}): Promise<Server> {
    const network = await fixture.makeNetwork()
    const address = fixture.freeAddress(network)
    const accepted: End[] = []
    const waiting: (() => void)[] = []
    const listener = await network.listen(address, (link, channel) => {
      const end = new End(link, channel)
      accepted.push(end)
      greet(end)
      for (const resolve of waiting.splice(0)) resolve()
    })
    return new Server(network, address, listener, accepted, waiting)
  }

  /** The next link that somebody has opened to here. */
  async accept(): Promise<End> {
    while (this.#accepted.length === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return this.#accepted.shift()!
  }
}

async function connect(network: Network, address: string, channel: Channel = 'requests'): Promise<End> {
  return new End(await network.connect(address, channel, patienceMs), channel)
}

/** A link between two nodes: the end that asked, and the end that was asked. */
async function makePair(fixture: NetworkFixture): Promise<[near: End, far: End, server: Server, client: Network]> {
  const server = await Server.start(fixture)
  const client = await fixture.makeNetwork()
  const near = await connect(client, server.address)
  return [near, await server.accept(), server, client]
}

function patterned(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + seed * 17) & 0xff
  return bytes
}

/** What every Network must do; to be called in a test file of each implementation. */
export function describeNetwork(name: string, makeFixture: () => Promise<NetworkFixture>): void {
  describe(`${name} as a Network`, () => {
    let fixture: NetworkFixture
    beforeEach(async () => {
      fixture = await makeFixture()
    })
    afterEach(async () => {
      await fixture.close()
    })

    /** Runs the body of a test in the fixture's time. */
    const check = (title: string, body: (fixture: NetworkFixture) => Promise<void>): void => {
      test(title, () => fixture.settle(body(fixture)))
    }
    defineMessages(check)
    defineFlow(check)
    defineConnections(check)
    defineClosing(check)
  })
}

type Check = (title: string, body: (fixture: NetworkFixture) => Promise<void>) => void

function defineMessages(check: Check): void {
  check('messages arrive whole and in order, both ways at once', async (fixture) => {
    const [near, far] = await makePair(fixture)
    const sizes = [0, 1, 7, 1000, 65_536, 3, 300_000, 0, 12]
    for (const [index, size] of sizes.entries()) {
      near.link.send(patterned(size, index))
      far.link.send(patterned(size, index + 100))
    }
    await near.received(sizes.length)
    await far.received(sizes.length)
    for (const [index, size] of sizes.entries()) {
      expect(Buffer.compare(far.messages[index]!, patterned(size, index))).toBe(0)
      expect(Buffer.compare(near.messages[index]!, patterned(size, index + 100))).toBe(0)
    }
  })

  check('the largest message passes; a larger one is a bug of the sender', async (fixture) => {
    const [near, far] = await makePair(fixture)
    const largest = patterned(limits.messageBytesMax, 1)
    near.link.send(largest)
    await far.received(1)
    expect(Buffer.compare(far.messages[0]!, largest)).toBe(0)
    expect(() => near.link.send(new Uint8Array(limits.messageBytesMax + 1))).toThrow(AssertionError)
    near.link.send(patterned(5, 2))
    await far.received(2)
  })

  check('what arrives belongs to the receiver: nobody else sees it change', async (fixture) => {
    const [near, far] = await makePair(fixture)
    const sent = patterned(100, 1)
    far.onMessage = (bytes) => {
      bytes.fill(0xee)
    }
    near.link.send(sent)
    near.link.send(sent.slice())
    await far.received(2)
    expect(sent).toEqual(patterned(100, 1))
    expect(far.messages[0]).not.toBe(far.messages[1])
  })

  check('a node can speak to itself', async (fixture) => {
    const server = await Server.start(fixture)
    const near = await connect(server.network, server.address)
    const far = await server.accept()
    near.link.send(patterned(10, 1))
    far.link.send(patterned(10, 2))
    await far.received(1)
    await near.received(1)
    expect(near.messages[0]).toEqual(patterned(10, 2))
  })
}

function defineFlow(check: Check): void {
  check('a sender is told to wait, told when to go on, and nothing is lost', async (fixture) => {
    const [near, far] = await makePair(fixture)
    const message = 262_144
    let sent = 0
    for (let round = 1; round <= 3; round++) {
      const before = near.drains
      let more = true
      for (let bytes = 0; more; bytes += message) {
        expect(bytes, 'bytes taken before the sender was told to wait').toBeLessThan(limits.linkQueueBytesMax)
        more = near.link.send(patterned(message, sent++))
      }
      await near.until(() => near.drains > before)
    }
    await far.received(sent)
    for (const [index, bytes] of far.messages.entries()) {
      expect(Buffer.compare(bytes, patterned(message, index))).toBe(0)
    }
    expect(near.closes).toEqual([])
  })

  check('one link that is full does not hold up another', async (fixture) => {
    const [near, , server, client] = await makePair(fixture)
    while (near.link.send(patterned(262_144, 1))) {}
    const other = await connect(client, server.address, 'gossip')
    const otherFar = await server.accept()
    other.link.send(patterned(10, 3))
    await otherFar.received(1)
    expect(otherFar.messages[0]).toEqual(patterned(10, 3))
  })
}

function defineConnections(check: Check): void {
  check('the listener learns the channel, both ends learn who is there', async (fixture) => {
    const server = await Server.start(fixture)
    const client = await fixture.makeNetwork()
    for (const channel of ['requests', 'gossip', 'bulk'] as const) {
      const near = await connect(client, server.address, channel)
      const far = await server.accept()
      expect(far.channel).toBe(channel)
      expect(near.link.remote).toContain(server.address)
      expect(far.link.remote).not.toBe('')
    }
  })

  check('the side that was asked may speak first', async (fixture) => {
    const server = await Server.start(fixture, (end) => end.link.send(patterned(20, 4)))
    const near = await connect(await fixture.makeNetwork(), server.address)
    await near.received(1)
    expect(near.messages[0]).toEqual(patterned(20, 4))
  })

  check('many nodes talk to one, and none hears the others', async (fixture) => {
    const server = await Server.start(fixture, (end) => {
      end.onMessage = (bytes) => {
        end.link.send(bytes)
      }
    })
    const clients = await Promise.all(
      Array.from({ length: 5 }, async (_, index) => {
        const network = await fixture.makeNetwork()
        const ends = await Promise.all([connect(network, server.address), connect(network, server.address, 'bulk')])
        for (const [which, end] of ends.entries()) end.link.send(patterned(50, 10 * index + which))
        return { ends, index }
      }),
    )
    for (const { ends, index } of clients) {
      for (const [which, end] of ends.entries()) {
        await end.received(1)
        expect(end.messages).toEqual([patterned(50, 10 * index + which)])
      }
    }
  })

  check('connecting to where nobody listens fails as unavailable', async (fixture) => {
    const network = await fixture.makeNetwork()
    const address = fixture.freeAddress(network)
    const error = await network.connect(address, 'requests', 2000).catch((failure: unknown) => failure)
    expect(error).toBeInstanceOf(KvError)
    expect(error).toMatchObject({ code: 'unavailable' })
  })

  check('port 0 is any free port, and the listener says which', async (fixture) => {
    const network = await fixture.makeNetwork()
    const wish = fixture.freeAddress(network).replace(/\d+$/, '0')
    const first = await network.listen(wish, (link) => new End(link, 'requests'))
    const second = await network.listen(wish, (link) => new End(link, 'requests'))
    expect(first.address).not.toMatch(/:0$/)
    expect(second.address).not.toBe(first.address)
    const near = await connect(network, second.address)
    expect(near.closes).toEqual([])
  })

  check('an address is taken by one listener, and free again when that has closed', async (fixture) => {
    const server = await Server.start(fixture)
    await expect(server.network.listen(server.address, () => {})).rejects.toThrow()
    await server.listener.close()
    await expect(server.network.connect(server.address, 'requests', 2000)).rejects.toThrow(KvError)
    const again = await server.network.listen(server.address, (link) => new End(link, 'requests'))
    await connect(server.network, server.address)
    await again.close()
  })
}

function defineClosing(check: Check): void {
  check('a close is told to both ends, once each, and not within the call', async (fixture) => {
    const [near, far] = await makePair(fixture)
    near.link.close('had enough')
    expect(near.closes).toEqual([])
    near.link.close('again')
    await near.closed()
    await far.closed()
    far.link.close('me too')
    near.link.close('and again')
    expect(near.closes).toEqual(['had enough'])
    expect(far.closes.length).toBe(1)
    expect(far.closes[0]).not.toBe('')
  })

  check('nothing can be sent on a closed link, by either end', async (fixture) => {
    const [near, far] = await makePair(fixture)
    far.link.close('done')
    expect(far.link.send(patterned(1, 1))).toBe(false)
    await near.closed()
    await far.closed()
    expect(near.link.send(patterned(1, 1))).toBe(false)
    expect(far.link.send(patterned(1, 1))).toBe(false)
    expect(near.messages).toEqual([])
  })

  check('no message follows a close, whatever was on its way', async (fixture) => {
    const [near, far] = await makePair(fixture)
    far.onMessage = () => far.link.close('one was enough')
    for (let i = 0; i < 50; i++) near.link.send(patterned(1000, i))
    await far.closed()
    await near.closed()
    expect(far.messages.length).toBe(1)
    expect([near.closes.length, far.closes.length]).toEqual([1, 1])
  })

  check('closing one link leaves the others alone', async (fixture) => {
    const [near, far, server, client] = await makePair(fixture)
    const other = await connect(client, server.address)
    const otherFar = await server.accept()
    near.link.close('done')
    await far.closed()
    other.link.send(patterned(3, 3))
    await otherFar.received(1)
    expect(other.closes).toEqual([])
  })
}
