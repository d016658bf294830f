import { DiskError } from '../../env/index.js'
import { Handover, noRoomForProgress, type ProgressKeeper } from '../../replication/index.js'
import { readHandoverProgress, writeHandoverProgress } from '../../store/index.js'
import type { NodeOptions } from '../node-face.js'
import type { Serving } from '../serving.js'
import { HandoverDriver, type HandoverDriverOptions } from './handover-driver.js'

type Given = Pick<HandoverDriverOptions, 'self' | 'register' | 'send' | 'guard'>

/** What a member has to do with handovers: it streams what comes to it, and moves them on. */
export function openHandovers(options: NodeOptions, serving: Serving, given: Given): HandoverDriver {
  const { clock, log } = options
  const { store, remotes } = serving
  const routing = (): ReturnType<HandoverDriverOptions['routing']> => serving.coordinator.routing
  const worker = new Handover({
    clock,
    log,
    store,
    keeper: keeper(options, given.self.incarnation),
    bytesPerSecond: options.streamBytesPerSecond,
    routing,
    source: (id) => remotes.source(id),
    served: () => serving.served,
    streaming: (on) => remotes.streaming('handover', on),
    progressed: () => driver.progressed(),
  })
  const live: HandoverDriverOptions['live'] = (id) => id === given.self.id || remotes.get(id)?.up === true
  const drained = (): boolean => serving.active.size === 0
  const driver: HandoverDriver = new HandoverDriver({ ...given, clock, log, store, worker, routing, live, drained })
  return driver
}

function keeper({ disk }: NodeOptions, incarnation: Given['self']['incarnation']): ProgressKeeper {
  return {
    read: async (since) => {
      const kept = await readHandoverProgress(disk)
      return kept?.since === since && kept.incarnation === incarnation ? kept : undefined
    },
    write: async (since, { slots, bytes }) => {
      try {
        await writeHandoverProgress(disk, { since, incarnation, slots, bytes })
      } catch (error) {
        if (error instanceof DiskError && error.code === 'full') throw noRoomForProgress(error)
        throw error
      }
    },
  }
}
