import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import type { Context } from 'hono'
import type { HttpApp, HttpEnv } from './http-parts.js'

/** Where `npm run build` puts the page; the same place from the sources and from what is made of them. */
const builtPage = fileURLToPath(new URL('../../dashboard/dist/', import.meta.url))

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/**
 * The page shows what clients have put into keys and values, and what nodes say of themselves. Even if something of that were
 * taken for markup by mistake, nothing but the files of the page would run, and nothing could be sent to anybody else.
 */
export const dashboardPolicy: string = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

interface Asset {
  readonly bytes: Buffer
  readonly gzipped: Buffer
  readonly headers: Readonly<Record<string, string>>
}

function readAsset(folder: string, name: string): Asset {
  const bytes = readFileSync(join(folder, name))
  const immutable = name.startsWith('assets/')
  return {
    bytes,
    gzipped: gzipSync(bytes, { level: 9 }),
    headers: {
      'content-type': types[extname(name)] ?? 'application/octet-stream',
      'content-security-policy': dashboardPolicy,
      // The names of the others tell their contents; only the page itself is asked for again.
      'cache-control': immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
      etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`,
      vary: 'accept-encoding',
    },
  }
}

/** The files of a built page by their paths; empty: it has not been built. A few hundred kilobytes, read once. */
function readPage(folder: string): ReadonlyMap<string, Asset> {
  if (!existsSync(folder)) return new Map()
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return new Map(
    files.map((entry): [string, Asset] => {
      const name = relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/')
      return [name === 'index.html' ? '/' : `/${name}`, readAsset(folder, name)]
    }),
  )
}

function accepts(c: Context<HttpEnv>, encoding: string): boolean {
  const wanted = c.req.header('accept-encoding') ?? ''
  return new RegExp(`(?:^|[\\s,])${encoding}(?!\\s*;\\s*q=0(?:\\.0*)?(?:$|,))`, 'i').test(wanted)
}

function serve(c: Context<HttpEnv>, { bytes, gzipped, headers }: Asset): Response {
  const known = (c.req.header('if-none-match') ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  if (known.includes(headers['etag']!)) return new Response(null, { status: 304, headers })
  if (!accepts(c, 'gzip')) return new Response(new Uint8Array(bytes), { headers })
  return new Response(new Uint8Array(gzipped), { headers: { ...headers, 'content-encoding': 'gzip' } })
}

/** `/` and the files that the page is made of. */
export function mountDashboardRoutes(app: HttpApp, folder: string = builtPage): void {
  const page = readPage(folder)
  if (page.size === 0) {
    app.get('/', (c) => c.text('The dashboard has not been built: npm run build\n', 404))
    return
  }
  for (const [path, asset] of page) app.get(path, (c) => serve(c, asset))
}
