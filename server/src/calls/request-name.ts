import type { Metadata } from '@grpc/grpc-js'
import type { RequestName } from '@quorumkv/internal/base'

/** The metadata of a call that names it; the answer has it in its trailers. */
export const requestIdKey = 'kv-request-id'

const requestIdPattern = /^[A-Za-z0-9._-]{1,64}$/
/** Version, trace, parent and flags of W3C Trace Context, level 1, which excludes ids of nothing but zeros and the version ff. */
const traceparentPattern = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

/** Whether a request may be called so: short, and nothing in it that would break a line of a log. */
export function isRequestId(text: string | undefined): text is string {
  return text !== undefined && requestIdPattern.test(text)
}

export function isTraceparent(text: string | undefined): text is string {
  return text !== undefined && traceparentPattern.test(text)
}

/** Of a `traceparent` that has been checked: the lowest bit of its flags. */
export function isSampled(traceparent: string): boolean {
  return (Number.parseInt(traceparent.slice(-1), 16) & 1) === 1
}

/** A request by what its caller says; what is malformed counts as not said. Undefined: it says nothing. */
export function requestName(requestId: string | undefined, traceparent: string | undefined): RequestName | undefined {
  const id = isRequestId(requestId) ? requestId : ''
  const trace = isTraceparent(traceparent) ? traceparent : ''
  if (id === '' && trace === '') return undefined
  return { requestId: id, traceparent: trace, sampled: trace !== '' && isSampled(trace) }
}

/** A call by what its metadata say. */
export function requestNameIn(metadata: Metadata): RequestName | undefined {
  const [requestId] = metadata.get(requestIdKey)
  const [traceparent] = metadata.get('traceparent')
  return requestName(requestId?.toString(), traceparent?.toString())
}

/** What a log says of a named request: its id, and the trace that it belongs to. */
export function requestFacts(request: RequestName | undefined): Readonly<Record<string, string>> {
  const { requestId = '', traceparent = '' } = request ?? {}
  return {
    ...(requestId === '' ? {} : { requestId }),
    ...(traceparent === '' ? {} : { traceId: traceparent.slice(3, 35) }),
  }
}
