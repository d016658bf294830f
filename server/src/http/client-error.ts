import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
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

function isTlsError({ code }: ClientError): boolean {
  return code?.startsWith('ERR_SSL_') === true || code?.startsWith('ERR_TLS_') === true
}

/** The answer to what is no request, after which the connection ends: where the next one would begin is not known. */
export function answerClientError(error: ClientError, socket: Duplex): void {
  // Who has gone is told nothing, nor is who could not agree with this server on TLS: they could not read it.
  if (error.code === 'ECONNRESET' || !socket.writable || isTlsError(error)) {
    socket.destroy()
    return
  }
  endWith(socket, faultOf(error))
}

/** The answer to CONNECT: this is no proxy. */
export function refuseConnect(_request: IncomingMessage, socket: Duplex): void {
  // Node takes its own listeners off a connection that asks for a tunnel; a reset would end the process.
  socket.on('error', () => socket.destroy())
  endWith(socket, { status: 405, field: 'method', detail: 'CONNECT is not known here' }, ['Allow: GET, HEAD, OPTIONS'])
}

/** The answer to another expectation than `100-continue`. */
export function refuseExpectation(_request: IncomingMessage, response: ServerResponse): void {
  const body = problemOf({ status: 417, field: 'expect', detail: 'must be 100-continue' })
  response
    .writeHead(417, { connection: 'close', 'content-type': problemType, 'content-length': Buffer.byteLength(body) })
    .end(body)
}

function endWith(socket: Duplex, fault: Fault, headers: readonly string[] = []): void {
  const body = problemOf(fault)
  const head = [
    `HTTP/1.1 ${fault.status} ${STATUS_CODES[fault.status]}`,
    'Connection: close',
    ...headers,
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
