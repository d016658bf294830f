import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import type { Field } from './field.js'

/** A connection whose frames are in order; what is said in them need not be. */
export class Calls {
  readonly session: ClientHttp2Session
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>
  readonly #field: Field

  constructor(field: Field, windowBytes?: number) {
    this.#field = field
    const { grpcPort } = field.order
    this.session = field.own(
      connect(`http://127.0.0.1:${grpcPort}`, {
        createConnection: () => field.socket(grpcPort),
        // Node would end calls whose answers come while more than 10 MB wait to be sent.
        maxSessionMemory: 10_000,
        ...(windowBytes === undefined ? {} : { settings: { initialWindowSize: windowBytes } }),
      }),
    )
    this.session.on('error', () => undefined)
    this.session.on('goaway', (code) => field.tell(`GOAWAY ${code}`))
    this.closed = new Promise((resolve) => this.session.once('close', resolve))
  }

  /** Begins a call. Nothing of what comes back is read unless somebody does. */
  begin(path: string, headers: Readonly<Record<string, string>> = {}): ClientHttp2Stream {
    const fixed = { ':path': path, ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' }
    const stream = this.session.request({ ...fixed, ...headers })
    const see = (answer: Record<string, unknown>): void => {
      const status = answer['grpc-status']
      if (status !== undefined) this.#field.tell(`grpc-status ${status}`)
    }
    stream.on('response', see)
    stream.on('trailers', see)
    stream.on('error', () => undefined)
    stream.once('close', () => {
      if (stream.rstCode !== 0) this.#field.tell(`stream reset with ${stream.rstCode}`)
    })
    return stream
  }

  /** A call with one message, read to its end. Resolves when it is over, however it ends. */
  async whole(path: string, body: Uint8Array, headers: Readonly<Record<string, string>> = {}): Promise<void> {
    const stream = this.begin(path, headers)
    const over = new Promise<void>((resolve) => stream.once('close', resolve))
    stream.resume()
    stream.on('response', (answer) => {
      // Refused in the middle of its message: there is nothing more to say.
      if (answer['grpc-status'] !== undefined) stream.close()
    })
    stream.end(body)
    await this.#field.until(over)
  }

  leave(): void {
    this.#field.disown(this.session)
    this.session.destroy()
  }
}

/** Does `one` for each of `size`, so many at a time, over a few connections that are made anew when they are closed. */
export async function callAll(
  field: Field,
  { connections, inFlight }: { readonly connections: number; readonly inFlight: number },
  one: (calls: Calls, i: number) => Promise<void>,
): Promise<void> {
  const { size } = field.order
  const lanes = Array.from({ length: connections }, async () => {
    while (field.sent < size && !field.over) {
      const calls = new Calls(field)
      const lane = async (): Promise<void> => {
        while (field.sent < size && !field.over && !calls.session.closed && !calls.session.destroyed) {
          await one(calls, field.sent++)
        }
      }
      await Promise.all(Array.from({ length: inFlight }, lane))
      calls.leave()
    }
  })
  await Promise.all(lanes)
}
