import { connect, Socket } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { resolveOptions } from '../options.js'
import { Connection, type ConnectionEvents } from './connection.js'

vi.mock('node:net', async (original) => ({ ...(await original<typeof import('node:net')>()), connect: vi.fn() }))

afterEach(() => {
  vi.useRealTimers()
})

const events = (): ConnectionEvents => ({
  onReady: vi.fn(),
  onMessage: vi.fn(),
  onDrain: vi.fn(),
  onBroken: vi.fn(),
})

/** A socket towards a machine that is switched off: it never connects. */
const silentSocket = (): Socket => {
  const socket = new Socket()
  vi.mocked(connect).mockReturnValue(socket)
  return socket
}

test('a connection towards a machine that is switched off is called off with the client', () => {
  const socket = silentSocket()
  const seen = events()
  const connection = new Connection('192.0.2.1:50051', resolveOptions(['a:1']), {}, seen)
  expect(connect).toHaveBeenLastCalledWith({ host: '192.0.2.1', port: 50_051 })
  connection.destroy()
  expect(socket.destroyed).toBe(true)
  expect(seen.onBroken).not.toHaveBeenCalled()
})

test('a connection that does not come about in time is broken, once, and certainly nothing was sent on it', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const socket = silentSocket()
  const seen = events()
  new Connection('192.0.2.1:50051', resolveOptions(['a:1']), {}, seen)
  vi.advanceTimersByTime(1999)
  expect(seen.onBroken).not.toHaveBeenCalled()
  vi.advanceTimersByTime(10_000)
  expect(seen.onBroken).toHaveBeenCalledExactlyOnceWith({
    error: expect.objectContaining({ code: 'unavailable', node: '192.0.2.1:50051' }),
    refused: true,
  })
  expect(socket.destroyed).toBe(true)
})
