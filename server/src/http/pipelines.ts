import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { limits } from '@quorumkv/internal/base'

/**
 * The requests of each connection that have not been answered to the end. A caller may send many without waiting: Node begins all
 * that come in one piece, and answers them in turn.
 */
export class Pipelines {
  readonly #open = new WeakMap<Socket, Set<ServerResponse>>()

  /** Counts a request. False: it is one too many, and its connection has been closed. */
  admit(socket: Socket, outgoing: ServerResponse): boolean {
    const open = this.#open.get(socket) ?? this.#begin(socket)
    if (open.size >= limits.httpPipelinedMax) {
      socket.destroy()
      return false
    }
    open.add(outgoing)
    outgoing.once('close', () => open.delete(outgoing))
    return true
  }

  #begin(socket: Socket): Set<ServerResponse> {
    const open = new Set<ServerResponse>()
    this.#open.set(socket, open)
    socket.once('close', () => {
      for (const outgoing of open) {
        // Node tells only the one whose turn it is; the others would be waited for, and what they hold never given back.
        if (outgoing.socket !== null) continue
        outgoing.destroy()
        outgoing.emit('close')
      }
    })
    return open
  }
}
