import { expect, test } from 'vitest'
import { type Epoch, Instruments, limits, parseIncarnation, parseNodeId } from '../base/index.js'
import { Holder } from '../hints/hints.test-support.js'
import type { SlotTable } from '../slots/index.js'
import { HintedHandoff } from './hinted-handoff.js'
import { noOtherSide, type Routing } from './operations/routing.js'
import type { ComparedReplica } from './repair/compared-replica.js'
import { lostWrite, refillingWrite, refusedWrite, type WriteReply } from './replicas/replica.js'
import { applied, ScriptedReplica, stale, version } from './replication.test-support.js'
import { routingOf } from './transfer/slot-quorums.js'

class Peer extends ScriptedReplica {
  busy = false
  digests(): void {
    throw new Error('not asked here')
  }
  entries(): void {
    throw new Error('not asked here')
  }

  /** Of every write, in the order in which they came. Their own bytes are good only until they are answered. */
  readonly keys: string[] = []

  override write(...args: Parameters<ScriptedReplica['write']>): void {
    this.keys.push(Buffer.from(args[0].key).toString())
    super.write(...args)
  }
}

const self = { id: parseNodeId('self'), incarnation: parseIncarnation('1'.repeat(32)) }
const far = { id: parseNodeId('far'), incarnation: parseIncarnation('2'.repeat(32)) }
const near = { id: parseNodeId('near'), incarnation: parseIncarnation('3'.repeat(32)) }

/** One node that hands over to two others. */
class Play {
  readonly holder: Holder
  readonly peers: Peer[]
  readonly left: string[] = []
  members: (typeof self)[] = [self, far, near]
  owns: (member: number) => boolean = () => true
  /** Of the other side of a handover, if one runs. */
  willOwn: ((member: number) => boolean) | undefined
  handoff!: HintedHandoff
  #running: Promise<void> = Promise.resolve()

  private constructor(holder: Holder) {
    this.holder = holder
    this.peers = [new Peer(), new Peer(), new Peer()]
    for (const peer of this.peers) peer.automatic = true
  }

  static async start(seed: string): Promise<Play> {
    const play = new Play(await Holder.start(seed))
    play.peers[1]!.up = false
    play.run()
    return play
  }

  get far(): Peer {
    return this.peers[1]!
  }

