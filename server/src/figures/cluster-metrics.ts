import type { Instruments } from '@quorumkv/internal/base'
import type { Liveness, Node, NodeStatus } from '@quorumkv/internal/cluster'
import type { Member } from '@quorumkv/internal/slots'
import type { LinkTraffic, Traffic } from '../links/link-traffic.js'
import { packageVersion } from '../package-version.js'
import type { MetricDefinition, Sample, Scrape } from './metrics.js'

function ofStatus(
  read: (status: NodeStatus, node: Node) => number | undefined,
): (scrape: Scrape) => readonly Sample<number>[] {
  return ({ status, node }) => {
    const value = status === undefined || node === undefined ? undefined : read(status, node)
    return value === undefined ? [] : [[value]]
  }
}

function counted(read: (instruments: Instruments) => number): (scrape: Scrape) => readonly Sample<number>[] {
  return ({ node }) => (node === undefined ? [] : [[read(node.instruments)]])
}

/** A sample for each other member; undefined: nothing is known of it. */
function byMember(
  read: (member: Member, node: Node) => number | undefined,
): (scrape: Scrape) => readonly Sample<number>[] {
  return ({ node, status }) => {
    if (node === undefined) return []
    return (status?.topology?.members ?? []).flatMap((member): Sample<number>[] => {
      const value = member.id === node.id ? undefined : read(member, node)
      return value === undefined ? [] : [[value, { member: member.id }]]
    })
  }
}

function byChannel(read: (traffic: LinkTraffic) => number): (scrape: Scrape) => readonly Sample<number>[] {
  return ({ services: { traffic } }) => {
    const channels = Object.keys(traffic) as (keyof Traffic)[]
    return channels.map((channel): Sample<number> => [read(traffic[channel]), { channel }])
  }
}

const lifes: readonly Liveness['status'][] = ['alive', 'suspect', 'dead', 'left']

const self: readonly MetricDefinition[] = [
  {
    type: 'gauge',
    name: 'kv_node_info',
    help: 'Always 1; the labels say which node this is',
    labels: ['id', 'version'],
    read: ({ node }) => (node === undefined ? [] : [[1, { id: node.id, version: packageVersion }]]),
  },
  {
    type: 'gauge',
    name: 'kv_ready',
    help: '1: the node serves clients',
    read: ({ status, node }) => [[status?.phase === 'serving' && node?.members?.draining !== true ? 1 : 0]],
  },
  {
    type: 'gauge',
    name: 'kv_uptime_seconds',
    help: 'Since the node was started',
    read: ofStatus(({ uptimeMs }) => uptimeMs / 1_000),
  },
  {
    type: 'gauge',
    name: 'kv_topology_epoch',
    help: 'Of the topology that is in force here',
    read: ofStatus(({ topology }) => topology?.epoch),
  },
  {
    type: 'gauge',
    name: 'kv_members',
    help: 'Of the cluster, the node itself included',
    read: ofStatus(({ topology }) => topology?.members.length),
  },
  {
    type: 'gauge',
    name: 'kv_clock_offset_seconds',
    help: "The wall clock less the median of what the other members' read",
    read: ofStatus(({ clockOffsetMs }) => clockOffsetMs / 1_000),
  },
  {
    type: 'gauge',
    name: 'kv_handover_running',
    help: '1: slots are being handed over',
    read: ofStatus(({ topology }) => (topology?.handover === undefined ? 0 : 1)),
  },
  {
    type: 'gauge',
    name: 'kv_handover_received_bytes',
    help: 'Streamed to this node by the handover that runs',
    read: ofStatus(({ handover }, { id }) => handover?.reports.find((report) => report.id === id)?.bytes),
  },
  {
    type: 'gauge',
    name: 'kv_handover_slots_missing',
    help: 'Slots that come to this node by the handover that runs, and are not there yet',
    read: ofStatus(({ handover }, { id }) => {
      const report = handover?.reports.find((each) => each.id === id)
      return report === undefined ? undefined : report.slots - report.done
    }),
  },
]

