import { expect, test } from 'vitest'
import { Cancellation } from './index.js'

test('the listener hears of a cancellation once, however often it is cancelled', () => {
  const cancellation = new Cancellation()
  let heard = 0
  cancellation.onCancel(() => heard++)
  expect(cancellation.cancelled).toBe(false)
  cancellation.cancel()
  cancellation.cancel()
  expect(cancellation.cancelled).toBe(true)
  expect(heard).toBe(1)
})

test('only the last listener is called, and one that comes too late has to look for itself', () => {
  const heard: string[] = []
  const cancellation = new Cancellation()
  cancellation.onCancel(() => heard.push('first'))
  cancellation.onCancel(() => heard.push('second'))
  cancellation.cancel()
  cancellation.onCancel(() => heard.push('late'))
  expect(heard).toEqual(['second'])
  const abandoned = new Cancellation()
  abandoned.onCancel(() => heard.push('abandoned'))
  abandoned.onCancel(undefined)
  abandoned.cancel()
  expect(heard).toEqual(['second'])
})
