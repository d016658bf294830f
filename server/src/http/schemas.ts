import { z } from '@hono/zod-openapi'
import { limits } from '@quorumkv/internal/base'
import type { Consistency } from '@quorumkv/internal/replication'
import type { Problem } from './problem.js'

/*
 * What requests and answers look like: requests are checked by these, and /openapi.json is made of them. That a number is
 * in bounds, or a key not too long, is checked where gRPC's are, in validation.ts; the bounds here are for readers.
 */

const whole = (minimum: number, maximum: number, description: string): z.ZodType<number | undefined> =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .optional()
    .openapi({ type: 'integer', minimum, maximum, description })

const consistency = z
  .enum(['one', 'quorum', 'all'], 'must be one, quorum or all')
  .optional()
  .openapi({ description: 'how many replicas take part; the default is quorum' })

const timeoutMs = whole(1, limits.requestTimeoutMsMax, `milliseconds; ${limits.requestTimeoutMs} unless given`)

const keyEncoding = z
  .literal('base64url', 'must be base64url')
  .optional()
  .openapi({ description: 'the key in the path is base64url of its bytes; else its bytes are percent-encoded' })

export const keyParams: z.ZodObject<{ key: z.ZodString }> = z.object({
  key: z.string().openapi({
    param: { name: 'key', in: 'path' },
    description:
      `1 to ${limits.keyBytesMax} bytes, percent-encoded once: a slash is %2F, and any byte may be given. ` +
      'Keys that paths cannot hold, "." and "..", are given with keyEncoding.',
    example: 'user:1',
  }),
})

// Aliases and not interfaces: those could get more members, and are no shapes.
type Optional<T> = z.ZodType<T | undefined>

type KeyShape = {
  keyEncoding: Optional<'base64url'>
}

type ReadShape = KeyShape & {
  consistency: Optional<Consistency>
  timeoutMs: Optional<number>
}

type PutShape = ReadShape & {
  ttlMs: Optional<number>
}

type ScanShape = {
  prefix: Optional<string>
  limit: Optional<number>
  cursor: Optional<string>
  keysOnly: Optional<'true' | 'false'>
  consistency: Optional<Consistency>
  timeoutMs: Optional<number>
}

type Query<Shape extends z.ZodRawShape> = z.ZodObject<Shape, z.core.$strict>

/** How a request names its key. */
export type KeyQuery = z.output<Query<KeyShape>>
/** How an operation is to be done. */
export type OperationQuery = Pick<z.output<Query<ReadShape>>, 'consistency' | 'timeoutMs'>

export const readQuery: Query<ReadShape> = z.strictObject({ consistency, timeoutMs, keyEncoding })
export const putQuery: Query<PutShape> = z.strictObject({
  ttlMs: whole(1, limits.ttlMsMax, 'the value is gone after so many milliseconds; never unless given'),
  consistency,
  timeoutMs,
  keyEncoding,
})
export const keyQuery: Query<KeyShape> = z.strictObject({ keyEncoding })
export const scanQuery: Query<ScanShape> = z.strictObject({
  prefix: z.string().optional().openapi({ description: 'keys begin with these bytes, percent-encoded once' }),
  limit: whole(
    1,
    limits.scanPageEntriesMax,
    `entries of the page at most; ${limits.scanPageEntriesDefault} unless given. A page may have fewer, or none, and not be the last`,
  ),
  cursor: z.string().optional().openapi({ description: 'from the page before; with the same prefix' }),
  keysOnly: z.enum(['true', 'false'], 'must be true or false').optional(),
  consistency,
  timeoutMs,
})

/** The body of a put, and how the description refers to it: routes that hold a schema itself read bodies by themselves. */
export const putBody: {
  readonly name: string
  readonly schema: z.ZodType<{ value?: string | undefined; valueBase64?: string | undefined }>
  readonly reference: { readonly $ref: string }
} = {
  name: 'PutBody',
  schema: z
    .strictObject({
      value: z.string().optional().openapi({ description: 'the value as text; its UTF-8 encoding is stored' }),
      valueBase64: z.string().optional().openapi({ description: 'the value as bytes, in base64', format: 'byte' }),
    })
    .openapi({ description: 'exactly one of both', minProperties: 1, maxProperties: 1 }),
  reference: { $ref: '#/components/schemas/PutBody' },
}