const others: readonly MetricDefinition[] = [
  {
    type: 'gauge',
    name: 'kv_member_liveness',
    help: '1 for what the node believes of a member, 0 for the other states',
    labels: ['member', 'state'],
    read: ({ node, status }) => {
      if (node === undefined) return []
      const members = (status?.topology?.members ?? []).filter(({ id }) => id !== node.id)
      return members.flatMap((member) => {
        const believed = node.liveness(member).status
        return lifes.map((state): Sample<number> => [state === believed ? 1 : 0, { member: member.id, state }])
      })
    },
  },
  {
    type: 'gauge',
    name: 'kv_member_linked',
    help: '1: requests can be sent to the member now',
    labels: ['member'],
    read: byMember(({ id }, node) => (node.linked(id) ? 1 : 0)),
  },
  {
    type: 'gauge',
    name: 'kv_member_rtt_seconds',
    help: 'Of the last heartbeat on the link to the member that was answered',
    labels: ['member'],
    read: byMember(({ id }, { instruments }) => {
      const { rttUs } = instruments.member(id)
      return rttUs === undefined ? undefined : rttUs / 1e6
    }),
  },
  {
    type: 'counter',
    name: 'kv_member_suspicions_total',
    help: 'How often the member has been suspected to be dead',
    labels: ['member'],
    read: byMember(({ id }, { instruments }) => instruments.member(id).suspicions),
  },
]

const repairs: readonly MetricDefinition[] = [
  {
    type: 'counter',
    name: 'kv_hints_written_total',
    help: 'Acknowledged writes that were kept for members which had missed them',
    read: counted(({ hintsWritten }) => hintsWritten),
  },
  {
    type: 'counter',
    name: 'kv_hints_replayed_total',
    help: 'Of these, those that were handed over',
    read: counted(({ hintsReplayed }) => hintsReplayed),
  },
  {
    type: 'counter',
    name: 'kv_hints_dropped_total',
    help: 'Writes that were missed and could not be kept: comparisons bring them',
    read: counted(({ hintsDropped }) => hintsDropped),
  },
  {
    type: 'gauge',
    name: 'kv_hints_waiting',
    help: 'Kept for a member now',
    labels: ['member'],
    read: ({ status }) => (status?.hints ?? []).map(({ node: member, hints }): Sample<number> => [hints, { member }]),
  },
  {
    type: 'gauge',
    name: 'kv_hints_waiting_bytes',
    help: 'Of these',
    labels: ['member'],
    read: ({ status }) => (status?.hints ?? []).map(({ node: member, bytes }): Sample<number> => [bytes, { member }]),
  },
  {
    type: 'gauge',
    name: 'kv_differing_slots',
    help: 'That a comparison with the member has found, and that have not been made equal',
    labels: ['member'],
    read: ({ status }) =>
      (status?.convergence?.peers ?? []).map(({ node: member, differingSlots }) => [differingSlots, { member }]),
  },
  {
    type: 'counter',
    name: 'kv_repair_pulled_records_total',
    help: 'Fetched because a comparison found them missing or older here',
    read: ofStatus(({ convergence }) => convergence?.recordsPulled),
  },
  {
    type: 'counter',
    name: 'kv_repair_pushed_records_total',
    help: 'Sent because a comparison found them missing or older there',
    read: ofStatus(({ convergence }) => convergence?.recordsPushed),
  },
]

const links: readonly MetricDefinition[] = [
  {
    type: 'gauge',
    name: 'kv_peer_links',
    help: 'To and from other nodes that are open',
    labels: ['channel'],
    read: byChannel((traffic) => traffic.links),
  },
  {
    type: 'counter',
    name: 'kv_peer_messages_sent_total',
    help: 'To other nodes',
    labels: ['channel'],
    read: byChannel((traffic) => traffic.messagesSent),
  },
  {
    type: 'counter',
    name: 'kv_peer_messages_received_total',
    help: 'From other nodes',
    labels: ['channel'],
    read: byChannel((traffic) => traffic.messagesReceived),
  },
  {
    type: 'counter',
    name: 'kv_peer_sent_bytes_total',
    help: 'Of messages to other nodes, without what HTTP/2 adds',
    labels: ['channel'],
    read: byChannel((traffic) => traffic.bytesSent),
  },
  {
    type: 'counter',
    name: 'kv_peer_received_bytes_total',
    help: 'Of messages from other nodes, likewise',
    labels: ['channel'],
    read: byChannel((traffic) => traffic.bytesReceived),
  },
  {
    type: 'counter',
    name: 'kv_gossip_sent_total',
    help: 'Messages of failure detection',
    read: counted(({ gossipSent }) => gossipSent),
  },
  {
    type: 'counter',
    name: 'kv_gossip_received_total',
    help: 'Messages of failure detection',
    read: counted(({ gossipReceived }) => gossipReceived),
  },
]

/** The node among the others. */
export const clusterMetrics: readonly MetricDefinition[] = [...self, ...others, ...repairs, ...links]
