import fc from 'fast-check'
import { expect, test } from 'vitest'
import { InFlight } from './in-flight.js'
import { Operation } from './operation.js'
import { SendQueue } from './send-queue.js'

const make = (): Operation => new Operation('get', Buffer.from('k'), 0, 1000)

test('every operation in flight has an id of its own, and is found by it once', () => {
  const steps = fc.array(fc.oneof(fc.constant('add' as const), fc.nat({ max: 1000 })), { maxLength: 500 })
  fc.assert(
    fc.property(steps, (list) => {
      const inFlight = new InFlight()
      const model = new Map<number, Operation>()
      for (const step of list) {
        if (step === 'add') {
          const operation = make()
          inFlight.add(operation)
          expect(model.has(operation.id)).toBe(false)
          model.set(operation.id, operation)
        } else if (model.size > 0) {
          const id = [...model.keys()][step % model.size]!
          expect(inFlight.take(id)).toBe(model.get(id))
          expect(inFlight.take(id)).toBeUndefined()
          model.delete(id)
        }
        expect(inFlight.size).toBe(model.size)
      }
      expect(inFlight.takeAll()).toEqual([...model.values()])
      expect(inFlight.size).toBe(0)
    }),
  )
})

test('a late answer to an operation that is gone does not reach one that has taken its place', () => {
  const inFlight = new InFlight()
  const first = make()
  inFlight.add(first)
  const stale = first.id
  inFlight.take(stale)
  for (let i = 0; i < 1000; i++) {
    const operation = make()
    inFlight.add(operation)
    expect(operation.id).not.toBe(stale)
    expect(inFlight.take(stale)).toBeUndefined()
    inFlight.take(operation.id)
  }
})

test('an operation that stays for long does not stand in the way of the others', () => {
  const inFlight = new InFlight()
  const slow = make()
  inFlight.add(slow)
  for (let i = 0; i < 10_000; i++) {
    const operation = make()
    inFlight.add(operation)
    expect(inFlight.take(operation.id)).toBe(operation)
  }
  expect(inFlight.take(slow.id)).toBe(slow)
})

test('the queue keeps its order whatever leaves it, and holds nothing that has left', () => {
  const steps = fc.array(fc.oneof(fc.constantFrom('push', 'shift'), fc.nat({ max: 1000 })), { maxLength: 300 })
  fc.assert(
    fc.property(steps, (list) => {
      const queue = new SendQueue()
      let model: Operation[] = []
      for (const step of list) {
        const first = queue.peek()
        expect(first).toBe(model[0])
        if (step === 'push') {
          const operation = make()
          queue.push(operation)
          model.push(operation)
        } else if (step === 'shift') {
          if (first !== undefined) queue.delete(first)
          model = model.slice(1)
        } else if (model.length > 0) {
          const [gone] = model.splice((step as number) % model.length, 1)
          queue.delete(gone!)
          queue.delete(gone!)
        }
        expect(queue.size).toBe(model.length)
      }
      expect(queue.takeAll()).toEqual(model)
    }),
  )
})

test('a queue that is never sent does not grow by what was withdrawn from it', () => {
  const queue = new SendQueue()
  const stays = make()
  queue.push(stays)
  for (let i = 0; i < 100_000; i++) {
    const operation = make()
    queue.push(operation)
    queue.delete(operation)
  }
  expect(Reflect.get(queue, 'places')).toHaveProperty(
    'length',
    expect.toSatisfy((length: number) => length < 3000),
  )
  expect(queue.peek()).toBe(stays)
})
