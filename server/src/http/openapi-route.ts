import { packageVersion } from '../package-version.js'
import type { HttpApp } from './http-parts.js'

const about = `A durable, distributed key-value store. Any node answers for any key. Keys and values are bytes; in JSON they are
text where they are UTF-8, else base64 in a field that says so. Every error is application/problem+json, with the codes of KvError.`

/** `/openapi.json`: what all routes of `app` say of themselves, made at the first request. */
export function mountOpenApiRoute(app: HttpApp): void {
  let text: string | undefined
  app.get('/openapi.json', (c) => {
    text ??= JSON.stringify(
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
    )
    return c.body(text, 200, { 'content-type': 'application/json' })
  })
}
