import { bytesOfBase64, pathSegment } from './keys.js'
import { askWho } from './live/session.js'

/** What a node refuses, or does not get done, in its words. */
export class RequestError extends Error {
  override readonly name = 'RequestError'
  readonly code: string
  /** For writes that failed: whether they may have happened all the same. */
  readonly outcome: string

  constructor(detail: string, code: string, outcome: string) {
    super(detail)
    this.code = code
    this.outcome = outcome
  }
}

export type Consistency = 'one' | 'quorum' | 'all'

export interface FoundValue {
  readonly bytes: Uint8Array
  readonly version: string
  readonly nodeId: string
  /** ISO 8601; empty: never. */
  readonly expiresAt: string
}

export interface PutAnswer {
  readonly acks: number
  readonly replicas: number
  readonly version: string
}

export interface DeleteAnswer extends PutAnswer {
  /** null: nobody could tell in time. */
  readonly existed: boolean | null
}

export interface ListedKey {
  readonly key: Uint8Array
  readonly version: string
  readonly expiresAt: string
}

export interface KeyPage {
  readonly keys: readonly ListedKey[]
  /** Of the next page; empty: this is the last. */
  readonly cursor: string
}

/** What one owner holds of a key. */
export interface Holding {
  readonly nodeId: string
  readonly answered: boolean
  readonly obstacle: string
  readonly found: boolean
  readonly tombstone: boolean
  /** Empty unless found. */
  readonly version: string
  readonly stampedAtMs: number
  readonly stampedBy: string
  readonly valueBytes: number
  /** 0: never. */
  readonly expiresAtMs: number
  readonly valueCrc: number
}

export interface Location {
  readonly hash: number
  readonly slot: number
  readonly epoch: number
  readonly holdings: readonly Holding[]
}

const bytesType = 'application/octet-stream'

interface ProblemBody {
  readonly detail?: string
  readonly code?: string
  readonly outcome?: string
}

async function failure(response: Response): Promise<RequestError> {
  const type = response.headers.get('content-type') ?? ''
  const problem = type.startsWith('application/problem+json') ? ((await response.json()) as ProblemBody) : {}
  return new RequestError(
    problem.detail ?? `the node answered with status ${response.status}`,
    problem.code ?? `status ${response.status}`,
    problem.outcome ?? '',
  )
}

/** Rejects with RequestError where the node cannot be reached, or answers with a status that is neither 2xx nor 404. */
async function request(
  path: string,
  query: Record<string, string>,
  init: RequestInit = {},
  prefix: string = '',
): Promise<Response> {
  // A prefix is bytes, escaped already: URLSearchParams would take it for text.
  const also = prefix === '' ? '' : `&prefix=${prefix}`
  let response: Response
  try {
    response = await fetch(`${path}?${new URLSearchParams(query)}${also}`, init)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new RequestError(
      'the node that serves this page cannot be reached',
      'unreachable',
      init.method === undefined ? '' : 'unknown',
    )
  }
  if (response.status === 401) void askWho()
  if (!response.ok && response.status !== 404) throw await failure(response)
  return response
}

function pathOf(key: Uint8Array): string {
  return `/kv/${pathSegment(key)}`
}

const keyEncoding = 'base64url'

/** Undefined: there is no value. */
export async function getValue(key: Uint8Array, consistency: Consistency): Promise<FoundValue | undefined> {
  const response = await request(pathOf(key), { keyEncoding, consistency }, { headers: { accept: bytesType } })
  if (response.status === 404) return undefined
  return {
    bytes: new Uint8Array(await response.arrayBuffer()),
    version: response.headers.get('x-kv-version') ?? '',
    nodeId: response.headers.get('x-kv-node-id') ?? '',
    expiresAt: response.headers.get('x-kv-expires-at') ?? '',
  }
}

/** `ttlMs` 0: for ever. */
export async function putValue(
  key: Uint8Array,
  value: Uint8Array<ArrayBuffer>,
  ttlMs: number,
  consistency: Consistency,
): Promise<PutAnswer> {
  const query = { keyEncoding, consistency, ...(ttlMs === 0 ? {} : { ttlMs: String(ttlMs) }) }
  const response = await request(pathOf(key), query, {
    method: 'PUT',
    headers: { 'content-type': bytesType },
    body: value,
  })
  if (!response.ok) throw await failure(response)
  return (await response.json()) as PutAnswer
}

export async function deleteValue(key: Uint8Array, consistency: Consistency): Promise<DeleteAnswer> {
  const response = await request(pathOf(key), { keyEncoding, consistency }, { method: 'DELETE' })
  if (!response.ok) throw await failure(response)
  return (await response.json()) as DeleteAnswer
}

interface ListedBody {
  readonly entries: readonly { key?: string; keyBase64?: string; version: string; expiresAt?: string }[]
  readonly cursor?: string
}

export async function listKeys(prefix: Uint8Array, limit: number, cursor: string): Promise<KeyPage> {
  const escaped = Array.from(prefix, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
  const query = { limit: String(limit), keysOnly: 'true', ...(cursor === '' ? {} : { cursor }) }
  const response = await request('/kv', query, {}, escaped)
  if (!response.ok) throw await failure(response)
  const body = (await response.json()) as ListedBody
  const keys = body.entries.map(({ key, keyBase64, version, expiresAt = '' }) => {
    return {
      key: key === undefined ? bytesOfBase64(keyBase64 ?? '') : new TextEncoder().encode(key),
      version,
      expiresAt,
    }
  })
  return { keys, cursor: body.cursor ?? '' }
}

/** What every owner holds of a key. */
export async function locate(key: Uint8Array): Promise<Location> {
  const response = await request(`/locate/${pathSegment(key)}`, { keyEncoding })
  if (!response.ok) throw await failure(response)
  return (await response.json()) as Location
}