const version = z.string().openapi({
  description: 'opaque; of two writes of one key the later has the higher one, compared as text',
  example: '0193501e2a7c000000000001',
})
const text = {
  key: z.string().optional().openapi({ description: 'the key, where it is UTF-8' }),
  keyBase64: z.string().optional().openapi({ description: 'the key, where it is not', format: 'byte' }),
  value: z.string().optional().openapi({ description: 'the value, where it is UTF-8' }),
  valueBase64: z.string().optional().openapi({ description: 'the value, where it is not', format: 'byte' }),
}
const expiresAt = z.string().optional().openapi({ format: 'date-time', description: 'absent: never' })

export interface PutResult {
  readonly status: 'success'
  readonly acks: number
  readonly replicas: number
  readonly version: string
}

export interface DeleteResult extends PutResult {
  readonly existed: boolean | null
}

/** An entry of a page. Key and value are there under one of both names, the value not where only keys are asked for. */
export interface ListedEntry {
  readonly key?: string | undefined
  readonly keyBase64?: string | undefined
  readonly value?: string | undefined
  readonly valueBase64?: string | undefined
  readonly version: string
  readonly expiresAt?: string | undefined
}

/** The answer to a read that found something. */
export interface FoundEntry extends ListedEntry {
  readonly found: true
  readonly nodeId: string
}

export interface Page {
  readonly entries: ListedEntry[]
  readonly cursor?: string | undefined
}

export const putResult: z.ZodType<PutResult> = z
  .strictObject({
    status: z.literal('success'),
    acks: z.int().openapi({ description: 'replicas that had it on disk when this was sent; the others follow' }),
    replicas: z.int().openapi({ description: 'how many keep the key' }),
    version,
  })
  .openapi('PutResult')

export const deleteResult: z.ZodType<DeleteResult> = z
  .strictObject({
    status: z.literal('success'),
    existed: z.boolean().nullable().openapi({ description: 'whether there was a value; null: not known' }),
    acks: z.int(),
    replicas: z.int(),
    version,
  })
  .openapi('DeleteResult')

export const foundEntry: z.ZodType<FoundEntry> = z
  .strictObject({
    found: z.literal(true),
    ...text,
    version,
    expiresAt,
    nodeId: z.string().openapi({ description: 'which node answered' }),
  })
  .openapi('FoundEntry')

export const unfound: z.ZodType<{ found: false }> = z.strictObject({ found: z.literal(false) }).openapi('NotFound')

export const page: z.ZodType<Page> = z
  .strictObject({
    entries: z.array(z.strictObject({ ...text, version, expiresAt }).openapi('ListedEntry')),
    cursor: z.string().optional().openapi({ description: 'for the next page; absent: this is the last' }),
  })
  .openapi('Page')

const problem: z.ZodType<Problem> = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum([
      'invalid-argument',
      'unauthenticated',
      'permission-denied',
      'overloaded',
      'cancelled',
      'internal',
      'read-only',
      'unavailable',
      'timeout',
    ]),
    field: z.string().optional().openapi({ description: 'what is wrong, for invalid-argument' }),
    outcome: z
      .enum(['not-applied', 'unknown'])
      .optional()
      .openapi({ description: 'for writes: whether it is certain that nothing was changed' }),
    retryable: z.boolean(),
    requestId: z.string(),
    reasons: z.array(z.string()).optional(),
  })
  .openapi('Problem')

const meanings = {
  400: 'the request cannot be accepted; `field` says why',
  401: 'this node asks who calls, and what was shown is nobody’s',
  403: 'more than the caller may; or asked under a foreign name, or from a foreign page',
  404: 'nothing is here',
  413: 'too large',
  415: 'neither JSON nor bytes',
  429: 'too much at a time: come again',
  500: 'a bug; the node ends',
  503: 'no quorum, or this node does not serve just now, or takes no writes',
  504: 'out of time',
} as const

type ProblemStatus = keyof typeof meanings

interface ProblemAnswer {
  readonly description: string
  readonly content: { readonly 'application/problem+json': { readonly schema: typeof problem } }
}

/** For the `responses` of a route. */
export function problems<const Status extends ProblemStatus>(
  ...statuses: readonly Status[]
): Readonly<Record<Status, ProblemAnswer>> {
  const answer = (status: Status): [Status, ProblemAnswer] => [
    status,
    { description: meanings[status], content: { 'application/problem+json': { schema: problem } } },
  ]
  return Object.fromEntries(statuses.map(answer)) as Record<Status, ProblemAnswer>
}
