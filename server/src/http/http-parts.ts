import type { HttpBindings } from '@hono/node-server'
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { ServiceContext } from '../calls/service-context.js'
import type { Feed } from '../feed/feed.js'
import type { ByteBudget, Holding, MakeRoom } from './byte-budget.js'
import type { Caller } from './caller.js'

/** What the routes of the HTTP door share. */
export interface HttpParts {
  readonly services: ServiceContext
  /** The names under which this node may be asked, besides IP addresses and `localhost`; lower case, without ports. */
  readonly hostNames: () => readonly string[]
  /** Fires when the node begins to stop: answers that would go on, such as streams, end then. */
  readonly stopping: AbortSignal
  /** Tells pages how the cluster is. */
  readonly feed: Feed
  /** Whoever asks is told the metrics. */
  readonly metricsOpen: boolean
  /** What bodies hold, where a test looks at it. */
  readonly bodies?: ByteBudget
}

/** What a handler finds in its context. */
export interface HttpEnv {
  /** Node's own request and response; missing where a test asks without a server. */
  readonly Bindings: Partial<HttpBindings> & {
    readonly makeRoom?: MakeRoom
  }
  readonly Variables: {
    /** Names the request in answers and in the log: the caller's `x-request-id`, or one made here. */
    requestId: string
    /** What the request holds of the bytes that all of them may hold: see `limits.httpBodiesBytesMax`. */
    holding: Holding
    /** Who asks: known before any handler is called, but for those of routes that are open. */
    caller: Caller
  }
}

/** The application that routes are mounted on. */
export type HttpApp = OpenAPIHono<HttpEnv>