  #routing(): Routing {
    const owning = (owns: (member: number) => boolean) => {
      const owners = Uint16Array.of(0, 1, 2).filter(owns)
      return { members: this.members, ownersPerSlot: 3, owners: () => owners }
    }
    const table = owning((member) => this.owns(member))
    const [replicas, quorums] = [this.peers, { readQuorum: 2, writeQuorum: 2, ...noOtherSide }]
    const of = { epoch: 1 as Epoch, table: table as unknown as SlotTable, self: 0, replicas, ...quorums }
    if (this.willOwn === undefined) return routingOf(of)
    const other = { ...owning(this.willOwn), ownersPerSlot: 2 } as unknown as SlotTable
    return routingOf({ ...of, other, otherReadQuorum: 1, otherWriteQuorum: 2, step: 'both' })
  }

  run(): void {
    const { clock } = this.holder.process.life
    let known: { readonly of: readonly unknown[]; readonly routing: Routing } | undefined
    // A routing is looked up far more often than the owners change, and making one goes through all slots.
    const routing = (): Routing => {
      const of = [this.owns, this.willOwn, this.members]
      if (known === undefined || of.some((part, i) => part !== known!.of[i])) known = { of, routing: this.#routing() }
      return known.routing
    }
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const peer = (member: number): ComparedReplica => this.peers[member]!
    const leaveToAntiEntropy = (node: string): void => void this.left.push(node)
    this.handoff = new HintedHandoff(
      { instruments: new Instruments(() => 0), clock, log, routing, peer, leaveToAntiEntropy },
      this.holder.store,
    )
    this.#running = this.handoff.run()
  }

  keep(...names: string[]): void {
    for (const name of names) this.handoff.keep(far as never, this.holder.record(name))
  }

  async comeBack(): Promise<void> {
    this.far.up = true
    this.handoff.returned(far.id)
    await this.advance(200)
  }

  advance(ms: number): Promise<void> {
    return this.holder.world.advance(ms)
  }

  async stop(): Promise<void> {
    this.handoff.stop()
    await this.holder.settle(this.#running)
    await this.holder.settle(this.handoff.close())
  }

  get waiting(): number {
    return this.handoff.status().reduce((sum, { hints }) => sum + hints, 0)
  }
}

test('a member gets what it has missed when it comes back, and again nothing later', async () => {
  const play = await Play.start('back')
  play.keep('k1', 'k2')
  await play.advance(5_000)
  expect(play.far.keys).toEqual([])
  await play.comeBack()
  expect(play.far.keys).toEqual(['k1', 'k2'])
  await play.advance(60_000)
  expect(play.far.keys).toEqual(['k1', 'k2'])
  expect(play.holder.files()).toEqual([])
  expect(play.left).toEqual([])
})

test('a member that can be reached and has missed a write gets it at the next look, without coming back', async () => {
  const play = await Play.start('reached')
  play.far.up = true
  play.keep('k1')
  await play.advance(2 * limits.hintIntervalMs)
  expect(play.far.keys).toEqual(['k1'])
})

test('whatever a member has or refuses for good is done with: applied, stale, refilling', async () => {
  for (const reply of [applied(), stale(version(1)), refillingWrite]) {
    const play = await Play.start(reply.kind)
    play.far.automatic = false
    play.keep('k1')
    await play.comeBack()
    play.far.writes[0]!.reply(reply)
    await play.advance(60_000)
    expect(play.far.writes).toHaveLength(1)
    expect(play.waiting).toBe(0)
  }
})

test('a member that refuses, or whose answer is lost, is asked again after ever longer, with the same stamp', async () => {
  for (const reply of [refusedWrite('overloaded'), refusedWrite('unavailable'), lostWrite]) {
    const play = await Play.start(`refusal ${reply.code}`)
    play.far.automatic = false
    const times: number[] = []
    const applyAll = play.far.write.bind(play.far)
    play.far.write = (...args) => {
      applyAll(...args)
      times.push(play.holder.world.nowMs)
      play.far.writes.at(-1)!.reply(reply)
    }
    play.keep('k1')
    await play.comeBack()
    await play.advance(120_000)
    const pauses = times.slice(1).map((time, i) => time - times[i]!)
    expect(pauses[0]).toBeGreaterThanOrEqual(limits.hintBackoffMsMin)
    expect(Math.max(...pauses)).toBeLessThanOrEqual(limits.hintBackoffMsMax + limits.hintIntervalMs)
    expect(times.length).toBeGreaterThan(5)
    expect(times.length).toBeLessThan(15)
    expect(new Set(play.far.writes.map(({ record }) => record.lo)).size).toBe(1)
    expect(play.waiting).toBe(1)
    // Coming back puts an end to the pause.
    play.far.write = applyAll
    play.far.automatic = true
    await play.comeBack()
    expect(play.waiting).toBe(0)
  }
})

test('a member that says nothing for too long is left alone for a while, and its late answer changes nothing', async () => {
  const play = await Play.start('silence')
  play.far.automatic = false
  play.keep('k1')
  await play.comeBack()
  await play.advance(limits.hintReplyMs + limits.hintBackoffMsMin + 2 * limits.hintIntervalMs)
  expect(play.far.writes).toHaveLength(2)
  play.far.writes[0]!.reply(applied())
  await play.advance(100)
  expect(play.waiting).toBe(1)
  play.far.writes[1]!.reply(applied())
  await play.advance(100)
  expect(play.waiting).toBe(0)
})

test('one member that says nothing does not keep another from its hints', async () => {
  const play = await Play.start('two')
  play.far.automatic = false
  play.keep('k1')
  await play.comeBack()
  play.handoff.keep(near as never, play.holder.record('n1'))
  await play.advance(limits.hintReplyMs + 2 * limits.hintIntervalMs)
  expect(play.peers[2]!.keys).toEqual(['n1'])
})

test('while the link is busy nothing is sent', async () => {
  const play = await Play.start('busy')
  play.far.busy = true
  play.keep('k1')
  await play.comeBack()
  await play.advance(10_000)
  expect(play.far.keys).toEqual([])
  play.far.busy = false
  await play.advance(limits.antiEntropyYieldMs + 10)
  expect(play.far.keys).toEqual(['k1'])
})

test('what is handed over keeps to the rate', async () => {
  const play = await Play.start('rate')
  const value = 250_000
  const count = 40
  for (let i = 0; i < count; i++) {
    play.handoff.keep(far as never, play.holder.record(`k${i}`, value))
    await play.advance(20)
  }
  const startMs = play.holder.world.nowMs
  play.far.up = true
  play.handoff.returned(far.id)
  await play.holder.world.runUntil(() => play.waiting === 0, 60_000)
  const atLeastMs = ((count - 2) * value * 1000) / limits.hintBytesPerSecond
  expect(play.holder.world.nowMs - startMs).toBeGreaterThan(atLeastMs)
  expect(play.holder.world.nowMs - startMs).toBeLessThan(3 * atLeastMs)
  expect(new Set(play.far.keys).size).toBe(count)
})

test('a link that breaks in the middle: the rest comes with the next, and what is done is not repeated', async () => {
  const play = await Play.start('broken')
  for (let i = 0; i < 12; i++) {
    play.handoff.keep(far as never, play.holder.record(`k${i}`, 200_000))
    await play.advance(20)
  }
  const pages: number[] = []
  const original = play.far.write.bind(play.far)
  play.far.write = (...args) => {
    pages.push(args[3])
    if (pages.length > 5) {
      play.far.up = false
      args[2].writeReplied(args[3], lostWrite as WriteReply)
    } else original(...args)
  }
  await play.comeBack()
  expect(play.far.keys).toHaveLength(5)
  play.far.write = original
  await play.comeBack()
  await play.advance(2_000)
  expect(new Set(play.far.keys).size).toBe(12)
  expect(play.far.keys).toHaveLength(12)
})

test('the holder stops and starts again: what was acknowledged on its last way is there', async () => {
  const play = await Play.start('restart')
  play.keep('k1')
  play.handoff.stop()
  play.keep('lost on the way while stopping')
  await play.stop()
  await play.holder.crash({ disk: 'lose' })
  play.run()
  await play.comeBack()
  expect(play.far.keys).toEqual(['k1', 'lost on the way while stopping'])
})

test('hints for a member that was wiped, or is no more, are removed and never sent', async () => {
  for (const members of [
    [self, { ...far, incarnation: parseIncarnation('9'.repeat(32)) }, near],
    [self, near],
  ]) {
    const play = await Play.start('wiped')
    play.keep('k1')
    await play.advance(2_000)
    expect(play.holder.files()).toHaveLength(1)
    play.members = members
    play.handoff.wake()
    await play.comeBack()
    await play.advance(3_000)
    expect(play.holder.files()).toEqual([])
    expect(play.handoff.status()).toEqual([])
    expect(play.peers.flatMap(({ keys }) => keys)).toEqual([])
  }
})

test('a key whose slot the member does not own any more is not sent to it', async () => {
  const play = await Play.start('moved')
  play.keep('k1')
  play.owns = (member) => member !== 1
  await play.comeBack()
  expect(play.far.keys).toEqual([])
  expect(play.waiting).toBe(0)
})

test('while the slot of a key moves its hint is sent to owners of either side', async () => {
  const play = await Play.start('moving')
  play.keep('k1')
  play.owns = (member) => member !== 1
  play.willOwn = (member) => member !== 2
  await play.comeBack()
  expect(play.far.keys).toEqual(['k1'])
})

test('what is dropped is left to anti-entropy, once, when the member is there and the rest has been handed over', async () => {
  const play = await Play.start('left')
  play.far.automatic = false
  for (let i = 0; i < 40; i++) play.handoff.keep(far as never, play.holder.record(`k${i}`, 1_000_000))
  await play.advance(2_000)
  const [status] = play.handoff.status()
  expect(status!.dropped).toBeGreaterThan(0)
  expect(play.left).toEqual([])
  play.far.automatic = true
  await play.comeBack()
  await play.advance(10_000)
  expect(play.far.keys).toHaveLength(status!.hints)
  expect(play.left).toEqual([far.id])
  await play.advance(10_000)
  expect(play.left).toEqual([far.id])
})

test('hints that are too old are not handed over', async () => {
  const play = await Play.start('old')
  play.keep('k1')
  await play.advance(limits.hintAgeMsMax + limits.hintFileMsMax + 2 * limits.hintIntervalMs)
  expect(play.holder.files()).toEqual([])
  await play.comeBack()
  expect(play.far.keys).toEqual([])
  expect(play.left).toEqual([far.id])
})

test('nor while they are being handed over: a link that is busy for long does not make them come late', async () => {
  const play = await Play.start('old on the way')
  play.keep('k1')
  await play.advance(2_000)
  play.far.busy = true
  await play.comeBack()
  await play.advance(limits.hintAgeMsMax)
  play.far.busy = false
  await play.advance(2 * limits.hintBackoffMsMax)
  expect(play.far.keys).toEqual([])
  expect(play.waiting).toBe(0)
})

test('many hints are written before their time, so that memory stays small', async () => {
  const play = await Play.start('many')
  await play.advance(100)
  for (let i = 0; i < 3; i++) play.keep('x'.repeat(900))
  for (let i = 0; i < 12; i++) play.handoff.keep(far as never, play.holder.record('big', 100_000))
  await play.advance(50)
  const [{ bytes } = { bytes: 0 }] = play.handoff.status()
  expect(bytes).toBeGreaterThan(1_200_000)
  const [path] = play.holder.files()
  expect(play.holder.process.drive.peek(path!)!.length).toBeGreaterThan(1_200_000)
})
