import { compareVersions, type Version, zeroVersion } from '@quorumkv/internal/hlc'
import { slotOf } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

const names = ['n1', 'n2', 'n3']
const keys = ['k0', 'k1', 'k2', 'k3']
const usedSlots = keys.map((key) => slotOf(Buffer.from(key)))

/** What every client together has been told about one key. */
interface Told {
  /** The highest version that was acknowledged or returned, and when we knew: nothing lower may be told later. */
  highest: Version
  readonly written: Map<string, string>
}

function show(version: Version): string {
  return `${version.hi}.${version.lo}.${version.node}`
}

/** Random operations on few keys while nodes crash, hang, are cut off and have wrong clocks. */
class Play {
  readonly #cluster: SimCluster
  readonly #told = new Map<string, Told>()
  readonly #random
  stopped = false
  counts = { done: 0, failed: 0, checked: 0, losses: 0 }
  #value = 0

  /** Nodes that have been restarted without what they had. */
  readonly #lossy = new Set<string>()
  readonly #losing: boolean

  constructor(cluster: SimCluster, losing = false) {
    this.#cluster = cluster
    this.#losing = losing
    this.#random = cluster.world.random.fork('play')
  }

  #pick<T>(choices: readonly T[]): T {
    return choices[this.#random.u32() % choices.length]!
  }

  /** A client that asks one thing after the other, often at once, until `stopped`. */
  client(): void {
    if (this.stopped) return
    const pauseMs = this.#random.float() < 0.5 ? 0 : this.#random.float() * 40
    const next = (): void => this.#cluster.world.after(pauseMs, () => this.client())
    // An operation of a node that crashes never answers: the client turns to the next as if it had timed out.
    let over = false
    const once = (): void => {
      if (!over) next()
      over = true
    }
    this.#cluster.world.after(3_500, once)
    this.operate().then(once, once)
  }

  /** An operation; its result is checked against what had been told before it started. */
  async operate(): Promise<void> {
    const running = names.filter((name) => this.#cluster.process(name).running)
    const via = this.#pick(running.length > 0 ? running : names)
    if (!this.#cluster.process(via).running) return
    const key = keys[this.#random.u32() % keys.length]!
    const told = this.#told.get(key) ?? { highest: zeroVersion, written: new Map<string, string>() }
    this.#told.set(key, told)
    const before = told.highest
    if (this.#random.float() < 0.4) await this.#write(via, key, told, before)
    else await this.#read(via, key, told, before)
  }

  #write(via: string, key: string, told: Told, before: Version): Promise<unknown> {
    const value = `v${++this.#value}`
    told.written.set(value, via)
    return this.#cluster.put(via, key, value, 'quorum', 3_000).then(
      ({ version }) => {
        this.counts.done++
        this.#check(
          compareVersions(version, before) > 0,
          `${key}: write ${value} got ${show(version)} after ${show(before)}`,
        )
        if (compareVersions(version, told.highest) > 0) told.highest = version
      },
      () => this.counts.failed++,
    )
  }

  #read(via: string, key: string, told: Told, before: Version): Promise<unknown> {
    const deadlineMs = this.#cluster.process(via).clock.monotonicMs() + 3_000
    const options = { consistency: 'quorum' as const, deadlineMs }
    return this.#cluster
      .node(via)
      .get(Buffer.from(key), options)
      .then(
        (record) => {
          this.counts.done++
          const version = record ?? zeroVersion
          this.#check(compareVersions(version, before) >= 0, `${key}: read ${show(version)} after ${show(before)}`)
          if (record === undefined) return
          const value = Buffer.from(record.value).toString()
          this.#check(told.written.has(value), `${key}: nobody wrote ${value}`)
          if (compareVersions(version, told.highest) > 0) {
            told.highest = { hi: version.hi, lo: version.lo, node: version.node }
          }
        },
        () => this.counts.failed++,
      )
  }

  readonly violations: string[] = []

