import { ruleOfRoute } from '../access/table.js'
import { packageVersion } from '../package-version.js'
import type { HttpApp } from './http-parts.js'
import { problems } from './schemas.js'

const about = `A durable, distributed key-value store. Any node answers for any key. Keys and values are bytes; in JSON they are
text where they are UTF-8, else base64 in a field that says so. Every error is application/problem+json, with the codes of KvError.
A node with --auth-file asks who calls: by a token in Authorization, by the cookie of who has signed in, or by the certificate of the connection.`

type Description = ReturnType<HttpApp['getOpenAPI31Document']>

const schemes = {
  token: { type: 'http', scheme: 'bearer', description: 'qkv_<name>_…, as kv auth create prints it' },
  login: { type: 'apiKey', in: 'cookie', name: 'kv-login-<port>', description: 'for browsers; made by POST /login' },
  certificate: { type: 'mutualTLS', description: 'that names a principal: quorumkv://<cluster id>/client/<name>' },
} as const

const methods = ['get', 'put', 'post', 'delete'] as const

/** The pattern of a path, as the table of rules has it. */
function patternOf(path: string): string {
  return path.replace(/\{(\w+)\}/g, ':$1')
}

/** Says of each route who may call it, by the table that decides it; so no route can say otherwise. */
function describeAccess(description: Description, metricsOpen: boolean): object {
  const refused = problems(401)[401].description
  for (const [path, item] of Object.entries(description.paths ?? {})) {
    for (const method of methods) {
      const operation = item[method]
      if (operation === undefined) continue
      const { permission, perKey } = ruleOfRoute(method.toUpperCase(), patternOf(path), metricsOpen)
      operation.security = permission === 'open' ? [] : Object.keys(schemes).map((name) => ({ [name]: [] }))
      if (permission === 'open') continue
      operation.description = `Takes the role ${permission}${perKey ? ', for this key or prefix' : ''}, where callers are asked who they are.`
      operation.responses = {
        ...operation.responses,
        401: {
          description: refused,
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      }
    }
  }
  return { ...description, components: { ...description.components, securitySchemes: { ...schemes } } }
}

/** `/openapi.json`: what all routes of `app` say of themselves, made at the first request. */
export function mountOpenApiRoute(app: HttpApp, metricsOpen: boolean): void {
  let text: string | undefined
  app.get('/openapi.json', (c) => {
    text ??= JSON.stringify(
      describeAccess(
        app.getOpenAPI31Document({
          openapi: '3.1.0',
          info: {
            title: 'QuorumKV',
            version: packageVersion,
            description: about,
            license: { name: 'MIT', url: 'https://opensource.org/license/mit' },
          },
          servers: [{ url: '/' }],
        }),
        metricsOpen,
      ),
    )
    return c.body(text, 200, { 'content-type': 'application/json' })
  })
}
