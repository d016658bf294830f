import { expect, test } from 'vitest'
import { AssertionError } from '../base/index.js'
import { writeFully } from '../env/index.js'
import { type SimProcess, SimWorld } from './index.js'

/** Notes whether a promise has settled, either way. */
function watch(promise: Promise<unknown>): { settled: boolean } {
  const state = { settled: false }
  const note = (): void => {
    state.settled = true
  }
  promise.then(note, note)
  return state
}

test('timers and deferred calls of a crashed life never fire, whenever they were set', async () => {
  const world = new SimWorld({ seed: 1 })
  const node = world.process('n')
  const clock = node.clock
  let fired = 0
  clock.setTimer(10, () => fired++)
  clock.defer(() => fired++)
  node.crash()
  clock.setTimer(10, () => fired++)
  clock.defer(() => fired++)
  node.restart()
  clock.setTimer(10, () => fired++)
  let firedAnew = 0
  node.clock.setTimer(10, () => firedAnew++)
  await world.advance(100)
  expect([fired, firedAnew]).toEqual([0, 1])
})

test('disk operations of a crashed life never settle and never change the disk', async () => {
  const world = new SimWorld({ seed: 1 })
  const node = world.process('n')
  const disk = node.disk
  const file = await world.settle(disk.open('a', 'create'))
  await world.settle(disk.syncDirectory(''))
  node.crash({ disk: 'lose' })
  const calls = [file.write(new Uint8Array([1]), 0), file.sync(), disk.open('b', 'create'), disk.remove('a')].map(watch)
  node.restart()
  calls.push(watch(file.truncate(100)), watch(disk.rename('a', 'c')))
  await world.advance(1000)
  expect(calls.every((call) => !call.settled)).toBe(true)
  expect(node.drive.paths()).toEqual(['a'])
  expect(node.drive.peek('a')).toEqual(new Uint8Array(0))
  for (let i = 0; i < 10; i++) {
    node.crash({ disk: 'keep' }) // which may finish what is under way: none of the dead
    node.restart()
  }
  expect(node.drive.paths()).toEqual(['a'])
})

test('a crashed life hears and says nothing on the network', async () => {
  const world = new SimWorld({ seed: 1 })
  const [a, b] = [world.process('a'), world.process('b')]
  let heardByA = 0
  let heardByB = 0
  await world.settle(
    b.network.listen('b:1', (link) => {
      link.start({ message: () => heardByB++, drain() {}, close() {} })
      link.send(new Uint8Array(1))
    }),
  )
  const formerNetwork = a.network
  const link = await world.settle(formerNetwork.connect('b:1', 'requests', 1000))
  link.start({ message: () => heardByA++, drain() {}, close: () => heardByA++ })
  a.crash()
  expect(link.send(new Uint8Array(1))).toBe(false)
  const calls = [formerNetwork.connect('b:1', 'requests', 100), formerNetwork.listen('a:1', () => {})].map(watch)
  await world.advance(5000)
  expect([heardByA, heardByB]).toEqual([0, 0])
  expect(calls.every((call) => !call.settled)).toBe(true)
})

test('a program that was in the middle of something when it crashed does not go on', async () => {
  const world = new SimWorld({ seed: 1 })
  const node = world.process('n')
  const steps: string[] = []
  const program = async (name: string): Promise<void> => {
    const { disk } = node
    const file = await disk.open(name, 'create')
    for (let i = 0; i < 100; i++) {
      await writeFully(file, new Uint8Array(100), 100 * i)
      steps.push(`${name} ${i}`)
    }
  }
  watch(program('first'))
  await world.runUntil(() => steps.length === 20)
  node.crash({ disk: 'keep' })
  node.restart()
  await world.settle(program('second'))
  expect(steps.filter((step) => step.startsWith('first')).length).toBe(20)
  expect(steps.filter((step) => step.startsWith('second')).length).toBe(100)
  expect(node.drive.peek('second')?.length).toBe(10_000)
})

test('what happens to a paused process waits, in order, while its clock runs on', async () => {
  const world = new SimWorld({ seed: 1 })
  const node = world.process('n')
  const order: string[] = []
  node.clock.setTimer(20, () => order.push('timer 20'))
  node.clock.setTimer(10, () => order.push('timer 10'))
  const cancelled = node.clock.setTimer(15, () => order.push('cancelled'))
  const write = watch(node.disk.open('a', 'create'))
  node.pause()
  await world.advance(500)
  expect(order).toEqual([])
  expect(write.settled).toBe(false)
  expect(node.clock.monotonicMs()).toBe(500)
  cancelled.cancel()
  node.resume()
  await world.advance(0)
  expect(order).toEqual(['timer 10', 'timer 20'])
  expect(write.settled).toBe(true)
  node.clock.setTimer(5, () => order.push('later'))
  await world.advance(5)
  expect(order.at(-1)).toBe('later')
})

test('a process that crashes while it is paused leaves nothing behind', async () => {
  const world = new SimWorld({ seed: 1 })
  const node = world.process('n')
  let fired = 0
  node.clock.setTimer(10, () => fired++)
  node.pause()
  await world.advance(50)
  node.crash()
  node.restart()
  expect(node.paused).toBe(false)
  await world.advance(50)
  expect(fired).toBe(0)
})

test('each life has its own randomness and monotonic time; the machine keeps wall time, skew and drift', async () => {
  const world = new SimWorld({ seed: 1 })
  const [node, other] = [world.process('n'), world.process('m')]
  const draws = (of: SimProcess): string => Buffer.from(of.random.bytes(16)).toString('hex')
  node.time.setSkewMs(60_000)
  await world.advance(1000)
  expect(node.clock.wallMs() - other.clock.wallMs()).toBe(60_000)
  const first = draws(node)
  node.crash()
  node.restart()
  expect(draws(node)).not.toBe(first)
  expect(draws(other)).not.toBe(first)
  expect(node.clock.monotonicMs()).toBe(0)
  expect(node.clock.wallMs() - other.clock.wallMs()).toBe(60_000)
  node.time.setDriftPpm(-100_000)
  await world.advance(1000)
  expect(node.clock.monotonicMs()).toBe(900)
  expect(node.clock.wallMs() - other.clock.wallMs()).toBe(59_900)
  node.time.setSkewMs(-60_000)
  expect(node.clock.wallMs() - other.clock.wallMs()).toBe(-60_100)
  expect(node.clock.monotonicMs()).toBe(900)
})

test('a timer measures the time of its machine, also when that slows down or speeds up meanwhile', async () => {
  const world = new SimWorld({ seed: 1 })
  const node = world.process('n')
  const fired: number[] = []
  node.clock.setTimer(100, () => fired.push(node.clock.monotonicMs(), world.nowMs))
  await world.advance(50)
  node.time.setDriftPpm(-500_000)
  await world.advance(60)
  expect(fired).toEqual([])
  await world.advance(100)
  expect(fired).toEqual([100, 150])
})

test('lives follow each other', () => {
  const world = new SimWorld({ seed: 1 })
  const node = world.process('n')
  expect(world.process('n')).toBe(node)
  expect(() => node.restart()).toThrow(AssertionError)
  expect(() => node.resume()).toThrow(AssertionError)
  const life = node.life
  node.crash()
  expect(node.running).toBe(false)
  expect(() => node.crash()).toThrow(AssertionError)
  expect(() => node.pause()).toThrow(AssertionError)
  expect(node.restart()).not.toBe(life)
  expect(world.processes).toEqual([node])
})
