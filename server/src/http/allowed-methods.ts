import type { HttpApp } from './http-parts.js'

function matches(pattern: string, path: string): boolean {
  const source = pattern
    .split('/')
    .map((part) => {
      if (part === '*') return '.*'
      return part.startsWith(':') ? '[^/]+' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    })
    .join('/')
  return new RegExp(`^${source}$`, 's').test(path)
}

/** What the routes of `app` make of a path, for `Allow`; empty: nothing is there. */
export function allowedMethods(app: HttpApp, path: string): readonly string[] {
  const methods = new Set<string>()
  for (const { method, path: pattern } of app.routes) {
    // What stands for all methods is no route: it wraps others.
    if (method === 'ALL' || !matches(pattern, path)) continue
    methods.add(method)
    if (method === 'GET') methods.add('HEAD')
  }
  if (methods.size > 0) methods.add('OPTIONS')
  return [...methods].sort()
}
