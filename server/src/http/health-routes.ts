import { createRoute, z } from '@hono/zod-openapi'
import { KvError } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import { packageVersion } from '../package-version.js'
import type { HttpApp, HttpParts } from './http-parts.js'
import { HttpRefusal } from './problem.js'
import { problems } from './schemas.js'

/** One thing that is looked at; a check that only warns keeps nobody away. */
interface Check {
  readonly name: string
  /** Empty: all is well. */
  readonly trouble: string
  readonly warns: boolean
}

/** What keeps a node from serving clients, and what they should know besides. */
export function readiness(node: Node | undefined): readonly Check[] {
  if (node === undefined) return [{ name: 'store', trouble: 'starting: the store is not open yet', warns: false }]
  const { phase, store, refillObstacle } = node.status()
  const forming = phase === 'forming' ? 'forming: waits for the nodes named as peers' : ''
  const stopping = phase === 'stopping' || phase === 'stopped' ? 'stopping' : ''
  const draining = node.members?.draining === true ? 'draining: takes no more requests of clients' : ''
  const lost = store?.lostSlots ?? 0
  const why = refillObstacle === '' ? '' : `, not now: ${refillObstacle}`
  return [
    { name: 'store', trouble: '', warns: false },
    { name: 'cluster', trouble: forming, warns: false },
    { name: 'running', trouble: stopping, warns: false },
    { name: 'admitting', trouble: draining, warns: false },
    { name: 'writable', trouble: store?.readOnly === true ? 'read-only: the disk is full' : '', warns: true },
    { name: 'whole', trouble: lost > 0 ? `${lost} slots are being refilled${why}` : '', warns: true },
  ]
}

function lineOf({ name, trouble, warns }: Check): string {
  if (trouble === '') return `[+]${name} ok`
  return warns ? `[!]${name}: ${trouble}` : `[-]${name} failed: ${trouble}`
}

const plain = { 'text/plain': { schema: z.string() } }

const livezRoute = createRoute({
  method: 'get',
  path: '/livez',
  tags: ['health'],
  summary: 'Whether the process is alive',
  responses: { 200: { description: 'it is', content: plain }, ...problems(403) },
})

const readyzRoute = createRoute({
  method: 'get',
  path: '/readyz',
  tags: ['health'],
  summary: 'Whether the node serves clients',
  request: {
    query: z.object({
      verbose: z.string().optional().openapi({ description: 'tells what was looked at, a line for each check' }),
    }),
  },
  responses: {
    200: { description: 'it does', content: plain },
    503: {
      description: 'it does not: `reasons` says why, or with verbose the lines that begin with [-]',
      content: { ...problems(503)[503].content, ...plain },
    },
    ...problems(403),
  },
})

const versionRoute = createRoute({
  method: 'get',
  path: '/version',
  tags: ['health'],
  summary: 'Of the software',
  responses: {
    200: {
      description: 'of the program and of Node.js',
      content: {
        'application/json': {
          schema: z
            .strictObject({ name: z.literal('kv-server'), version: z.string(), node: z.string() })
            .openapi('Version'),
        },
      },
    },
    ...problems(403),
  },
})

/** `/livez`, `/readyz` and `/version`: what orchestrators and load balancers ask. */
export function mountHealthRoutes(app: HttpApp, { services }: HttpParts): void {
  // That this is answered at all is what is asked for: the event loop turns, and a node that must not go on has ended.
  app.openapi(livezRoute, (c) => c.text('ok\n', 200))
  app.openapi(readyzRoute, (c) => {
    const checks = readiness(services.node())
    const failed = checks.filter(({ trouble, warns }) => trouble !== '' && !warns)
    if (c.req.valid('query').verbose !== undefined) {
      return c.text(`${checks.map(lineOf).join('\n')}\n`, failed.length === 0 ? 200 : 503)
    }
    if (failed.length === 0) return c.text('ok\n', 200)
    const reasons = failed.map(({ trouble }) => trouble)
    throw new HttpRefusal(503, new KvError('unavailable', reasons.join('; ')), { 'retry-after': '1' }, reasons)
  })
  app.openapi(versionRoute, (c) =>
    c.json({ name: 'kv-server' as const, version: packageVersion, node: process.version }, 200),
  )
}
