import { Buffer } from 'node:buffer'
import { slotCount } from '@quorumkv/internal/slots'
import type { Observed } from './health.js'
import type { Membership, NodeView } from './view.js'

/** When views of tests are taken. */
export const nowMs = 1_700_000_000_000

export const noLatency = { p50: 0, p99: 0, p999: 0, max: 0 } as const

/** A member that is well, but for what the test says. */
export function nodeOf(number: number, parts: Partial<NodeView> = {}, member: Partial<Membership> = {}): NodeView {
  return {
    telling: { ok: true, obstacle: '' },
    opinion: { alive: 2, of: 2, rttMedianUs: 200, rttMaxUs: 400, suspicions: 0 },
    process: {
      version: '0.1.0',
      startedAtMs: nowMs - 3_600_000,
      clockOffsetMs: 1,
      ready: true,
      draining: false,
      rssBytes: 1,
      heapUsedBytes: 1,
      heapTotalBytes: 1,
      externalBytes: 1,
      cpu: 0.1,
      loopDelay: noLatency,
      gcMs: 0,
      connections: 1,
      streams: 1,
      sessions: 1,
      certificateToMs: 0,
      certificateProblem: '',
    },
    load: { coordinator: {}, replica: {}, codes: {}, quorumFailures: 0 },
    storage: {
      entries: 1,
      tombstones: 0,
      dataBytes: 1,
      tableBytes: 1,
      logBytes: 1,
      logSegments: 1,
      readOnly: false,
      lostSlots: 0,
      refillObstacle: '',
      fdatasync: noLatency,
      fdatasyncs: 0,
      snapshotAtMs: 0,
      snapshotRunning: false,
      snapshotMs: 0,
    },
    repair: {
      hintsWaiting: 0,
      hintBytes: 0,
      hintsWritten: 0,
      hintsReplayed: 0,
      hintsDropped: 0,
      readRepairs: 0,
      differingSlots: 0,
      pulled: 0,
      pushed: 0,
    },
    ...parts,
    member: {
      number,
      address: `10.0.0.${number}:50051`,
      zone: '',
      weight: 1,
      incarnation: 'a'.repeat(32),
      state: 'serving',
      liveness: 'alive',
      linked: true,
      sinceMs: nowMs - 3_600_000,
      ...member,
    },
  }
}

/** A cluster of n1, n2, …, each slot owned by as many of them in turn as there are copies. */
export function clusterOf(nodes: readonly NodeView[], cluster: Partial<Observed['cluster']> = {}): Observed {
  const facts = {
    clusterId: 'c'.repeat(32),
    epoch: 3,
    featureLevel: 1,
    forming: false,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum: 2,
    planned: [],
    replaceAfterMs: 600_000,
    ...cluster,
  }
  const ownersPerSlot = Math.min(facts.replicationFactor, nodes.length)
  const owners = Buffer.alloc(slotCount * ownersPerSlot * 2)
  for (let i = 0; i < slotCount * ownersPerSlot; i++) {
    const slot = Math.floor(i / ownersPerSlot)
    owners.writeUInt16LE((slot + (i % ownersPerSlot)) % nodes.length, 2 * i)
  }
  const members = nodes.map(({ member }) => `n${member.number}`)
  return {
    atMs: nowMs,
    self: 'n1',
    cluster: facts,
    ring: { members, ownersPerSlot, owners: owners.toString('base64') },
    handover: null,
    nodes: Object.fromEntries(nodes.map((node, i) => [members[i]!, node])),
    events: [],
  }
}
