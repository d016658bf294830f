import { parseNodeId } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import type { CrashPolicy } from '@quorumkv/internal/env-sim'
import { expect, test } from 'vitest'
import { atRest, expectEqualCopies } from './handover-scene.js'
import { RowClients } from './row-clients.js'
import { SimCluster } from './sim-cluster.js'

/**
 * Members that come and go at random, in any order of their names and several in a row, while handovers are taken back,
 * members are killed or wiped one at a time, or cut off for a while.
 */
class Changes {
  readonly cluster: SimCluster
  /** Nodes that are no members, with empty disks. */
  readonly #parked: Set<string>
  readonly done = new Set<string>()

  constructor(seed: number) {
    const rates = [4_000, 30_000, 1_000_000]
    this.cluster = new SimCluster({ seed: `changes ${seed}`, nodes: 5, streamBytesPerSecond: rates[seed % 3]! })
    this.#parked = new Set(this.cluster.names)
  }

  #float(): number {
    return this.cluster.world.random.float()
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#float() * from.length)]!
  }

  #someNode(): Node {
    return this.cluster.node(this.#pick(this.serving))
  }

  get serving(): string[] {
    return this.cluster.runningNames.filter((name) => this.cluster.node(name).phase === 'serving')
  }

  get members(): string[] {
    const all = this.serving.map((name) => this.cluster.node(name).topology!)
    return all.sort((a, b) => b.epoch - a.epoch)[0]!.members.map(({ id }) => id)
  }

  /** Everybody runs, is linked with everybody, and has lost nothing. */
  get isWhole(): boolean {
    const { cluster, serving, members } = this
    if (!members.every((name) => serving.includes(name)) || serving.length < cluster.runningNames.length) return false
    return serving.every((name) => {
      const node = cluster.node(name)
      return node.localStore!.lostCount === 0 && members.every((id) => id === name || node.linked(parseNodeId(id)))
    })
  }

  /** Nothing waits to be begun. */
  get isQuiet(): boolean {
    return this.serving.every((name) => this.cluster.node(name).topology!.planned.length === 0)
  }

  async begin(founders: number): Promise<void> {
    const names = [...this.#parked].sort(() => this.#float() - 0.5).slice(0, founders)
    for (const name of names) this.#parked.delete(name)
    for (const name of names) await this.cluster.startNode(name, names)
    await this.cluster.allReady()
    await this.cluster.allConnected()
  }

  /** Lets time pass until this is so; nodes that are members no more end. */
  async until(holds: () => boolean): Promise<void> {
    for (let looks = 0; !holds(); looks++) {
      expect(looks, JSON.stringify(this.serving.map((name) => this.cluster.node(name).topology))).toBeLessThan(6_000)
      await this.pass(50)
    }
  }

  async pass(ms: number): Promise<void> {
    const { cluster } = this
    await cluster.world.advance(ms)
    for (const [name, { message }] of cluster.fatal) {
      expect(message).toMatch(/was (decommissioned|removed) at epoch/)
      if (cluster.runningNames.includes(name)) cluster.crash(name)
      cluster.fatal.delete(name)
      cluster.process(name).restart()
      cluster.wipe(name)
      this.#parked.add(name)
    }
  }

  async step(): Promise<void> {
    const { cluster } = this
    const [dice, others] = [this.#float(), this.serving.length > 1]
    if (dice < 0.3) await this.#join()
    else if (dice < 0.5 && others) await this.#ask('leave', (node) => this.#leave(node))
    else if (dice < 0.65) await this.#ask('take back', (node) => node.handovers?.cancel())
    else if (dice < 0.75 && others && this.isWhole) await this.#kill('kill')
    else if (dice < 0.87 && this.serving.length > 3 && this.isWhole) await this.#kill('wipe')
    else if (others) {
      const name = this.#pick(this.serving)
      cluster.world.network.partition([[name], cluster.names.filter((each) => each !== name)])
      await this.pass(200 + 3_000 * this.#float())
      cluster.world.network.heal()
      this.done.add('cut off')
    }
    await this.pass(50 + 2_500 * this.#float())
  }

  async #join(): Promise<void> {
    const name = this.#pick([...this.#parked])
    if (name === undefined) return
    this.#parked.delete(name)
    await this.cluster.startNode(name, [this.#pick(this.members.filter((each) => this.serving.includes(each)))])
    this.done.add('join')
  }

  #leave(node: Node): Promise<unknown> | undefined {
    return node.members?.request({ kind: 'decommission', id: parseNodeId(this.#pick(this.members)) })
  }

  /** It may be refused: nothing runs that could be taken back, who is asked has no vote, or is cut off. */
  async #ask(what: string, act: (node: Node) => Promise<unknown> | undefined): Promise<void> {
    const asked = act(this.#someNode())?.then(
      () => this.done.add(what),
      () => undefined,
    )
    if (asked !== undefined) await this.cluster.settle(asked)
  }

  async #kill(how: 'kill' | 'wipe'): Promise<void> {
    const { cluster } = this
    const name = this.#pick(this.serving)
    cluster.crash(name, { disk: this.#pick<CrashPolicy>(['lose', 'keep', 'random']) })
    await this.pass(how === 'wipe' ? 4_000 : 1_500)
    cluster.process(name).restart()
    if (how === 'wipe') cluster.wipe(name)
    await cluster.startNode(
      name,
      this.members.filter((each) => each !== name),
    )
    await this.until(() => this.isWhole)
    this.done.add(how)
  }
}

const everything = new Set<string>()

test.each([0, 1, 2, 3, 4, 5])(
  'members come, go, die and are wiped at random: nothing acknowledged is lost (%d)',
  async (seed) => {
    const changes = new Changes(seed)
    const { cluster } = changes
    await changes.begin(1 + (seed % 4))
    const clients = new RowClients(cluster)
    for (let i = 0; i < 14; i++) await changes.step()
    await changes.until(() => changes.isWhole && changes.isQuiet && atRest(cluster, changes.members.length))
    await clients.stop()
    await clients.readAll(changes.serving)
    expect(clients.wrong).toEqual([])
    await expectEqualCopies(cluster)
    for (const what of changes.done) everything.add(what)
  },
  240_000,
)

test('all of that has come about', () => {
  expect([...everything]).toEqual(expect.arrayContaining(['cut off', 'join', 'kill', 'leave', 'wipe']))
})
