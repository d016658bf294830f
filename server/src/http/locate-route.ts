import { createRoute, z } from '@hono/zod-openapi'
import { Cancellation, limits } from '@quorumkv/internal/base'
import { crc32, murmur3_32 } from '@quorumkv/internal/hash'
import { hlcMs } from '@quorumkv/internal/hlc'
import type { OwnerHolding } from '@quorumkv/internal/replication'
import type { Topology } from '@quorumkv/internal/slots'
import { requireNode } from '../calls/service-context.js'
import { checkKey } from '../calls/validation.js'
import type { HttpApp, HttpParts } from './http-parts.js'
import { keyParams, keyQuery, problems } from './schemas.js'
import { keyOfPath } from './url-bytes.js'
import { versionText } from './value-text.js'

const holding = z
  .strictObject({
    nodeId: z.string(),
    answered: z.boolean(),
    obstacle: z.string().openapi({ description: 'why it did not answer; empty: it did' }),
    found: z.boolean().openapi({ description: 'it holds a record, which may be a tombstone or have expired' }),
    tombstone: z.boolean(),
    version: z.string().openapi({ description: 'empty unless found; compared as text' }),
    stampedAtMs: z.int().openapi({ description: 'Unix milliseconds in the version' }),
    stampedBy: z.string(),
    valueBytes: z.int(),
    expiresAtMs: z.int().openapi({ description: '0: never' }),
    valueCrc: z
      .int()
      .openapi({ description: 'CRC-32 of the value: two owners with another one hold different values' }),
  })
  .openapi('Holding')
type ToldHolding = z.output<typeof holding>

const location = z
  .strictObject({
    hash: z.int().openapi({ description: 'murmur3_32 of the key' }),
    slot: z.int(),
    epoch: z.int().openapi({ description: 'under which its owners are these' }),
    holdings: z.array(holding).openapi({ description: 'the owners in order; while slots move, those to come as well' }),
  })
  .openapi('Location')

const locateRoute = createRoute({
  method: 'get',
  path: '/locate/{key}',
  tags: ['cluster'],
  summary: 'What every owner of a key holds of it; repairs nothing, and tells no value',
  request: { params: keyParams, query: keyQuery },
  responses: {
    200: { description: 'the holdings', content: { 'application/json': { schema: location } } },
    ...problems(400, 403, 500, 503, 504),
  },
})

function toldHolding({ id, obstacle, record }: OwnerHolding, topology: Topology | undefined): ToldHolding {
  const stamper = topology?.members.find(({ number }) => number === record?.node)
  return {
    nodeId: id,
    answered: obstacle === '',
    obstacle,
    found: record !== undefined,
    tombstone: record?.tombstone ?? false,
    version: record === undefined ? '' : versionText(record),
    stampedAtMs: record === undefined ? 0 : hlcMs(record),
    // A former member is known by its number only.
    stampedBy: record === undefined ? '' : (stamper?.id ?? `number ${record.node}`),
    valueBytes: record?.value.length ?? 0,
    expiresAtMs: record?.expiresAtMs ?? 0,
    valueCrc: record === undefined ? 0 : crc32(record.value) >>> 0,
  }
}

/** `/locate/{key}`: what every owner holds of a key, as `Cluster.Locate` tells it. Repairs nothing. */
export function mountLocateRoute(app: HttpApp, { services }: Pick<HttpParts, 'services'>): void {
  app.openapi(locateRoute, async (c) => {
    const key = keyOfPath(c.req.url, c.req.valid('query').keyEncoding)
    checkKey(key)
    c.get('caller').principal.checkKey(key)
    const node = requireNode(services)
    const cancellation = new Cancellation()
    c.req.raw.signal.addEventListener('abort', () => cancellation.cancel(), { once: true })
    const deadlineMs = services.clock.monotonicMs() + limits.locateMs
    const { slot, epoch, holdings } = await node.locate(key, { consistency: 'all', deadlineMs, cancellation })
    const told = holdings.map((holding) => toldHolding(holding, node.topology))
    return c.json({ hash: murmur3_32(key), slot, epoch, holdings: told }, 200)
  })
}
