import { randomUUID } from 'node:crypto'
import { OpenAPIHono } from '@hono/zod-openapi'
import { limits } from '@quorumkv/internal/base'
import type { MiddlewareHandler } from 'hono'
import { isRequestId } from '../calls/request-name.js'
import { admit, checkTable, recordForAudit } from './admission.js'
import { allowedMethods } from './allowed-methods.js'
import { ByteBudget, holdBytes } from './byte-budget.js'
import { mountClusterRoutes } from './cluster-routes.js'
import { mountDashboardRoutes } from './dashboard-routes.js'
import { mountFeedRoutes } from './feed-routes.js'
import { guard } from './guard.js'
import { mountHealthRoutes } from './health-routes.js'
import type { HttpApp, HttpEnv, HttpParts } from './http-parts.js'
import { mountKvRoutes } from './kv-routes.js'
import { mountLocateRoute } from './locate-route.js'
import { mountLoginRoutes } from './login-routes.js'
import { Logins } from './logins.js'
import { mountMetricsRoute } from './metrics-route.js'
import { mountOpenApiRoute } from './openapi-route.js'
import { invalidInput, problemResponse, refusal } from './problem.js'

const nameRequest: MiddlewareHandler<HttpEnv> = async (c, next) => {
  const given = c.req.header('x-request-id')
  const requestId = isRequestId(given) ? given : randomUUID()
  c.set('requestId', requestId)
  await next()
  c.res.headers.set('x-request-id', requestId)
}

/** Unless a route says otherwise. What is stored may be anything: no browser may take it for a page or a script. */
const defaultHeaders: readonly (readonly [name: string, value: string])[] = [
  ['cache-control', 'no-store'],
  ['content-security-policy', "default-src 'none'; frame-ancestors 'none'"],
  ['cross-origin-resource-policy', 'same-origin'],
  ['referrer-policy', 'no-referrer'],
  ['x-content-type-options', 'nosniff'],
]

const addHeaders: MiddlewareHandler<HttpEnv> = async (c, next) => {
  await next()
  for (const [name, value] of defaultHeaders) {
    if (!c.res.headers.has(name)) c.res.headers.set(name, value)
  }
}

/**
 * Everything that a node answers over HTTP, as an application of its own that needs no server: `HttpHost` feeds it, and
 * tests ask it directly.
 */
export function createHttpApp(parts: HttpParts): HttpApp {
  const app: HttpApp = new OpenAPIHono<HttpEnv>({
    defaultHook: (result) => {
      if (!result.success) throw invalidInput(result.error, result.target)
    },
  })
  const { metricsOpen, services, stopping } = parts
  const logins = new Logins(services.clock)
  stopping.addEventListener('abort', () => logins.closeAll(), { once: true })
  const admission = { access: services.access, logins, metricsOpen }
  app.use('*', nameRequest)
  app.use('*', holdBytes(parts.bodies ?? new ByteBudget(limits.httpBodiesBytesMax)))
  app.use('*', addHeaders)
  app.use('*', recordForAudit(admission))
  app.use('*', guard(parts))
  app.use('*', admit(admission))
  app.onError((error, c) => problemResponse(c, parts.services, error))
  app.notFound((c) => {
    const methods = allowedMethods(app, c.req.path)
    if (methods.length === 0) {
      return problemResponse(c, parts.services, refusal(404, 'path', 'nothing is here; see /openapi.json'))
    }
    const headers = { allow: methods.join(', ') }
    if (c.req.method === 'OPTIONS') return new Response(null, { status: 204, headers })
    return problemResponse(c, parts.services, refusal(405, 'method', `must be one of ${headers.allow}`, headers))
  })
  mountHealthRoutes(app, parts)
  mountMetricsRoute(app, parts)
  mountKvRoutes(app, parts)
  mountClusterRoutes(app, parts)
  mountLocateRoute(app, parts)
  mountLoginRoutes(app, parts, logins)
  mountFeedRoutes(app, parts, logins)
  mountOpenApiRoute(app, metricsOpen)
  mountDashboardRoutes(app)
  checkTable(app, metricsOpen)
  return app
}
