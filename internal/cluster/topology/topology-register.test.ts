import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { expect, test } from 'vitest'
import type { Epoch, FatalError, Incarnation, NodeId } from '../../base/index.js'
import { silentLog } from '../../env/index.js'
import { SimWorld } from '../../env-sim/index.js'
import type { PeerLink } from '../../replication/index.js'
import type { Member, Topology } from '../../slots/index.js'
import { topologyOf } from '../../slots/topology.test-support.js'
import { readTopology, writeTopology } from './topology-document.js'
import { TopologyRegister } from './topology-register.js'

const founding = topologyOf([{ id: 'n1' }, { id: 'n2' }, { id: 'n3' }])
const names = ['n1', 'n2', 'n3']

/** A document that can be told from others of its epoch. */
function successor(topology: Topology, weight: number): Topology {
  const members = topology.members.map((member, i) => (i === 0 ? { ...member, weight } : member))
  return { ...topology, epoch: (topology.epoch + 1) as Epoch, members }
}

/** Registers of three members on simulated disks, with messages that take a turn of the loop and can be stopped. */
class Trio {
  readonly world = new SimWorld({ seed: 'register' })
  readonly registers = new Map<string, TopologyRegister>()
  readonly failures: unknown[] = []
  readonly sent: { from: string; to: string; part: Partial<PeerMessage> }[] = []
  /** Whether a message arrives. */
  passes: (from: string, to: string, part: Partial<PeerMessage>) => boolean = () => true

  static async open(): Promise<Trio> {
    const trio = new Trio()
    for (const name of names) {
      await trio.settle(writeTopology(trio.world.process(name).disk, founding))
      await trio.start(name)
    }
    return trio
  }

  /** Opens a register on what the disk of this node says. */
  async start(name: string): Promise<void> {
    const { clock, random, disk } = this.world.process(name)
    const topology = (await this.settle(readTopology(disk)))!
    const { incarnation } = founding.members.find(({ id }) => id === name)!
    const opening = TopologyRegister.open(
      {
        clock,
        random,
        disk,
        log: silentLog,
        self: { id: name as NodeId, incarnation },
        send: (to, part) => this.#send(name, to, part),
        adopted: (newer) => this.#spread(name, newer),
        guard: (work) => void work.catch((error: unknown) => this.failures.push(error)),
      },
      topology,
    )
    this.registers.set(name, await this.settle(opening))
  }

  /** Power cut: what was not synced may be gone. */
  async restart(name: string): Promise<void> {
    const process = this.world.process(name)
    this.registers.delete(name)
    process.crash({ disk: 'lose' })
    process.restart()
    await this.start(name)
  }

  register(name: string): TopologyRegister {
    return this.registers.get(name)!
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.world.settle(promise)
  }

  change(name: string, weight: number, timeoutMs: number = 10_000): Promise<void> {
    const before = this.register(name).topology
    const alter = (topology: Topology) => (topology === before ? successor(topology, weight) : undefined)
    return this.register(name).change(alter, timeoutMs)
  }

  #send(from: string, to: string, part: Partial<PeerMessage>): void {
    this.sent.push({ from, to, part })
    if (!this.passes(from, to, part)) return
    this.world.after(1, () => {
      const link = { sendNow: (reply: Partial<PeerMessage>) => this.#reply(to, from, reply) } as unknown as PeerLink
      this.registers.get(to)?.received(undefined, part as PeerMessage, link)
    })
  }

  #spread(from: string, topology: Topology): void {
    for (const to of names) {
      if (to === from || !this.passes(from, to, {})) continue
      this.world.after(1, () => void this.registers.get(to)?.adopt(topology))
    }
  }

  #reply(from: string, to: string, part: Partial<PeerMessage>): void {
    this.sent.push({ from, to, part })
    if (!this.passes(from, to, part)) return
    this.world.after(1, () =>
      this.registers.get(to)?.received(from as NodeId, part as PeerMessage, undefined as unknown as PeerLink),
    )
  }
}

