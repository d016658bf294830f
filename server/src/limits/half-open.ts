import { constants, type ServerHttp2Stream } from 'node:http2'

/** How soon it is looked again whether a status is out that the connection did not take at once. */
const againMs = 100

/**
 * Closes a stream of gRPC once its status has been sent, also where the caller has not come to the end of what it sends, with
 * RST_STREAM NO_ERROR (RFC 9113, 8.1). Nobody reads it any more. Otherwise it would stay for as long as the caller
 * likes, as one of the streams of its connection, with what belongs to it in memory.
 */
export function closeWhenAnswered(stream: ServerHttp2Stream): void {
  const close = (): void => {
    if (stream.closed || stream.destroyed) return
    const { localClose, remoteClose } = stream.state
    if (remoteClose === 1) return
    // What is still to be sent would be lost, and Node does not tell when it is out.
    if (localClose === 1) stream.close(constants.NGHTTP2_NO_ERROR)
    else setTimeout(close, againMs).unref()
  }
  const soon = (): void => {
    // As of every call with one message, whose caller has said all by then.
    if (stream.state.remoteClose === 1) return
    // Trailers are handed over within the event, and sent in the next turn: this is the one after.
    setImmediate(() => setImmediate(close))
  }
  stream.once('wantTrailers', soon)
  stream.once('finish', () => {
    // A status without a message stands in the headers, and no trailers come; nor do they where what came is not gRPC (415).
    const { ':status': http, 'grpc-status': status } = stream.sentHeaders ?? {}
    if (status !== undefined || http !== constants.HTTP_STATUS_OK) soon()
  })
}
