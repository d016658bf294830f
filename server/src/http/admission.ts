import { KvError } from '@quorumkv/internal/base'
import type { Context, MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import type { AccessControl } from '../access/access-control.js'
import { type Rule, ruleOfRoute } from '../access/table.js'
import { callerOf } from './caller.js'
import type { HttpApp, HttpEnv } from './http-parts.js'
import type { Logins } from './logins.js'

/*
 * Who may ask for what. As with gRPC, the rule of a route is in `access/table.ts` and nowhere else; a route that is not there
 * keeps the node from starting. Keys are looked at by the handlers, which know them.
 */

export interface AdmissionParts {
  readonly access: AccessControl
  readonly logins: Logins
  readonly metricsOpen: boolean
}

interface MatchedRoute {
  readonly method: string
  readonly path: string
}

/** Without what stands for all methods: that is no route, it wraps others. */
function isRoute({ method }: MatchedRoute): boolean {
  return method !== 'ALL'
}

/** Throws FatalError `bug` where a route of `app` is not in the table, whether callers are asked who they are or not. */
export function checkTable(app: HttpApp, metricsOpen: boolean): void {
  for (const { method, path } of app.routes.filter(isRoute)) ruleOfRoute(method, path, metricsOpen)
}

/** What it takes to call the handlers that a request has been found to be for; none: nothing is there. */
function rulesOf(c: Context<HttpEnv>, metricsOpen: boolean): readonly Rule[] {
  const routes = matchedRoutes(c).filter(isRoute)
  return routes.map(({ method, path }) => ruleOfRoute(method, path, metricsOpen))
}

/** Lets nobody through to a handler who may not call it. */
export function admit({ access, logins, metricsOpen }: AdmissionParts): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    for (const { permission } of rulesOf(c, metricsOpen)) {
      if (permission === 'open') continue
      const caller = callerOf(c, access, logins)
      if (caller === undefined) {
        throw new KvError('unauthenticated', 'a token is needed', { outcome: 'not-applied' })
      }
      c.set('caller', caller)
      if (permission === 'peer') throw new KvError('permission-denied', 'this is for nodes')
      caller.principal.checkRole(permission)
    }
    await next()
  }
}

/** Some refusals repeat under what name this node was asked. */
const reasonLengthMax = 200

const refusals: ReadonlySet<string> = new Set(['unauthenticated', 'permission-denied'])

/** Where a request comes from, as gRPC names it too. */
function originOf(c: Context<HttpEnv>): string {
  const socket = c.env?.incoming?.socket
  return socket === undefined ? '' : `${socket.remoteAddress}:${socket.remotePort}`
}

/** Writes what was refused to the audit log, and what came of the routes of which that is always told. */
export function recordForAudit({ access, metricsOpen }: AdmissionParts): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    await next()
    const { error } = c
    const refused = error instanceof KvError && refusals.has(error.code)
    const caller = c.get('caller') as HttpEnv['Variables']['caller'] | undefined
    // Nobody's successes, and their bad input, would be a way to fill the log.
    const audited = caller !== undefined && rulesOf(c, metricsOpen)[0]?.audited === true
    // Where nobody is asked who they are, only foreign pages and names are refused, of which none is anybody's.
    if (!access.demanded || !(refused || audited)) return
    const [route] = matchedRoutes(c).filter(isRoute)
    access.audit({
      action: route === undefined ? 'HTTP' : `${route.method} ${route.path}`,
      who: caller?.principal.name ?? '',
      from: originOf(c),
      outcome: error instanceof KvError ? error.code : error === undefined ? 'ok' : 'internal',
      ...(refused ? { reason: error.message.slice(0, reasonLengthMax) } : {}),
    })
  }
}
