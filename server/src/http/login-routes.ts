import { createRoute, z } from '@hono/zod-openapi'
import { invalidArgument, limits } from '@quorumkv/internal/base'
import type { Context } from 'hono'
import { deleteCookie, setCookie } from 'hono/cookie'
import { anyCaller, type Caller, callerOf, cookieName, handleOf, isEncrypted } from './caller.js'
import type { HttpApp, HttpEnv, HttpParts } from './http-parts.js'
import type { Logins } from './logins.js'
import { invalidInput } from './problem.js'
import { readJson } from './request-body.js'
import { problems } from './schemas.js'
import { prefixText } from './value-text.js'

const principalSchema = z
  .strictObject({
    name: z.string(),
    role: z.enum(['read', 'write', 'admin']),
    prefixes: z
      .array(z.strictObject({ prefix: z.string().optional(), prefixBase64: z.string().optional() }))
      .openapi({ description: 'what its keys begin with; none: all keys' }),
    expiresAt: z.string().optional().openapi({ format: 'date-time', description: 'absent: never' }),
  })
  .openapi('Principal')

const whoami = z
  .strictObject({
    authentication: z.boolean().openapi({ description: 'whether callers have to say who they are' }),
    by: z
      .enum(['nothing', 'token', 'login', 'certificate'])
      .openapi({ description: 'how it is known who asks; nothing: it is not, or nobody is asked' }),
    principal: principalSchema.nullable().openapi({ description: 'who asks' }),
  })
  .openapi('Whoami')
type Whoami = z.output<typeof whoami>

const whoamiRoute = createRoute({
  method: 'get',
  path: '/whoami',
  tags: ['login'],
  summary: 'Who asks, and what they may do',
  responses: {
    200: { description: 'as far as it is known', content: { 'application/json': { schema: whoami } } },
    ...problems(401, 403, 503),
  },
})

const credentials = z.strictObject({ token: z.string() }).openapi('Credentials')

const loginRoute = createRoute({
  method: 'post',
  path: '/login',
  tags: ['login'],
  summary: 'Signs a browser in: takes a token, and sets a cookie that is good at this node for some hours',
  request: {
    body: { required: true, content: { 'application/json': { schema: { $ref: '#/components/schemas/Credentials' } } } },
  },
  responses: {
    200: { description: 'signed in', content: { 'application/json': { schema: whoami } } },
    ...problems(400, 401, 403, 413, 415, 503),
  },
})

const logoutRoute = createRoute({
  method: 'post',
  path: '/logout',
  tags: ['login'],
  summary: 'Signs the browser out, whether it is signed in or not',
  responses: { 204: { description: 'signed out' }, ...problems(403) },
})

function toWhoami({ principal, by }: Caller): Whoami {
  const { name, role, prefixes, expiresAtMs } = principal
  const expiry = expiresAtMs === undefined ? {} : { expiresAt: new Date(expiresAtMs).toISOString() }
  return {
    authentication: true,
    by,
    principal: { name, role, prefixes: prefixes.map(prefixText), ...expiry },
  }
}

const nobody: Whoami = { authentication: true, by: 'nothing', principal: null }

async function tokenIn(c: Context<HttpEnv>): Promise<string> {
  const result = credentials.safeParse(await readJson(c, limits.loginBytesMax))
  if (!result.success) throw invalidInput(result.error, 'body')
  return result.data.token
}

/** `/whoami`, and `/login` and `/logout` for browsers. */
export function mountLoginRoutes(app: HttpApp, { services }: HttpParts, logins: Logins): void {
  const { access } = services
  app.openAPIRegistry.register('Credentials', credentials)
  app.openapi(whoamiRoute, (c) => {
    if (!access.demanded) return c.json({ ...toWhoami(anyCaller), authentication: false }, 200)
    const caller = callerOf(c, access, logins)
    return c.json(caller === undefined ? nobody : toWhoami(caller), 200)
  })
  app.openapi(loginRoute, async (c) => {
    const token = await tokenIn(c)
    if (!access.demanded) throw invalidArgument('token', 'is of no use: this node asks nobody who they are')
    const principal = access.identify(`Bearer ${token}`)
    const before = handleOf(c)
    if (before !== undefined) logins.close(before)
    const login = { principal, by: 'login' } as const
    c.set('caller', login)
    // What the browser says of the page that signs in is true also where TLS ends at a proxy.
    const secure = isEncrypted(c) || c.req.header('origin')?.startsWith('https:') === true
    const options = { httpOnly: true, sameSite: 'Strict', path: '/', secure } as const
    setCookie(c, cookieName(c), logins.open(principal), secure ? { ...options, prefix: 'host' } : options)
    return c.json(toWhoami(login), 200)
  })
  app.openapi(logoutRoute, (c) => {
    const handle = handleOf(c)
    const login = handle === undefined ? undefined : logins.find(handle)
    if (handle !== undefined && login !== undefined) {
      c.set('caller', { principal: login.principal, by: 'login', login })
      logins.close(handle)
    }
    deleteCookie(c, cookieName(c), { path: '/' })
    deleteCookie(c, cookieName(c), { path: '/', secure: true, prefix: 'host' })
    return c.body(null, 204)
  })
}
