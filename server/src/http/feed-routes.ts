import type { HttpApp, HttpParts } from './http-parts.js'

const headers: Readonly<Record<string, string>> = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // A proxy that gathers bytes before it passes them on would hold back what is told.
  'x-accel-buffering': 'no',
}

/** `/feed`: how the cluster is, as server-sent events. A page that comes back names the event that it has seen last. */
export function mountFeedRoutes(app: HttpApp, { feed, stopping }: HttpParts): void {
  stopping.addEventListener('abort', () => feed.close(), { once: true })
  app.get('/feed', (c) => {
    const stream = feed.open(c.req.header('last-event-id') ?? c.req.query('last'))
    return new Response(stream, { headers })
  })
}
