import { createRoute } from '@hono/zod-openapi'
import { Cancellation, emptyBytes, invalidArgument, limits } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { OperationOptions, WriteResult } from '@quorumkv/internal/replication'
import type { Context } from 'hono'
import { accepts } from 'hono/accepts'
import { requestName } from '../calls/request-name.js'
import { bytesOf } from '../calls/scan-call.js'
import { requireNode, type ServiceContext } from '../calls/service-context.js'
import { checkKey, checkPageSize, checkPrefix, checkTimeout, checkTtl } from '../calls/validation.js'
import type { HttpApp, HttpEnv, HttpParts } from './http-parts.js'
import { readValue } from './request-body.js'
import {
  type DeleteResult,
  deleteResult,
  foundEntry,
  type KeyQuery,
  keyParams,
  type ListedEntry,
  type OperationQuery,
  type PutResult,
  page,
  problems,
  putBody,
  putQuery,
  putResult,
  readQuery,
  scanQuery,
  unfound,
} from './schemas.js'
import { base64Decoded, keyOfPath, queryBytes } from './url-bytes.js'
import { expiryText, keyText, valueText, versionText } from './value-text.js'

const bytesType = 'application/octet-stream'
const rawBytes = { schema: { type: 'string', format: 'binary' } } as const

const describedHeaders = {
  ETag: { schema: { type: 'string' }, description: 'the version; strong for the bytes, weak for the JSON' },
  'X-Kv-Version': { schema: { type: 'string' }, description: 'the version' },
  'X-Kv-Node-Id': { schema: { type: 'string' }, description: 'which node answered' },
  'X-Kv-Expires-At': { schema: { type: 'string', format: 'date-time' }, description: 'absent: never' },
} as const

const getRoute = createRoute({
  method: 'get',
  path: '/kv/{key}',
  tags: ['keys'],
  summary: 'The value of a key, as JSON, or as bytes with `Accept: application/octet-stream`',
  request: { params: keyParams, query: readQuery },
  responses: {
    200: {
      description: 'the value',
      headers: describedHeaders,
      content: { 'application/json': { schema: foundEntry }, [bytesType]: rawBytes },
    },
    304: { description: 'the caller has this version, as its If-None-Match says' },
    404: { description: 'no value', content: { 'application/json': { schema: unfound } } },
    ...problems(400, 403, 429, 500, 503, 504),
  },
})

const putRoute = createRoute({
  method: 'put',
  path: '/kv/{key}',
  tags: ['keys'],
  summary: 'Writes a value; answers when the write quorum has it on disk',
  request: {
    params: keyParams,
    query: putQuery,
    body: { required: true, content: { 'application/json': { schema: putBody.reference }, [bytesType]: rawBytes } },
  },
  responses: {
    200: { description: 'written', content: { 'application/json': { schema: putResult } } },
    ...problems(400, 403, 413, 415, 429, 500, 503, 504),
  },
})

const deleteRoute = createRoute({
  method: 'delete',
  path: '/kv/{key}',
  tags: ['keys'],
  summary: 'Deletes a key, whether it is there or not',
  request: { params: keyParams, query: readQuery },
  responses: {
    200: { description: 'deleted', content: { 'application/json': { schema: deleteResult } } },
    ...problems(400, 403, 429, 500, 503, 504),
  },
})

const scanRoute = createRoute({
  method: 'get',
  path: '/kv',
  tags: ['keys'],
  summary: 'A page of entries, in no order that means anything; no key comes twice',
  request: { query: scanQuery },
  responses: {
    200: { description: 'the page', content: { 'application/json': { schema: page } } },
    ...problems(400, 403, 429, 500, 503, 504),
  },
})

/** Conditions are not promised, so none may seem to hold. Throws `invalid-argument`. */
function refuseConditions(c: Context<HttpEnv>): void {
  for (const name of ['if-match', 'if-none-match', 'if-unmodified-since']) {
    if (c.req.header(name) !== undefined) throw invalidArgument(name, 'conditional writes are not supported')
  }
}

function keyOf(c: Context<HttpEnv>, { keyEncoding }: KeyQuery): Buffer {
  const key = keyOfPath(c.req.url, keyEncoding)
  checkKey(key)
  c.get('caller').principal.checkKey(key)
  return key
}

/** For how long a request is worked on, and that it ends when its caller has gone. Throws `invalid-argument`. */
function operationOptions(c: Context<HttpEnv>, { clock }: ServiceContext, query: OperationQuery): OperationOptions {
  const { consistency = 'quorum', timeoutMs } = query
  checkTimeout(timeoutMs, 'timeoutMs')
  const cancellation = new Cancellation()
  const { signal } = c.req.raw
  if (signal.aborted) cancellation.cancel()
  else signal.addEventListener('abort', () => cancellation.cancel(), { once: true })
  const deadlineMs = clock.monotonicMs() + (timeoutMs ?? limits.requestTimeoutMs)
  const request = requestName(c.get('requestId'), c.req.header('traceparent'))
  return { consistency, deadlineMs, cancellation, request }
}

function toPutResult(node: Node, { version, acks }: WriteResult): PutResult {
  return { status: 'success', acks, replicas: node.slotTable?.ownersPerSlot ?? acks, version: versionText(version) }
}

