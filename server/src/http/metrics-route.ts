import { createRoute, z } from '@hono/zod-openapi'
import { Metrics } from '../figures/metrics.js'
import type { HttpApp, HttpParts } from './http-parts.js'
import { problems } from './schemas.js'

const metricsRoute = createRoute({
  method: 'get',
  path: '/metrics',
  tags: ['health'],
  summary: 'What the node measures, for Prometheus',
  responses: {
    200: { description: 'in the text format 0.0.4', content: { 'text/plain': { schema: z.string() } } },
    ...problems(403),
  },
})

/** `/metrics`. */
export function mountMetricsRoute(app: HttpApp, { services }: HttpParts): void {
  const metrics = new Metrics(services)
  app.openapi(metricsRoute, async (c) => {
    const text = await metrics.text()
    return c.text(text, 200, { 'content-type': metrics.contentType })
  })
}
