import { randomBytes } from 'node:crypto'
import { MemberCalls } from '../calls/member-calls.js'
import type { ServiceContext } from '../calls/service-context.js'
import { answerFigures } from '../figures/figures-call.js'
import { Collector } from './collector.js'
import { Feed } from './feed.js'

/** The feed of a node: what it sees, and what the other members tell it over gRPC. */
export function nodeFeed(services: ServiceContext, replaceAfterMs: number): Feed {
  const { clock, onBug, certificates } = services
  const calls = new MemberCalls(clock, certificates, (to) => services.access.asNode(to))
  const source = new Collector({
    clock,
    node: services.node,
    own: (node, eventsAfter) => answerFigures(node, { eventsAfter }, services),
    ask: (member, eventsAfter) => calls.figures(member, eventsAfter),
    hangUp: () => calls.keep(),
    replaceAfterMs,
    onBug,
  })
  return new Feed({ clock, source, life: randomBytes(6).toString('hex'), onBug })
}
