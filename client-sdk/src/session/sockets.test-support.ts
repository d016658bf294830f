import { connect, createServer, type Socket, type Server as TcpServer } from 'node:net'
import { expect } from 'vitest'
import { KvError } from '../index.js'

/** Takes connections and says nothing. */
export async function startMuteServer(
  port: number = 0,
): Promise<{ address: string; sockets: Set<Socket>; stop(): void }> {
  const sockets = new Set<Socket>()
  const server: TcpServer = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    socket.resume()
  })
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve)
  })
  const bound = server.address() as { port: number }
  return {
    address: `127.0.0.1:${bound.port}`,
    sockets,
    stop: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** Takes connections at once and leads them on to a node after a while. */
export async function startSlowProxy(port: number, delayMs: number): Promise<{ address: string; stop(): void }> {
  const sockets = new Set<Socket>()
  const own = (socket: Socket): Socket => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    return socket
  }
  const server = createServer((near) => {
    own(near)
    setTimeout(() => {
      if (near.destroyed) return
      const far = own(connect(port, '127.0.0.1'))
      near.pipe(far)
      far.pipe(near)
    }, delayMs)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const bound = server.address() as { port: number }
  return {
    address: `127.0.0.1:${bound.port}`,
    stop: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** Waits for a condition; fails after two seconds. */
export async function until(condition: () => boolean, what: string, timeoutMs = 2000): Promise<void> {
  const endAt = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > endAt) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** The KvError that a call rejects with; a failed expectation where it resolves, or rejects with anything else. */
export async function rejection(promise: Promise<unknown>): Promise<KvError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(KvError)
  return error as KvError
}
