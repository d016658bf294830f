import type { DoorReading } from '../limits/door-reading.js'
import type { MetricDefinition, Sample, Scrape } from './metrics.js'

function ofEachDoor(read: (door: DoorReading) => number): (scrape: Scrape) => readonly Sample<number>[] {
  return ({ services: { doors } }) => (doors?.() ?? []).map((door) => [read(door), { kind: door.kind }])
}

/** What only the door of gRPC counts. */
function ofCalls(read: (door: DoorReading) => number | undefined): (scrape: Scrape) => readonly Sample<number>[] {
  return ({ services: { doors } }) =>
    (doors?.() ?? []).flatMap((door): Sample<number>[] => {
      const value = read(door)
      return value === undefined ? [] : [[value]]
    })
}

/** Who is at the doors of the node, and who was shown out: see docs/limits.md. */
export const doorMetrics: readonly MetricDefinition[] = [
  {
    type: 'gauge',
    name: 'kv_connections',
    help: 'Connections of clients and other nodes that are open',
    labels: ['kind'],
    read: ofEachDoor(({ connections }) => connections),
  },
  {
    type: 'counter',
    name: 'kv_connections_refused_total',
    help: 'Connections that were closed at once, as there were too many',
    labels: ['kind'],
    read: ofEachDoor(({ refused }) => refused),
  },
  {
    type: 'counter',
    name: 'kv_slow_peers_cut_total',
    help: 'Calls or connections that were cut off: nothing was taken, or what was begun was not ended',
    labels: ['kind'],
    read: ofEachDoor(({ cut }) => cut),
  },
  {
    type: 'counter',
    name: 'kv_tls_handshakes_failed_total',
    help: 'Handshakes of TLS with clients and other nodes that have failed, without those who said nothing',
    labels: ['kind'],
    read: ({ services: { doors } }) =>
      (doors?.() ?? []).flatMap(({ kind, handshakesFailed }): Sample<number>[] =>
        handshakesFailed === undefined ? [] : [[handshakesFailed, { kind }]],
      ),
  },
  {
    type: 'gauge',
    name: 'kv_calls',
    help: 'Calls over gRPC that are under way, links of other nodes included',
    read: ofCalls(({ calls }) => calls),
  },
  {
    type: 'gauge',
    name: 'kv_received_bytes',
    help: 'Of messages over gRPC that have not come to their end',
    read: ofCalls(({ receivedBytes }) => receivedBytes),
  },
]
