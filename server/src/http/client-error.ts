import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { type Problem, problemType } from './problem.js'

/** What Node's server makes of a connection that does not speak HTTP as it should. */
interface ClientError extends Error {
  readonly code?: string
}

interface Fault {
  readonly status: number
  readonly field: string
  readonly detail: string
}

function faultOf({ code }: ClientError): Fault {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return { status: 431, field: 'headers', detail: 'the request line and the headers are too large' }
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, field: 'request', detail: 'the request did not come in time' }
    default:
      return { status: 400, field: 'request', detail: 'this is not HTTP/1.1 as this server reads it' }
  }
}

function problemOf({ status, field, detail }: Fault): string {
  const problem: Problem = {
    type: 'urn:quorumkv:problem:invalid-argument',
    title: STATUS_CODES[status] ?? '',
    status,
    detail: `${field}: ${detail}`,
    code: 'invalid-argument',
    field,
    outcome: 'not-applied',
    retryable: false,
    requestId: randomUUID(),
  }
  return JSON.stringify(problem)
}

/** The answer to what is no request, after which the connection ends: where the next one would begin is not known. */
export function answerClientError(error: ClientError, socket: Duplex): void {
  // Who has gone is told nothing.
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const fault = faultOf(error)
  const body = problemOf(fault)
  const head = [
    `HTTP/1.1 ${fault.status} ${STATUS_CODES[fault.status]}`,
    'Connection: close',
    `Content-Type: ${problemType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  // Written whole and then destroyed: the other end may never close, and half a connection is held for it for ever.
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}

/** The answer to a request whose line and `Host` make no URL. */
export function unreadableRequest(detail: string): Response {
  const body = problemOf({ status: 400, field: 'request', detail })
  return new Response(body, { status: 400, headers: { 'content-type': problemType } })
}
