import type { NodeEvents } from '../../base/index.js'
import type { Topology } from '../../slots/index.js'

/** Tells what has changed between two topologies that were in force here, one behind the other. */
export function tellOfChange(events: NodeEvents, newer: Topology, before: Topology): void {
  events.add('epoch', '', `epoch ${newer.epoch} is in force, of ${newer.members.length} members`)
  const were = new Set(before.members.map(({ number }) => number))
  const are = new Set(newer.members.map(({ number }) => number))
  for (const { id, number, zone, address } of newer.members) {
    const where = zone === '' ? address : `${address}, zone ${zone}`
    if (!were.has(number)) events.add('joined', id, `it is a member now, at ${where}`)
  }
  for (const { id, number } of before.members) if (!are.has(number)) events.add('left', id, 'it is no member any more')
  const [step, stepBefore] = [newer.handover?.step, before.handover?.step]
  if (newer.handover?.since === before.handover?.since && step === stepBefore) return
  if (newer.handover === undefined) events.add('handover', '', 'the handover is over')
  else if (step === 'switch') events.add('handover', '', 'the new owners of slots are read from now on')
  else events.add('handover', '', 'slots are being handed over to other owners')
}
