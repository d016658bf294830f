import type { ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { addressOf } from './connection-gate.js'

/** A connection that was accepted, whatever is spoken on it. */
export interface Connection {
  /** Where it comes from: see `addressGroup`. */
  readonly address: string
  /** How much is under way on it. */
  tasks: number
  /** It has not ended. */
  open: boolean
  /** Ends it at once, and lets go of what waits on it. Whoever speaks on it may put a way in its place by which the other end is told more. */
  close: () => void
}

/** What is under way on a connection until it is closed: a call, or the answer to a request. */
export interface Task {
  once(event: 'close', listener: () => void): unknown
}

/**
 * Has a connection end with the session of HTTP/2 on it. Node does not close the connection of a session that is destroyed while
 * a write waits for its other end, nor let go of what is written, for as long as that end likes.
 *
 * @param graceMs how long what is written may take to go out where the session is destroyed by others, as when no ping is answered.
 */
export function closeWithSession(session: ServerHttp2Session, connection: Connection, graceMs: number): void {
  const { close } = connection
  const { destroy } = session
  session.destroy = (...of) => {
    Reflect.apply(destroy, session, of)
    if (connection.open) setTimeout(close, graceMs).unref()
  }
  connection.close = () => {
    // First the session: the other end is told that nothing has become of what it may just have asked.
    Reflect.apply(destroy, session, [])
    close()
  }
}

/** Both ends, which no other connection has at the same time. Of TLS the socket underneath is another, and its ends are the same. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}

/**
 * The connections on which nothing is under way: they shake hands, or nothing has been asked, or not all of its head has come, or
 * everything is answered. Any of them can be made again when it is needed.
 */
export class IdleConnections {
  readonly #connections = new Map<string, Connection>()
  /** Which of them are idle, the one that has been so for longest first. */
  readonly #idle = new Set<Connection>()

  /** A connection has been accepted. */
  add(socket: Socket): void {
    const ends = endsOf(socket)
    const connection: Connection = { address: addressOf(socket), tasks: 0, open: true, close: () => socket.destroy() }
    this.#connections.set(ends, connection)
    this.#idle.add(connection)
    socket.once('close', () => {
      connection.open = false
      this.#idle.delete(connection)
      // The ends may be another's by now.
      if (this.#connections.get(ends) === connection) this.#connections.delete(ends)
    })
  }

  /** The connection of a socket, also of one of TLS. Undefined: it has ended. */
  find(socket: Socket): Connection | undefined {
    return this.#connections.get(endsOf(socket))
  }

  /** Something is under way on a connection until `task` is closed. */
  begin(connection: Connection, task: Task): void {
    connection.tasks++
    this.#idle.delete(connection)
    task.once('close', () => {
      if (--connection.tasks === 0 && connection.open) this.#idle.add(connection)
    })
  }

  /** Closes the one that has been idle for longest; false: none is. */
  closeOne(): boolean {
    const [longest] = this.#idle
    if (longest === undefined) return false
    this.#idle.delete(longest)
    longest.close()
    return true
  }

  /** Closes all, whatever is under way on them. */
  closeAll(): void {
    for (const connection of this.#connections.values()) connection.close()
  }
}
