import type { ServerDuplexStream, ServerErrorResponse } from '@grpc/grpc-js'

/**
 * What is used here of the library that is not for users of it: a status that does not go behind all that waits. The version is
 * pinned.
 */
interface Internals {
  readonly call: { sendStatus(status: ServerErrorResponse): void }
}

/** Ends a call whose client does not take what waits: nothing of that is kept but what the connection has been handed already. */
export function dropCall(call: ServerDuplexStream<Buffer, Buffer>, status: ServerErrorResponse): void {
  call.destroy()
  const below = (call as unknown as Internals).call
  below.sendStatus(status)
}