  #check(holds: boolean, what: string): void {
    this.counts.checked++
    if (!holds) this.violations.push(`at ${this.#cluster.world.nowMs.toFixed(3)} ms: ${what}`)
  }

  async fault(): Promise<void> {
    const cluster = this.#cluster
    const name = this.#pick(names)
    const process = cluster.process(name)
    const [from, to] = [name, this.#pick(names.filter((other) => other !== name))]
    switch (this.#random.u32() % 8) {
      case 0:
        if (process.running && !process.paused)
          cluster.crash(name, { disk: 'random', links: this.#pick(['reset', 'silent']) })
        return
      case 1:
      case 2:
        if (!process.running) await this.#restart(name)
        return
      case 3:
        if (!process.running) return
        if (process.paused) process.resume()
        else process.pause()
        return
      case 4:
        if (this.#random.float() < 0.5) cluster.world.network.heal()
        else cluster.world.network.partition([[name], names.filter((other) => other !== name)])
        return
      case 5:
        cluster.world.network.cut(from, to)
        return
      case 6:
        cluster.world.network.cutLinks(from, to)
        return
      default:
        process.time.setSkewMs((this.#random.float() - 0.5) * 6_000)
    }
  }

  /**
   * Where disks may lose data, some restarts find that theirs has, but only one node at a time: with two copies of what
   * was acknowledged, losing both before one is refilled is more than any protocol can undo.
   */
  async #restart(name: string): Promise<void> {
    const cluster = this.#cluster
    if (!this.#losing || this.lossy().some((other) => other !== name)) {
      await cluster.restart(name)
      return
    }
    this.#lossy.add(name)
    this.counts.losses++
    cluster.process(name).restart()
    await cluster.lose(name, usedSlots)
    // One of the others cannot be heard at first: the refill has to wait, with the third at hand, which may lag behind.
    cluster.world.network.cut(this.#pick(names.filter((other) => other !== name)), name)
    await cluster.settle((await cluster.startNode(name)).ready())
  }

  /** The nodes that have lost data and may not have it back yet. */
  lossy(): readonly string[] {
    for (const name of this.#lossy) {
      const process = this.#cluster.process(name)
      const whole = process.running && this.#cluster.node(name).status().store?.lostSlots === 0
      if (whole) this.#lossy.delete(name)
    }
    return [...this.#lossy]
  }

  async heal(): Promise<void> {
    this.#cluster.world.network.heal()
    for (const name of names) {
      const process = this.#cluster.process(name)
      if (process.paused) process.resume()
      if (!process.running) await this.#cluster.restart(name)
      process.time.setSkewMs(0)
    }
  }
}

test.each(Array.from({ length: 12 }, (_, i) => i + 1))(
  'crashes, pauses, partitions and wrong clocks: nothing acknowledged or read is ever unsaid (seed %i)',
  async (seed) => {
    const cluster = await SimCluster.start({ seed })
    const play = new Play(cluster)
    const random = cluster.world.random.fork('pace')
    for (let client = 0; client < 6; client++) play.client()
    for (let step = 0; step < 60; step++) {
      await play.fault()
      await cluster.world.advance(random.float() * 600)
    }
    await play.heal()
    await cluster.allConnected()
    await cluster.world.advance(2_000)
    play.stopped = true
    await cluster.world.advance(5_000)
    expect(play.violations).toEqual([])
    expect([...cluster.fatal]).toEqual([])
    expect(play.counts.done).toBeGreaterThan(100)
    expect(play.counts.checked).toBeGreaterThan(100)
  },
)

test.each(Array.from({ length: 12 }, (_, i) => i + 1))(
  'the same where disks lose data between, one at a time: what was lost comes back and nothing is unsaid (seed %i)',
  async (seed) => {
    const cluster = await SimCluster.start({ seed: `losing ${seed}` })
    const play = new Play(cluster, true)
    const random = cluster.world.random.fork('pace')
    for (let client = 0; client < 6; client++) play.client()
    for (let step = 0; step < 100; step++) {
      await play.fault()
      await cluster.world.advance(random.float() * 600)
    }
    await play.heal()
    await cluster.allConnected()
    await cluster.world.runUntil(() => play.lossy().length === 0, 60_000)
    await cluster.world.advance(2_000)
    play.stopped = true
    await cluster.world.advance(5_000)
    expect(play.violations).toEqual([])
    expect([...cluster.fatal]).toEqual([])
    expect(play.counts.done).toBeGreaterThan(100)
    expect(play.counts.losses).toBeGreaterThan(0)
  },
)