function toDeleteResult(node: Node, result: WriteResult): DeleteResult {
  return { ...toPutResult(node, result), existed: result.replacedKnown ? result.existed : null }
}

function wantsBytes(c: Context<HttpEnv>): boolean {
  const supports = ['application/json', bytesType]
  return accepts(c, { header: 'Accept', supports, default: 'application/json' }) === bytesType
}

/** Whether the caller says that it has this version already. */
function isKnown(c: Context<HttpEnv>, version: string): boolean {
  const known = c.req.header('if-none-match')?.split(',') ?? []
  return known.some((tag) => tag.trim().replace(/^W\//, '') === `"${version}"` || tag.trim() === '*')
}

function foundResponse(c: Context<HttpEnv>, node: Node, record: StoredRecord): Response {
  const version = versionText(record)
  const expiry = expiryText(record.expiresAtMs)
  const asBytes = wantsBytes(c)
  const headers = {
    etag: asBytes ? `"${version}"` : `W/"${version}"`,
    vary: 'accept',
    'x-kv-version': version,
    'x-kv-node-id': node.id,
    ...(expiry.expiresAt === undefined ? {} : { 'x-kv-expires-at': expiry.expiresAt }),
  }
  if (isKnown(c, version)) return new Response(null, { status: 304, headers })
  c.get('holding').take(record.value.length)
  if (asBytes) {
    // The record's bytes belong to the store, and a Response copies what it is made of.
    return new Response(record.value, { headers: { ...headers, 'content-type': bytesType } })
  }
  const found = { found: true, ...keyText(record.key), ...valueText(record.value), version, ...expiry, nodeId: node.id }
  return c.json(found, 200, headers)
}

function toListed(record: StoredRecord, keysOnly: boolean): ListedEntry {
  return {
    ...keyText(record.key),
    ...(keysOnly ? {} : valueText(record.value)),
    version: versionText(record),
    ...expiryText(record.expiresAtMs),
  }
}

function cursorOf(text: string | undefined): Uint8Array {
  const cursor = base64Decoded(text ?? '', 'base64url')
  if (cursor === undefined) throw invalidArgument('cursor', 'must be what the page before told')
  return cursor
}

function mountScan(app: HttpApp, services: ServiceContext): void {
  app.openapi(scanRoute, async (c) => {
    const query = c.req.valid('query')
    const { limit, cursor, keysOnly } = query
    const prefix = queryBytes(c.req.url, 'prefix') ?? emptyBytes
    checkPrefix(prefix)
    c.get('caller').principal.checkPrefix(prefix)
    if (limit === 0) throw invalidArgument('limit', 'must be 1 at least, got 0')
    const node = requireNode(services)
    const { rate } = c.get('caller').principal
    rate?.admit(0)
    const found = await node.scan({
      prefix,
      pageSize: checkPageSize(limit ?? 0, 'limit'),
      cursor: cursorOf(cursor),
      ...operationOptions(c, services, query),
    })
    const { records } = found
    const bytes = bytesOf(records)
    rate?.charge(bytes)
    c.get('holding').take(bytes)
    const next = found.cursor.length === 0 ? {} : { cursor: Buffer.from(found.cursor).toString('base64url') }
    return c.json({ entries: records.map((record) => toListed(record, keysOnly === 'true')), ...next }, 200)
  })
}

/** `/kv` and `/kv/{key}`: reads, writes, deletes and scans. */
export function mountKvRoutes(app: HttpApp, { services }: HttpParts): void {
  app.openAPIRegistry.register(putBody.name, putBody.schema)
  app.openapi(getRoute, async (c) => {
    const query = c.req.valid('query')
    const key = keyOf(c, query)
    const node = requireNode(services)
    const { rate } = c.get('caller').principal
    rate?.admit(key.length)
    const record = await node.get(key, operationOptions(c, services, query))
    if (record !== undefined) rate?.charge(record.value.length)
    return record === undefined ? c.json({ found: false as const }, 404) : foundResponse(c, node, record)
  })
  app.openapi(putRoute, async (c) => {
    const query = c.req.valid('query')
    const { ttlMs } = query
    const key = keyOf(c, query)
    checkTtl(ttlMs, 'ttlMs')
    refuseConditions(c)
    checkTimeout(query.timeoutMs, 'timeoutMs')
    const node = requireNode(services)
    const value = await readValue(c)
    c.get('caller').principal.rate?.admit(key.length + value.length)
    const result = await node.put(key, value, { ...operationOptions(c, services, query), ttlMs, returnPrevious: false })
    return c.json(toPutResult(node, result), 200)
  })
  app.openapi(deleteRoute, async (c) => {
    const query = c.req.valid('query')
    const key = keyOf(c, query)
    refuseConditions(c)
    const node = requireNode(services)
    c.get('caller').principal.rate?.admit(key.length)
    return c.json(toDeleteResult(node, await node.delete(key, operationOptions(c, services, query))), 200)
  })
  mountScan(app, services)
  // A key that is empty is bad input like one that is too long, and not another path.
  for (const method of ['get', 'put', 'delete'] as const) app[method]('/kv/', () => checkKey(emptyBytes) as never)
}
