import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Instruments } from '../base/index.js'
import { silentLog } from '../env/index.js'
import { NodeClock, NodeDisk } from '../env-node/index.js'
import { clusterId, incarnation, SimStore } from './fixture.conformance.js'
import { openStore } from './index.js'
import { describeStore } from './store.conformance.js'

describeStore('a store on a simulated disk', async () => {
  const sim = new SimStore('conformance')
  return {
    disk: sim.process.disk,
    open: (overrides) => openStore({ ...sim.options, ...overrides }),
    settle: (promise) => sim.settle(promise),
    wallMs: () => sim.process.clock.wallMs(),
    dispose: async () => {},
  }
})

describeStore('a store on a real disk', async () => {
  const root = await mkdtemp(join(tmpdir(), 'quorumkv-store-'))
  const disk = new NodeDisk(root)
  const clock = new NodeClock()
  return {
    disk,
    open: (overrides) =>
      openStore({
        disk,
        clock,
        instruments: new Instruments(() => 0),
        log: silentLog,
        clusterId,
        incarnation,
        fsync: 'always',
        fsyncIntervalMs: 100,
        snapshotIntervalMs: 0,
        snapshotWalBytes: 0,
        onFatal: (error) => {
          throw error
        },
        ...overrides,
      }),
    settle: (promise) => promise,
    wallMs: () => clock.wallMs(),
    dispose: () => rm(root, { recursive: true }),
  }
})
