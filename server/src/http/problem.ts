import { STATUS_CODES } from 'node:http'
import type { z } from '@hono/zod-openapi'
import { type ErrorCode, invalidArgument, KvError, type WriteOutcome } from '@quorumkv/internal/base'
import type { Context } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { outcomeOf, wellFormed } from '../calls/errors.js'
import { reportBug, type ServiceContext } from '../calls/service-context.js'
import type { HttpEnv } from './http-parts.js'

/** The media type of every error (RFC 9457). */
export const problemType = 'application/problem+json'

/** The codes of KvClient's KvError that a node answers with; `internal` is a bug, and the node ends. */
export type ProblemCode = Exclude<ErrorCode, 'closed'> | 'internal'

/** The body of an error. */
export interface Problem {
  /** `urn:quorumkv:problem:` and the code. */
  readonly type: string
  /** The phrase of the status. */
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ProblemCode
  /** For `invalid-argument`: the parameter, header or part of the body that is wrong. */
  readonly field?: string | undefined
  /** For writes. */
  readonly outcome?: WriteOutcome | undefined
  /** The fault may pass, and the same request may be made again without harm. */
  readonly retryable: boolean
  readonly requestId: string
  /** For `/readyz`: everything that keeps the node from being ready. */
  readonly reasons?: readonly string[] | undefined
}

const statusOf: Readonly<Record<ProblemCode, number>> = {
  'invalid-argument': 400,
  unauthenticated: 401,
  'permission-denied': 403,
  overloaded: 429,
  // Who has gone reads no status; 499 is what proxies log for it.
  cancelled: 499,
  internal: 500,
  'read-only': 503,
  unavailable: 503,
  timeout: 504,
}

const retryable: ReadonlySet<ProblemCode> = new Set<ProblemCode>(['unavailable', 'timeout', 'overloaded'])

/** Seconds after which it makes sense to come again. */
const retryAfter: Readonly<Partial<Record<ProblemCode, string>>> = { overloaded: '1', unavailable: '1' }

/** A refusal that HTTP has a status of its own for. */
export class HttpRefusal extends KvError {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** As in `Problem`. */
  readonly reasons: readonly string[] | undefined

  constructor(
    status: number,
    error: KvError,
    headers: Readonly<Record<string, string>> = {},
    reasons?: readonly string[],
  ) {
    const { code, message, field, outcome } = error
    super(code, message, { ...(field === undefined ? {} : { field }), ...(outcome === undefined ? {} : { outcome }) })
    this.status = status
    this.headers = headers
    this.reasons = reasons
  }
}

/** Bad input under another status than 400: what is too large (413), of the wrong type (415), or not there (404). */
export function refusal(
  status: number,
  field: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): HttpRefusal {
  return new HttpRefusal(status, invalidArgument(field, message), headers)
}

/** The same under 403: somebody else's page asks, or it is asked for under a name that is not this node's. */
export function forbidden(message: string): KvError {
  return new KvError('permission-denied', message, { outcome: 'not-applied' })
}

/** What a schema says about an input: the first thing that is wrong, by name; `whole` is the name of all of it. */
export function invalidInput(error: z.ZodError, whole: string): KvError {
  const issue = error.issues[0]!
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  if (unknown !== undefined) return invalidArgument(unknown, 'is not known here')
  const [part] = issue.path
  return invalidArgument(part === undefined ? whole : String(part), issue.message)
}

const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Whether a request only asks. */
export function isSafe(method: string): boolean {
  return safeMethods.has(method)
}

function codeOf(error: unknown): ProblemCode {
  if (!(error instanceof KvError)) return 'internal'
  return error.code === 'closed' ? 'unavailable' : error.code
}

/** What the library that routes requests throws about a body; it says what is wrong, and nothing has been done. */
function fromLibrary(error: HTTPException): KvError {
  return refusal(error.status, error.status === 415 ? 'content-type' : 'body', error.message)
}

/** The answer to a request that failed. What is not a KvError is a bug: the node is told, and its message stays inside. */
export function problemResponse(c: Context<HttpEnv>, context: ServiceContext, thrown: unknown): Response {
  const error = thrown instanceof HTTPException ? fromLibrary(thrown) : thrown
  reportBug(context, error)
  const code = codeOf(error)
  const status = error instanceof HttpRefusal ? error.status : statusOf[code]
  const problem: Problem = {
    type: `urn:quorumkv:problem:${code}`,
    title: STATUS_CODES[status] ?? 'Client Closed Request',
    status,
    detail: error instanceof KvError ? wellFormed(error.message) : 'the node met an internal error',
    code,
    field: error instanceof KvError && error.field !== undefined ? wellFormed(error.field) : undefined,
    outcome: isSafe(c.req.method) ? undefined : outcomeOf(error),
    retryable: retryable.has(code),
    requestId: c.get('requestId'),
    reasons: error instanceof HttpRefusal ? error.reasons : undefined,
  }
  const told = error instanceof KvError ? error.retryAfterMs : undefined
  const after = told === undefined ? retryAfter[code] : String(Math.ceil(told / 1_000))
  const headers = {
    'content-type': problemType,
    ...(after === undefined ? {} : { 'retry-after': after }),
    // RFC 6750. Browsers know no such scheme, and open no window of their own for it.
    ...(status === 401 ? { 'www-authenticate': 'Bearer realm="quorumkv"' } : {}),
    ...(error instanceof HttpRefusal ? error.headers : {}),
  }
  return new Response(JSON.stringify(problem), { status, headers })
}