test('a majority decides, the proposer adopts, and whoever is told of it follows', async () => {
  const trio = await Trio.open()
  trio.passes = (from, to) => from !== 'n3' && to !== 'n3'
  await trio.settle(trio.change('n1', 7))
  const decided = trio.register('n1').topology
  expect(decided).toEqual(successor(founding, 7))
  expect(trio.register('n3').topology.epoch).toBe(1)
  await trio.settle(trio.register('n3').adopt(decided))
  await trio.restart('n3')
  expect(trio.register('n3').topology).toEqual(decided)
  expect(trio.failures).toEqual([])
})

test('without a majority nothing is decided, and the caller is told how many answer', async () => {
  const trio = await Trio.open()
  trio.passes = () => false
  await expect(trio.settle(trio.change('n1', 7))).rejects.toMatchObject({
    code: 'unavailable',
    message: '1 of 3 voting members answer, and a change of the topology needs 2',
  })
  for (const name of names) expect(trio.register(name).topology.epoch).toBe(1)
})

test('whoever waits behind a change that gets nowhere is told in its own time, and nothing comes of it later', async () => {
  const trio = await Trio.open()
  trio.passes = () => false
  const beganMs = trio.world.nowMs
  const first = trio.change('n1', 7, 5_000).catch((error: unknown) => error)
  const behind = Array.from({ length: 10 }, () => trio.change('n1', 8, 3_000).catch((error: unknown) => error))
  await trio.settle(first)
  expect(trio.world.nowMs - beganMs).toBeLessThanOrEqual(5_000)
  const told = await trio.settle(Promise.all(behind))
  expect(trio.world.nowMs - beganMs).toBeLessThanOrEqual(5_000)
  for (const error of told)
    expect(error).toMatchObject({ code: 'unavailable', message: expect.stringMatching(/asked for before/) })
  trio.passes = () => true
  await trio.world.advance(60_000)
  for (const name of names) expect(trio.register(name).topology.epoch).toBe(1)
})

test('what one has voted for survives a power cut of the voter, and a later proposer finishes it', async () => {
  const trio = await Trio.open()
  // n1 and n2 vote for 7, but n1 never hears of it; then n1 is gone.
  trio.passes = (from, to, part) => [from, to].every((each) => each !== 'n3') && part.registerReply?.verdict !== 2
  await expect(trio.settle(trio.change('n1', 7, 100))).rejects.toMatchObject({ code: 'unavailable' })
  trio.registers.get('n1')!.stop()
  await trio.restart('n2')
  trio.passes = (from, to) => from !== 'n1' && to !== 'n1'
  await trio.settle(trio.change('n3', 9))
  expect(trio.register('n3').topology.members[0]!.weight).toBe(7)
})

test('a proposer that restarts uses no ballot of its former life again', async () => {
  const trio = await Trio.open()
  trio.passes = () => false
  await expect(trio.settle(trio.change('n1', 7, 100))).rejects.toMatchObject({ code: 'unavailable' })
  const last = Math.max(...trio.sent.map(({ part }) => part.registerRequest?.ballot?.counter ?? 0))
  expect(last).toBeGreaterThan(0)
  await trio.restart('n1')
  trio.sent.length = 0
  await expect(trio.settle(trio.change('n1', 8, 100))).rejects.toMatchObject({ code: 'unavailable' })
  expect(Math.min(...trio.sent.map(({ part }) => part.registerRequest!.ballot!.counter))).toBeGreaterThan(last)
})

test('two that propose at once: one document, and both come to an end', async () => {
  const trio = await Trio.open()
  const outcomes = await trio.settle(Promise.allSettled([trio.change('n1', 7), trio.change('n2', 8)]))
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
  expect(trio.register('n1').topology).toEqual(trio.register('n2').topology)
})

test('nothing is promised while the disk is full, and nothing is forgotten of what was', async () => {
  const trio = await Trio.open()
  trio.world.process('n2').drive.faults.setFreeBytes(0)
  trio.passes = (from, to) => from !== 'n3' && to !== 'n3'
  await expect(trio.settle(trio.change('n1', 7, 100))).rejects.toMatchObject({ code: 'unavailable' })
  trio.world.process('n2').drive.faults.setFreeBytes(Number.POSITIVE_INFINITY)
  await trio.settle(trio.change('n1', 7))
  expect(trio.register('n1').topology.epoch).toBe(2)
  expect(trio.failures).toEqual([])
})

