import { type ClusterView, type EventView, eventsKept, type NodePatch, type NodeView, type ViewDelta } from './view.js'

/*
 * Views are trees of plain JSON that are replaced and never changed. Both ends of the feed use this file, so it must not
 * need Node.
 */

const clusterParts = ['cluster', 'ring', 'handover', 'health'] as const
const nodeParts = ['member', 'telling', 'opinion', 'process', 'load', 'storage', 'repair'] as const

/** Whether two values of plain JSON, made by the same code, are the same. */
function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b)
}

function changedNode(before: NodeView, after: NodeView): NodePatch | undefined {
  const patch: Record<string, unknown> = {}
  let changed = false
  for (const part of nodeParts) {
    if (same(before[part], after[part]) || after[part] === undefined) continue
    patch[part] = after[part]
    changed = true
  }
  return changed ? (patch as NodePatch) : undefined
}

function changedNodes(before: ClusterView['nodes'], after: ClusterView['nodes']): ViewDelta['nodes'] {
  const patches: Record<string, NodePatch | null> = {}
  for (const [id, node] of Object.entries(after)) {
    const old = before[id]
    const patch = old === undefined ? node : changedNode(old, node)
    if (patch !== undefined) patches[id] = patch
  }
  for (const id of Object.keys(before)) {
    if (after[id] === undefined) patches[id] = null
  }
  return Object.keys(patches).length === 0 ? undefined : patches
}

function changedEvents(before: readonly EventView[], after: readonly EventView[]): ViewDelta['events'] {
  const known = new Map(before.map((event) => [event.id, event]))
  const changed = after.filter((event) => known.get(event.id) !== event)
  return changed.length === 0 ? undefined : changed
}

/** What has changed. The parts of a member that are told once are never told to be absent again. */
export function deltaOf(before: ClusterView, after: ClusterView): ViewDelta {
  const delta: Record<string, unknown> = { atMs: after.atMs }
  for (const part of clusterParts) {
    if (!same(before[part], after[part])) delta[part] = after[part]
  }
  const nodes = changedNodes(before.nodes, after.nodes)
  if (nodes !== undefined) delta['nodes'] = nodes
  const events = changedEvents(before.events, after.events)
  if (events !== undefined) delta['events'] = events
  return delta as unknown as ViewDelta
}

function withNodes(nodes: ClusterView['nodes'], patches: NonNullable<ViewDelta['nodes']>): ClusterView['nodes'] {
  const all: Record<string, NodeView> = { ...nodes }
  for (const [id, patch] of Object.entries(patches)) {
    if (patch === null) delete all[id]
    else all[id] = { ...all[id], ...patch } as NodeView
  }
  return all
}

/** Events with those in `news` added or put in the place of their former selves; the oldest are forgotten. */
export function withEvents(events: readonly EventView[], news: readonly EventView[]): readonly EventView[] {
  const byId = new Map(events.map((event) => [event.id, event]))
  for (const event of news) byId.set(event.id, event)
  return [...byId.values()].slice(-eventsKept)
}

/** The view after a delta. What has not changed stays the same object, so that nothing is drawn again for it. */
export function applyDelta(view: ClusterView, delta: ViewDelta): ClusterView {
  const { nodes, events, ...parts } = delta
  return {
    ...view,
    ...parts,
    nodes: nodes === undefined ? view.nodes : withNodes(view.nodes, nodes),
    events: events === undefined ? view.events : withEvents(view.events, events),
  }
}
