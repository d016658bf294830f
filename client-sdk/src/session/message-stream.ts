import { type Call, CallError, type CallEvents, grpcStatus } from '../call.js'

interface Reader {
  readonly resolve: (message: Buffer | undefined) => void
  readonly reject: (error: CallError) => void
}

/**
 * The messages of a call, to be taken one at a time. What nobody has asked for holds the node up: at most the window of
 * one stream waits here.
 */
export class MessageStream {
  private readonly call: Call
  private readonly waiting: Buffer[] = []
  private reader: Reader | undefined
  /** How the call ended. */
  private ended: { readonly error: CallError | undefined } | undefined

  /** `open` makes the call, whose events come here. */
  constructor(open: (events: CallEvents) => Call) {
    this.call = open({
      message: (bytes) => this.take(bytes),
      drain: () => undefined,
      end: (error) => this.end(error),
    })
  }

  /** Undefined: there are no more, and the call ended in good order. Rejects with a CallError. One reader at a time. */
  next(): Promise<Buffer | undefined> {
    const message = this.waiting.shift()
    if (message !== undefined) return Promise.resolve(message)
    if (this.ended !== undefined) {
      const { error } = this.ended
      return error === undefined ? Promise.resolve(undefined) : Promise.reject(error)
    }
    return new Promise((resolve, reject) => {
      this.reader = { resolve, reject }
      this.call.resume()
    })
  }

  /** Nobody reads any more; whoever waits is told so. Idempotent. */
  cancel(): void {
    this.call.cancel()
    this.waiting.length = 0
    this.end(new CallError(grpcStatus.cancelled, 'the call was cancelled'))
  }

  private take(message: Buffer): void {
    const { reader } = this
    this.reader = undefined
    if (reader !== undefined) reader.resolve(message)
    else {
      this.waiting.push(message)
      this.call.pause()
    }
  }

  private end(error: CallError | undefined): void {
    this.ended ??= { error }
    const { reader } = this
    this.reader = undefined
    if (reader === undefined) return
    if (error === undefined) reader.resolve(undefined)
    else reader.reject(error)
  }
}
