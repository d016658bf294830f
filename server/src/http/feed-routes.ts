import { isOver } from './caller.js'
import type { HttpApp, HttpParts } from './http-parts.js'
import type { Logins } from './logins.js'

const headers: Readonly<Record<string, string>> = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // A proxy that gathers bytes before it passes them on would hold back what is told.
  'x-accel-buffering': 'no',
}

/**
 * `/feed`: how the cluster is, as server-sent events. A page that comes back names the event that it has seen last. The stream of
 * somebody who is nobody any more ends.
 */
export function mountFeedRoutes(app: HttpApp, { feed, services, stopping }: HttpParts, logins: Logins): void {
  stopping.addEventListener('abort', () => feed.close(), { once: true })
  services.access.onChange(() => feed.review())
  logins.onChange(() => feed.review())
  app.get('/feed', (c) => {
    // Nobody would read the stream, nor ever end it.
    if (c.req.method === 'HEAD') return new Response(null, { headers })
    const caller = c.get('caller')
    const stream = feed.open(c.req.header('last-event-id') ?? c.req.query('last'), () => isOver(caller))
    return new Response(stream, { headers })
  })
}
