import { expect, test } from 'vitest'
import { AssertionError, KvError, limits } from '../base/index.js'
import type { Link, Network } from '../env/index.js'
import { SimWorld } from './index.js'

/** One end of a link, with the first byte of each message that came, and why it closed. */
interface End {
  readonly link: Link
  readonly heard: number[]
  readonly closes: string[]
  drains: number
}

function start(link: Link): End {
  const end: End = { link, heard: [], closes: [], drains: 0 }
  link.start({
    message: (bytes) => end.heard.push(bytes[0] ?? -1),
    drain: () => {
      end.drains++
    },
    close: (reason) => end.closes.push(reason),
  })
  return end
}

class Play {
  readonly world: SimWorld
  readonly #accepted = new Map<string, End[]>()

  constructor(seed: number, hosts: readonly string[] = ['a', 'b', 'c']) {
    this.world = new SimWorld({ seed })
    for (const host of hosts) this.world.process(host)
  }

  /** The host listens on port 1. */
  async listen(host: string): Promise<void> {
    const accepted: End[] = []
    this.#accepted.set(host, accepted)
    const { network } = this.world.process(host)
    await this.world.settle(network.listen(`${host}:1`, (link) => accepted.push(start(link))))
  }

  async connect(from: string, to: string, timeoutMs = 1000): Promise<[near: End, far: End]> {
    const near = start(await this.world.settle(this.dial(from, to, timeoutMs)))
    return [near, this.#accepted.get(to)!.at(-1)!]
  }

  /** How many links the host has been given. */
  accepted(host: string): number {
    return this.#accepted.get(host)?.length ?? 0
  }

  dial(from: string, to: string, timeoutMs: number): Promise<Link> {
    const network: Network = this.world.process(from).network
    return network.connect(`${to}:1`, 'requests', timeoutMs)
  }

  async linked(from: string, to: string): Promise<[near: End, far: End]> {
    await this.listen(to)
    return this.connect(from, to)
  }
}

const say = (end: End, value: number): boolean => end.link.send(new Uint8Array([value]))

test('a partition delays what is sent over a link, and a heal delivers it in order', async () => {
  const play = new Play(1)
  const [near, far] = await play.linked('a', 'b')
  say(near, 1)
  play.world.network.partition([['a'], ['b', 'c']])
  say(near, 2)
  say(far, 9)
  await play.world.advance(5000)
  expect([far.heard, near.heard, near.closes, far.closes]).toEqual([[], [], [], []])
  play.world.network.heal()
  await play.world.advance(10)
  expect([far.heard, near.heard]).toEqual([[1, 2], [9]])
  say(near, 3)
  await play.world.advance(10)
  expect(far.heard).toEqual([1, 2, 3])
})

test('a partition that lasts breaks the links that somebody speaks on, at the speaking end only', async () => {
  const play = new Play(1)
  const [near, far] = await play.linked('a', 'b')
  play.world.network.partition([['a'], ['b']])
  say(near, 1)
  await play.world.advance(25_000)
  expect(near.closes).toEqual(['the other side does not answer'])
  expect([far.closes, far.heard]).toEqual([[], []])
  play.world.network.heal()
  await play.world.advance(1000)
  expect(far.closes).toEqual([])
  say(far, 2)
  await play.world.advance(10)
  expect(far.closes).toEqual(['reset by the other side'])
})

test('a partition spares those in the same group and those in none', async () => {
  const play = new Play(1, ['a', 'b', 'c', 'client'])
  for (const host of ['a', 'b', 'c']) await play.listen(host)
  play.world.network.partition([['a', 'b'], ['c']])
  await play.connect('a', 'b')
  await play.connect('client', 'a')
  await play.connect('client', 'c')
  await expect(play.connect('a', 'c', 500)).rejects.toThrow(/no answer within 500 ms/)
  play.world.network.partition([['a'], ['b', 'c']])
  await play.connect('b', 'c')
  await expect(play.connect('a', 'b', 500)).rejects.toThrow(KvError)
})

test('a cut in one direction lets the other direction pass, and nobody connects', async () => {
  const play = new Play(1)
  const [near, far] = await play.linked('a', 'b')
  play.world.network.cut('a', 'b')
  say(near, 1)
  say(far, 2)
  await play.world.advance(100)
  expect([near.heard, far.heard]).toEqual([[2], []])
  await expect(play.connect('a', 'b', 500)).rejects.toThrow(/no answer/)
  await play.listen('a')
  await expect(play.connect('b', 'a', 500)).rejects.toThrow(/no answer/)
  play.world.network.heal()
  await play.world.advance(10)
  expect(far.heard).toEqual([1])
})

test('a connection that is asked for during a partition is made when it heals in time', async () => {
  const play = new Play(1)
  await play.listen('b')
  play.world.network.partition([['a'], ['b']])
  play.world.after(2500, () => play.world.network.heal())
  const startMs = play.world.nowMs
  await play.connect('a', 'b', 10_000)
  expect(play.world.nowMs - startMs).toBeGreaterThan(2500)
})

test('a connection that comes too late is closed at the other side, whatever that has said or done already', async () => {
  for (const greet of ['speak', 'close', 'wait'] as const) {
    for (let seed = 0; seed < 10; seed++) {
      const play = new Play(seed)
      const ends: End[] = []
      const accept = (link: Link): void => {
        ends.push(start(link))
        if (greet === 'speak') link.send(new Uint8Array(1))
        if (greet === 'close') link.close('not today')
      }
      await play.world.settle(play.world.process('b').network.listen('b:1', accept))
      play.world.network.setExtraDelayMs('b', 'a', 500)
      await expect(play.world.settle(play.dial('a', 'b', 300))).rejects.toThrow(/no answer/)
      await play.world.advance(1000)
      expect(ends.map((end) => end.closes.length)).toEqual([1])
      expect(play.world.network.linkEnds).toBe(0)
    }
  }
})

test('a link cut on both sides tells both, and what was on its way is lost', async () => {
  const play = new Play(1)
  const [near, far] = await play.linked('a', 'b')
  say(near, 1)
  play.world.network.cutLinks('b', 'a')
  play.world.network.cutLinks('a', 'b')
  await play.world.advance(100)
  expect([near.closes, far.closes, far.heard]).toEqual([['connection lost'], ['connection lost'], []])
  expect(say(near, 2)).toBe(false)
  expect(play.world.network.linkEnds).toBe(0)
})

test('a half-open link: one end knows, the other speaks to nobody until it gives up', async () => {
  const play = new Play(1)
  const [near, far] = await play.linked('a', 'b')
  play.world.network.cutLinks('a', 'b', 'first')
  await play.world.advance(60_000)
  expect([near.closes, far.closes]).toEqual([['connection lost'], []])
  expect(play.world.network.linkEnds).toBe(1)
  say(far, 1)
  await play.world.advance(19_000)
  expect(far.closes).toEqual([])
  await play.world.advance(2000)
  expect(far.closes).toEqual(['the other side does not answer'])
  expect(play.world.network.linkEnds).toBe(0)
})

test('a killed process closes its links for the others soon', async () => {
  for (let seed = 0; seed < 20; seed++) {
    const play = new Play(seed)
    const [near, far] = await play.linked('a', 'b')
    say(near, 1)
    play.world.process('b').crash({ links: 'reset' })
    await play.world.advance(10)
    expect([near.closes.length, far.closes, far.heard]).toEqual([1, [], []])
    await expect(play.connect('a', 'b', 500)).rejects.toThrow(/refused/)
  }
})

test('what a killed process had sent arrives or not', async () => {
  const outcomes = new Set<string>()
  for (let seed = 0; seed < 30; seed++) {
    const play = new Play(seed)
    const [near, far] = await play.linked('a', 'b')
    for (let i = 1; i <= 3; i++) say(far, i)
    play.world.process('b').crash({ links: 'reset' })
    await play.world.advance(10)
    outcomes.add(near.heard.join())
    expect(near.closes).toEqual(['the other side died'])
  }
  expect([...outcomes].sort()).toEqual(['', '1,2,3'])
})

test('a machine without power is silent: links stay half-open until somebody speaks, and are reset when it is back', async () => {
  const play = new Play(1)
  const [quiet] = await play.linked('a', 'b')
  const [talking] = await play.connect('c', 'b')
  const [inFlight] = await play.connect('c', 'b')
  say(inFlight, 1)
  play.world.process('b').crash({ links: 'silent' })
  say(talking, 1)
  await play.world.advance(15_000)
  expect([quiet.closes, talking.closes]).toEqual([[], []])
  await expect(play.connect('a', 'b', 500)).rejects.toThrow(/no answer/)
  await play.world.advance(10_000)
  expect(talking.closes).toEqual(['the other side does not answer'])
  expect(inFlight.closes).toEqual(['the other side does not answer'])
  expect(quiet.closes).toEqual([])
  play.world.process('b').restart()
  await expect(play.connect('a', 'b', 500)).rejects.toThrow(/refused/)
  say(quiet, 1)
  await play.world.advance(10)
  expect(quiet.closes).toEqual(['reset by the other side'])
})

test('what waits for a machine without power is reset as soon as that is back', async () => {
  const play = new Play(1)
  const [near] = await play.linked('a', 'b')
  play.world.process('b').crash({ links: 'silent' })
  say(near, 1)
  await play.world.advance(5000)
  play.world.process('b').restart()
  await play.world.advance(10)
  expect(near.closes).toEqual(['reset by the other side'])
})

test('what a paused process is sent waits for it; connecting to it takes until it goes on', async () => {
  const play = new Play(1)
  const [near, far] = await play.linked('a', 'b')
  play.world.process('b').pause()
  for (let i = 1; i <= 3; i++) say(near, i)
  await expect(play.connect('c', 'b', 2000)).rejects.toThrow(/no answer/)
  expect(far.heard).toEqual([])
  play.world.process('b').resume()
  await play.world.advance(10)
  expect(far.heard).toEqual([1, 2, 3])
  expect(play.accepted('b')).toBe(1) // nobody is bothered with the one that gave up
  await play.connect('c', 'b')
})

test('a sender that does not wait for drain loses its link at the limit, not the memory', async () => {
  const play = new Play(1)
  const [near, far] = await play.linked('a', 'b')
  play.world.process('b').pause()
  const message = new Uint8Array(1_000_000)
  for (let sent = 0; sent < 2 * limits.linkQueueBytesMax; sent += message.length) near.link.send(message)
  await play.world.advance(10)
  expect(near.closes).toEqual([`more than ${limits.linkQueueBytesMax} bytes were sent without waiting for drain`])
  play.world.process('b').resume()
  await play.world.advance(1000)
  expect([far.closes.length, far.heard.length < 40]).toEqual([1, true])
})

test('a receiver that stands still holds its sender up, and drain comes when it goes on', async () => {
  const play = new Play(1)
  const [near, far] = await play.linked('a', 'b')
  play.world.process('b').pause()
  let sent = 1
  while (near.link.send(new Uint8Array(100_000))) sent++
  await play.world.advance(10_000)
  expect([near.drains, far.heard.length]).toEqual([0, 0])
  play.world.process('b').resume()
  await play.world.advance(100)
  expect([near.drains, far.heard.length]).toEqual([1, sent])
})

test('added delay slows one direction down', async () => {
  const play = new Play(1)
  const [near, far] = await play.linked('a', 'b')
  play.world.network.setExtraDelayMs('a', 'b', 300)
  say(near, 1)
  say(far, 2)
  await play.world.advance(200)
  expect([near.heard, far.heard]).toEqual([[2], []])
  await play.world.advance(200)
  expect(far.heard).toEqual([1])
})

test('a network that breaks links loses what was on its way and tells both ends', async () => {
  const play = new Play(1)
  const [near, far] = await play.linked('a', 'b')
  play.world.network.setBreakProbability(1)
  say(near, 1)
  say(near, 2)
  await play.world.advance(10)
  expect([near.closes, far.closes, far.heard]).toEqual([['connection lost'], ['connection lost'], []])
})

test('a message that changes after it was sent is a bug of the sender', async () => {
  const play = new Play(1)
  const [near] = await play.linked('a', 'b')
  const message = new Uint8Array([1, 2, 3])
  near.link.send(message)
  message[1] = 9
  await expect(play.world.advance(10)).rejects.toThrow(AssertionError)
})

test('a link that was not started when it was given is a bug of the receiver', async () => {
  const play = new Play(1)
  await play.world.settle(play.world.process('b').network.listen('b:1', () => {}))
  play.dial('a', 'b', 1000).catch(() => expect.unreachable())
  await expect(play.world.advance(10)).rejects.toThrow(/must start its link/)
})

test('a process listens on its own name only', async () => {
  const play = new Play(1)
  await expect(play.world.settle(play.world.process('a').network.listen('b:1', () => {}))).rejects.toThrow(KvError)
})
