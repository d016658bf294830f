import type { Node } from '@quorumkv/internal/cluster'
import type { Log } from '@quorumkv/internal/env'
import type { AccessControl } from '../access/access-control.js'
import { FakeNode } from '../calls/fake-node.test-support.js'
import type { ServiceContext } from '../calls/service-context.js'
import { type LogLine, openAccess, recordingLog, testClock, testMeter } from '../calls/services.test-support.js'
import { nodeFeed } from '../feed/node-feed.js'
import { freshTraffic } from '../links/link-traffic.js'
import { createHttpApp } from './http-app.js'
import type { HttpApp, HttpParts } from './http-parts.js'
import type { Problem } from './problem.js'
import type { FoundEntry, Page } from './schemas.js'

export interface TestApp {
  readonly app: HttpApp
  readonly services: ServiceContext
  readonly lines: LogLine[]
  /** What the application took for bugs. */
  readonly bugs: unknown[]
}

/** The application over a fake node, or none yet; it is asked without a server. */
export function testApp(
  fake: FakeNode | 'starting' = new FakeNode(),
  tuning: Partial<Pick<HttpParts, 'bodies' | 'feed' | 'metricsOpen' | 'stopping'>> = {},
  accessOf: (node: () => Node | undefined, log: Log) => AccessControl = () => openAccess,
): TestApp {
  const bugs: unknown[] = []
  const lines: LogLine[] = []
  const log = recordingLog(lines)
  const node = (): Node | undefined => (fake === 'starting' ? undefined : fake)
  const services: ServiceContext = {
    clock: testClock,
    log,
    access: accessOf(node, log),
    meter: testMeter,
    traffic: freshTraffic(),
    scans: { running: 0 },
    calls: () => ({ streams: 2, sessions: 1 }),
    node,
    draining: () => undefined,
    onBug: (error) => bugs.push(error),
  }
  const stopping = new AbortController().signal
  return {
    app: createHttpApp({
      services,
      hostNames: () => ['kv.example'],
      stopping,
      feed: nodeFeed(services, 0),
      metricsOpen: false,
      ...tuning,
    }),
    services,
    lines,
    bugs,
  }
}

/** Any answer in JSON. */
export type Answer = Partial<Omit<FoundEntry, 'found'>> & Partial<Page> & Partial<Problem>

export async function answer(response: Response | Promise<Response>): Promise<Answer> {
  return (await (await response).json()) as Answer
}
