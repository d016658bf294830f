import { isIP } from 'node:net'
import type { MiddlewareHandler } from 'hono'
import type { HttpEnv, HttpParts } from './http-parts.js'
import { forbidden, isSafe, refusal } from './problem.js'

/*
 * A browser on the machine of a developer or operator reaches this node, and runs the scripts of any page that is open in
 * it. Three things keep such pages out (as etcd had to learn, CVE-2018-1098 and CVE-2018-1099): requests must ask for this
 * node by a name that is its own, so that a foreign name that is made to point here (DNS rebinding) is of no use; what
 * changes something must not come from another origin; and no answer may be read by one, because none has CORS headers.
 */

/** The host of a `Host` header or an origin, in lower case, without port and brackets; undefined: it has none. */
export function hostOf(authority: string): string | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/?#@[\]]+))(?::\d{0,5})?$/.exec(authority)
  return (match?.[1] ?? match?.[2])?.toLowerCase()
}

function isOwnHost(host: string, hostNames: readonly string[]): boolean {
  if (isIP(host) !== 0 || host === 'localhost' || host.endsWith('.localhost')) return true
  // A name may be written with the dot of the root.
  return hostNames.includes(host.endsWith('.') ? host.slice(0, -1) : host)
}

/** Whether an `Origin` is the one that the request itself asks: pages of this node. */
function isOwnOrigin(origin: string, authority: string): boolean {
  const match = /^https?:\/\/(.+)$/.exec(origin)
  return match?.[1]?.toLowerCase() === authority.toLowerCase()
}

/** The library lets pass what looks like a name and ends in a number, `a.1` say, which is no name and no address either. */
function parsedUrl(url: string): URL {
  try {
    return new URL(url)
  } catch (error) {
    if (error instanceof TypeError) throw refusal(400, 'host', 'is neither a name nor an address')
    throw error
  }
}

/** Where a request goes: the `Host` header; a request line with a whole URL must say the same. */
function authorityOf(url: string, header: string | undefined): string {
  const asked = parsedUrl(url)
  if (header === undefined) return asked.host
  if (hostOf(header) !== hostOf(asked.host)) {
    throw refusal(400, 'host', 'the request line and the header name different hosts')
  }
  return header
}

/** Refuses requests under foreign names and from foreign pages. */
export function guard({ hostNames }: Pick<HttpParts, 'hostNames'>): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const { req } = c
    const authority = authorityOf(req.url, req.header('host'))
    const host = hostOf(authority)
    if (host === undefined || !isOwnHost(host, hostNames())) {
      throw forbidden(
        `this node is not asked under the name ${JSON.stringify(host ?? authority)}; see --http-allow-host`,
      )
    }
    const origin = req.header('origin')
    const site = req.header('sec-fetch-site')
    const foreign = site !== undefined && site !== 'same-origin' && site !== 'none'
    if (!isSafe(req.method)) {
      if (foreign || (origin !== undefined && !isOwnOrigin(origin, authority))) {
        throw forbidden('a page of another site may not change anything here')
      }
    } else if (foreign && req.header('sec-fetch-mode') !== 'navigate') {
      // A link to this node is fine; to embed it, or to make it work by loading from it, is not.
      throw forbidden('a page of another site may not load anything from here')
    }
    await next()
  }
}
