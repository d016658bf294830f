import { createRoute, z } from '@hono/zod-openapi'
import { emptyBytes, KvError, type Slot } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import { murmur3_32 } from '@quorumkv/internal/hash'
import { type Member, type SlotTable, slotCount, slotOfHash, type Topology } from '@quorumkv/internal/slots'
import { requireNode } from '../calls/service-context.js'
import { checkKey } from '../calls/validation.js'
import type { HttpApp, HttpParts } from './http-parts.js'
import { FiguresOfMembers, type MemberFigures } from './member-figures.js'
import { keyParams, keyQuery, problems } from './schemas.js'
import { keyOfPath } from './url-bytes.js'
import { keyText } from './value-text.js'

const liveness = z.enum(['alive', 'suspect', 'dead', 'left'])

const figuresSchema: z.ZodType<MemberFigures> = z
  .strictObject({
    serverVersion: z.string(),
    uptimeMs: z.int(),
    entries: z.int().openapi({ description: 'live, of all slots that it owns' }),
    tombstones: z.int(),
    tableBytes: z.int().openapi({ description: 'of memory' }),
    logBytes: z.int().openapi({ description: 'on disk' }),
    readOnly: z.boolean().openapi({ description: 'its disk is full' }),
    lostSlots: z.int().openapi({ description: 'slots that it is refilling from the others' }),
  })
  .openapi('MemberFigures')

const memberSchema = z
  .strictObject({
    id: z.string(),
    number: z.int().openapi({ description: 'short, as versions carry it' }),
    address: z.string().openapi({ description: 'for gRPC' }),
    zone: z.string(),
    weight: z.int(),
    incarnation: z.string(),
    state: z.enum(['joining', 'arrived', 'serving', 'leaving', 'left']),
    liveness,
    livenessMs: z.int().openapi({ description: 'for how long, by the process that answers' }),
    slots: z.int().openapi({ description: 'how many it owns' }),
    figures: figuresSchema.nullable().openapi({ description: 'null: it has not told them in time' }),
  })
  .openapi('Member')

const cluster = z
  .strictObject({
    clusterId: z.string(),
    epoch: z.int(),
    nodeId: z.string().openapi({ description: 'which node answered' }),
    replication: z.strictObject({ replicationFactor: z.int(), readQuorum: z.int(), writeQuorum: z.int() }),
    members: z.array(memberSchema),
    handover: z.boolean().openapi({ description: 'slots are on their way to other owners' }),
    slots: z.array(z.array(z.string())).openapi({
      description: `the ids of the owners of each of the ${slotCount} slots, the one to prefer first`,
    }),
  })
  .openapi('Cluster')

const partition = z
  .strictObject({
    key: z.string().optional(),
    keyBase64: z.string().optional(),
    hash: z.int().openapi({ description: 'murmur3_32 of the key' }),
    slot: z.int().openapi({ description: 'its upper 12 bits' }),
    owners: z
      .array(z.strictObject({ id: z.string(), address: z.string(), liveness }))
      .openapi({ description: 'the one to prefer first' }),
  })
  .openapi('Partition')

const clusterRoute = (path: '/cluster' | '/routing_table', summary: string) =>
  createRoute({
    method: 'get',
    path,
    tags: ['cluster'],
    summary,
    responses: {
      200: { description: 'the cluster as this node knows it', content: { 'application/json': { schema: cluster } } },
      ...problems(403, 500, 503),
    },
  })

const partitionRoute = createRoute({
  method: 'get',
  path: '/partition/{key}',
  tags: ['cluster'],
  summary: 'Where a key lives, whether it is there or not',
  request: { params: keyParams, query: keyQuery },
  responses: {
    200: { description: 'its slot and owners', content: { 'application/json': { schema: partition } } },
    ...problems(400, 403, 500, 503),
  },
})

/** The owners of every slot by id. Made once for each table: it is the same until the topology changes. */
class SlotOwners {
  #table: SlotTable | undefined
  #owners: string[][] = []

  of(table: SlotTable): string[][] {
    if (this.#table !== table) {
      this.#table = table
      const ids = table.members.map(({ id }): string => id)
      this.#owners = Array.from({ length: slotCount }, (_, slot) =>
        Array.from(table.owners(slot as Slot), (owner) => ids[owner]!),
      )
    }
    return this.#owners
  }
}

/** Throws `unavailable` for a node that belongs to no cluster yet. */
function routingOf(node: Node): { topology: Topology; table: SlotTable } {
  const { topology, slotTable: table } = node
  if (topology === undefined || table === undefined) {
    throw new KvError('unavailable', 'this node does not belong to a cluster yet')
  }
  return { topology, table }
}

type Told = ReadonlyMap<string, MemberFigures>

function toMember(node: Node, table: SlotTable, member: Member, told: Told): z.output<typeof memberSchema> {
  const { id, number, address, zone, weight, incarnation, state } = member
  const { status, forMs } = node.liveness(member)
  const index = table.members.findIndex((other) => other.id === id)
  return {
    id,
    number,
    address,
    zone,
    weight,
    incarnation,
    state,
    liveness: status,
    livenessMs: Math.floor(forMs),
    slots: index < 0 ? 0 : table.load(index),
    figures: told.get(id) ?? null,
  }
}

/** `/cluster` and `/routing_table`, which are the same, and `/partition/{key}`. */
export function mountClusterRoutes(app: HttpApp, { services, stopping }: HttpParts): void {
  const figures = new FiguresOfMembers(services, stopping)
  const owners = new SlotOwners()
  const serveCluster = (path: '/cluster' | '/routing_table', summary: string): void => {
    app.openapi(clusterRoute(path, summary), async (c) => {
      const node = requireNode(services)
      const { topology, table } = routingOf(node)
      const told = await figures.of(node, topology)
      const { clusterId, epoch, replication, handover, members } = topology
      return c.json(
        {
          clusterId,
          epoch,
          nodeId: node.id,
          replication: { ...replication },
          members: members.map((member) => toMember(node, table, member, told)),
          handover: handover !== undefined,
          slots: owners.of(table),
        },
        200,
      )
    })
  }
  serveCluster('/cluster', 'Who the members are, how they are, and who owns what')
  serveCluster('/routing_table', 'The same')
  app.openapi(partitionRoute, (c) => {
    const key = keyOfPath(c.req.url, c.req.valid('query').keyEncoding)
    checkKey(key)
    c.get('caller').principal.checkKey(key)
    const node = requireNode(services)
    const { table } = routingOf(node)
    const hash = murmur3_32(key)
    const slot = slotOfHash(hash)
    const owning = Array.from(table.owners(slot), (index) => {
      const member = table.members[index]!
      return { id: member.id, address: member.address, liveness: node.liveness(member).status }
    })
    return c.json({ ...keyText(key), hash, slot, owners: owning }, 200)
  })
  app.get('/partition/', () => checkKey(emptyBytes) as never)
}
