import { parseNodeId } from '../../base/index.js'
import { put, SimStore } from '../fixture.conformance.js'
import { type Identity, writeDocument, writeIdentity } from '../index.js'

export const nodeId: Identity['nodeId'] = parseNodeId('n1')

/** A node's stopped data directory, with every kind of file in it. */
export async function stoppedNode(history: (sim: SimStore) => Promise<void>): Promise<SimStore> {
  const sim = new SimStore('verify')
  const { incarnation, clusterId } = sim.options
  await sim.settle(writeIdentity(sim.process.disk, { nodeId, incarnation, clusterId }))
  await sim.settle(writeDocument(sim.process.disk, 'topology', new TextEncoder().encode(nodeId)))
  await sim.open()
  await history(sim)
  await sim.settle(sim.store.close())
  return sim
}

/** The same directory again, to be damaged. */
export function copyOf(sim: SimStore): SimStore {
  return sim.clone('keep')
}

/** Fills several segments. Keys `key-1` and so on. */
export async function fill(sim: SimStore, from: number, to: number): Promise<void> {
  for (let i = from; i <= to; i++) await sim.settle(sim.store.commit([put(`key-${i}`, i, 'x'.repeat(200))]))
}

/** Two generations of snapshots and a log behind both. */
export async function everything(sim: SimStore): Promise<void> {
  await fill(sim, 1, 20)
  await sim.settle(sim.store.snapshot())
  await fill(sim, 21, 40)
  await sim.settle(sim.store.snapshot())
  await fill(sim, 41, 60)
}

/** Every file and its bytes. */
export function image(sim: SimStore): Map<string, Uint8Array> {
  return new Map(sim.drive.paths().map((path) => [path, sim.drive.peek(path)!]))
}

/** Sets the bytes `[from, to)` of a file to zero. */
export function zero(sim: SimStore, path: string, from: number, to: number): void {
  const bytes = sim.drive.peek(path)!
  for (let at = from; at < to; at++) if (bytes[at] !== 0) sim.drive.corrupt(path, at, bytes[at])
}

/** Where the frames of a segment start, by their magic. */
export function frameOffsets(bytes: Uint8Array): number[] {
  const offsets: number[] = []
  for (let at = 512; at + 40 <= bytes.length; at++) {
    if (bytes[at] === 0xf1 && bytes[at + 1] === 0x4b && bytes[at + 2] === 0x56) offsets.push(at)
  }
  return offsets
}
