import type { IncomingMessage } from 'node:http'

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

  /** Closes the connection of the one that has been at it for longest, where that is longer than so. */
  endOldest(leastMs: number): boolean {
    const [oldest] = this.#sinceMs
    if (oldest === undefined || performance.now() - oldest[1] < leastMs) return false
    this.#sinceMs.delete(oldest[0])
    oldest[0].socket.destroy()
    return true
  }
}
