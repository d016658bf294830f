import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** The requests whose bodies are on their way, the one first that has been so for longest. */
export class Uploads {
  readonly #sinceMs = new Map<IncomingMessage, number>()

  /** A request has come; its body may be still to come. */
  add(incoming: IncomingMessage): void {
    const { 'content-length': length, 'transfer-encoding': coding } = incoming.headers
    if (coding === undefined && (length === undefined || length === '0')) return
    this.#sinceMs.set(incoming, performance.now())
    const remove = (): void => void this.#sinceMs.delete(incoming)
    incoming.once('end', remove).once('close', remove)
  }

  /** Closes the connection of the one, of those who are `meant`, that has been at it for longest, where that is for `leastMs` or longer. */
  endOldest(meant: (socket: Socket) => boolean, leastMs: number): boolean {
    for (const [incoming, sinceMs] of this.#sinceMs) {
      if (performance.now() - sinceMs < leastMs) return false
      if (!meant(incoming.socket)) continue
      this.#sinceMs.delete(incoming)
      incoming.socket.destroy()
      return true
    }
    return false
  }
}
