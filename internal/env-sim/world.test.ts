import { expect, test } from 'vitest'
import { KvError } from '../base/index.js'
import { type Link, writeFully } from '../env/index.js'
import { type CrashPolicy, type ObservedEvent, type SimProcess, SimWorld } from './index.js'

/** A program that uses all four seams: it writes what it hears, counts its lives, and talks to a random other. */
class Gossip {
  readonly #node: SimProcess
  readonly #names: readonly string[]
  heard = 0

  constructor(node: SimProcess, names: readonly string[]) {
    this.#node = node
    this.#names = names
  }

  async run(): Promise<void> {
    const { clock, random, disk, network, name } = { ...this.#node.life, name: this.#node.name }
    const file = await disk.open(`log-${Buffer.from(random.bytes(4)).toString('hex')}`, 'create')
    let end = 0
    let writing = Promise.resolve()
    const append = (bytes: Uint8Array): void => {
      writing = writing.then(async () => {
        await writeFully(file, bytes, end)
        end += bytes.length
        if (random.u32() % 4 === 0) await file.sync()
      })
    }
    const take = (link: Link): void =>
      link.start({
        message: (bytes) => {
          this.heard++
          append(bytes)
        },
        drain() {},
        close() {},
      })
    await network.listen(`${name}:1`, take)
    const speak = async (): Promise<void> => {
      const other = this.#names[random.u32() % this.#names.length]!
      try {
        const link = await network.connect(`${other}:1`, 'gossip', 200)
        take(link)
        for (let i = 0; i < 5; i++) link.send(random.bytes(random.u32() % 300))
        clock.setTimer(20, () => link.close('said enough'))
      } catch (error) {
        if (!(error instanceof KvError)) throw error
      }
      clock.setTimer(10 * random.float(), () => speak().catch((error: unknown) => expect.unreachable(String(error))))
    }
    await speak()
  }
}

interface Run {
  readonly hash: string
  readonly events: readonly ObservedEvent[]
  readonly heard: readonly number[]
  readonly contents: string
}

/** Three nodes, a second of time, and everything that can go wrong. */
async function play(seed: number): Promise<Run> {
  const events: ObservedEvent[] = []
  const world = new SimWorld({ seed, observe: (event) => events.push(event) })
  const chance = world.random.fork('faults')
  const names = ['a', 'b', 'c']
  const programs = names.map((name) => new Gossip(world.process(name), names))
  const start = (index: number): void => {
    programs[index]!.run().catch((error: unknown) => expect.unreachable(String(error)))
  }
  for (const index of names.keys()) start(index)
  for (let round = 0; round < 20; round++) {
    const index = chance.below(3)
    const node = world.process(names[index]!)
    const policy: CrashPolicy = chance.pick(['keep', 'lose', 'random'])
    if (chance.chance(0.4)) {
      node.crash({ disk: policy, links: chance.pick(['reset', 'silent']) })
      await world.advance(chance.between(0, 30))
      node.restart()
      start(index)
    } else if (chance.chance(0.5)) {
      node.pause()
      await world.advance(chance.between(0, 30))
      node.resume()
    } else world.network.partition([[node.name], names.filter((name) => name !== node.name)])
    await world.advance(chance.between(0, 50))
    world.network.heal()
  }
  const contents = world.processes.map(({ drive }) =>
    drive.paths().map((path) => [path, Buffer.from(drive.peek(path)!).toString('base64')]),
  )
  return { hash: world.hash, events, heard: programs.map(({ heard }) => heard), contents: JSON.stringify(contents) }
}

test('the same seed twice gives the same run to the last event and byte, another seed another', async () => {
  for (const seed of [1, 2, 3]) {
    const first = await play(seed)
    const second = await play(seed)
    expect(second.hash).toBe(first.hash)
    expect(second.events).toEqual(first.events)
    expect(second.heard).toEqual(first.heard)
    expect(second.contents).toBe(first.contents)
    for (const heard of first.heard) expect(heard).toBeGreaterThan(10)
    for (const kind of ['timer', 'disk', 'connect', 'accept', 'message', 'close'] as const) {
      expect(
        first.events.some((event) => event.kind === kind),
        kind,
      ).toBe(true)
    }
    expect((await play(seed + 100)).hash).not.toBe(first.hash)
  }
})

test('real time that passes between two drives of a world changes nothing', async () => {
  const hashes: string[] = []
  for (const waits of [false, true]) {
    const world = new SimWorld({ seed: 1 })
    const { disk, clock } = world.process('n')
    const file = await world.settle(disk.open('a', 'create'))
    for (let i = 0; i < 5; i++) {
      if (waits) await new Promise((resolve) => setImmediate(resolve))
      clock.setTimer(i, () => {})
      await world.settle(file.write(new Uint8Array(i), 0))
    }
    await world.advance(10)
    hashes.push(world.hash)
  }
  expect(hashes[1]).toBe(hashes[0])
})
