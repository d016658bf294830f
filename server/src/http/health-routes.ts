import { KvError } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import { packageVersion } from '../package-version.js'
import type { HttpApp, HttpParts } from './http-parts.js'
import { problemResponse } from './problem.js'

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

/** `/livez`, `/readyz` and `/version`: what orchestrators and load balancers ask. */
export function mountHealthRoutes(app: HttpApp, { services }: HttpParts): void {
  // That this is answered at all is what is asked for: the event loop turns, and a node that must not go on has ended.
  app.get('/livez', (c) => c.text('ok\n'))
  app.get('/readyz', (c) => {
    const checks = readiness(services.node())
    const failed = checks.filter(({ trouble, warns }) => trouble !== '' && !warns)
    if (c.req.query('verbose') !== undefined) {
      return c.text(`${checks.map(lineOf).join('\n')}\n`, failed.length === 0 ? 200 : 503)
    }
    if (failed.length === 0) return c.text('ok\n')
    const reasons = failed.map(({ trouble }) => trouble)
    return problemResponse(c, services, new KvError('unavailable', reasons.join('; ')), reasons)
  })
  app.get('/version', (c) => c.json({ name: 'kv-server', version: packageVersion, node: process.version }))
}