test('a document that names another incarnation of the node ends it; one of another cluster or epoch is nothing', async () => {
  const trio = await Trio.open()
  const register = trio.register('n1')
  const members = founding.members.map((member) => ({ ...member, incarnation: 'e'.repeat(32) as Incarnation }))
  const replaced = { ...founding, epoch: 2 as Epoch, members }
  await trio.settle(register.adopt({ ...replaced, clusterId: 'd'.repeat(32) as Topology['clusterId'] }))
  await trio.settle(register.adopt({ ...replaced, epoch: 1 as Epoch }))
  expect(register.topology).toEqual(founding)
  // It does not wait for what is being written: until it ends it serves as what it is no more.
  trio.world.process('n1').drive.faults.setExtraDelayMs(60_000)
  const beganMs = trio.world.nowMs
  const voting = trio.change('n1', 7, 1).catch(() => undefined)
  await trio.world.advance(10)
  const end = await trio.settle(register.adopt(replaced).catch((error: FatalError) => error))
  expect(trio.world.nowMs - beganMs).toBeLessThan(1_000)
  register.stop()
  await trio.settle(voting)
  expect(end).toMatchObject({ reason: 'refused', message: expect.stringContaining('a former life of n1') })
})

test('a document that does not name the node ends it: in order where it was leaving, else with what became of it', async () => {
  const gone = (by: 'decommission' | 'remove' | 'replace', before: Topology): Topology => {
    const { id, incarnation } = before.members[2]!
    const epoch = (before.epoch + 1) as Epoch
    return { ...before, epoch, members: before.members.slice(0, 2), removed: [{ id, incarnation, epoch, by }] }
  }
  const leaving: Topology = {
    ...founding,
    epoch: 2 as Epoch,
    members: founding.members.map((member, i) => (i === 2 ? { ...member, state: 'left' } : member)),
  }
  const ends = [
    [founding, gone('remove', founding), 'refused', /was removed at epoch 2 of/],
    [founding, gone('decommission', founding), 'refused', /was decommissioned at epoch 2 of/],
    [leaving, gone('remove', leaving), 'refused', /was removed at epoch 3 of/],
    [leaving, gone('decommission', leaving), 'decommissioned', /was decommissioned at epoch 3 of/],
    [leaving, gone('replace', leaving), 'decommissioned', /was replaced at epoch 3 of/],
    [founding, gone('replace', founding), 'refused', /was replaced at epoch 2 of/],
    [founding, { ...gone('remove', founding), removed: [] }, 'refused', /is no member of .* at epoch 2/],
  ] as const
  for (const [before, after, reason, message] of ends) {
    const trio = await Trio.open()
    const register = trio.register('n3')
    await trio.settle(register.adopt(before))
    const end = await trio.settle(register.adopt(after).catch((error: FatalError) => error))
    expect(end).toMatchObject({ reason, message: expect.stringMatching(message) })
    expect(register.topology.epoch).toBe(before.epoch)
  }
})

test('a member without a vote proposes nothing, and is asked for none', async () => {
  const trio = await Trio.open()
  const members = founding.members.map((member, i): Member => (i === 2 ? { ...member, state: 'joining' } : member))
  const growing: Topology = { ...founding, epoch: 2 as Epoch, members }
  for (const name of names) await trio.settle(trio.register(name).adopt(growing))
  await trio.world.advance(10)
  await expect(trio.settle(trio.change('n3', 7))).rejects.toMatchObject({ code: 'unavailable' })
  await trio.settle(trio.change('n1', 7))
  await trio.world.advance(10)
  expect(trio.register('n3').topology).toEqual(successor(growing, 7))
  expect(trio.sent.filter(({ to, part }) => to === 'n3' && part.registerRequest !== undefined)).toEqual([])
})

test('malformed messages end the link and change nothing', async () => {
  const trio = await Trio.open()
  const link = { sendNow: () => expect.unreachable() } as unknown as PeerLink
  for (const registerRequest of [
    { epoch: 2n, ballot: undefined, value: undefined },
    { epoch: 2n, ballot: { counter: 0, number: 1 }, value: undefined },
  ]) {
    const objection = trio.register('n1').received('n2' as NodeId, { registerRequest } as unknown as PeerMessage, link)
    expect(objection).toMatch(/^malformed message about the topology: ballot/)
  }
})
