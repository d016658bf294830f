import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeClock } from '../env/clock.conformance.js'
import { describeDisk } from '../env/disk.conformance.js'
import { describeRandom } from '../env/random.conformance.js'
import { NodeClock, NodeDisk, NodeRandom } from './index.js'

const settle = <T>(promise: Promise<T>): Promise<T> => promise

describeClock('NodeClock', async () => ({ clock: new NodeClock(), settle, close: async () => {} }))

describeRandom('NodeRandom', () => new NodeRandom())

describeDisk('NodeDisk', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'quorumkv-disk-'))
  return {
    disk: new NodeDisk(directory),
    settle,
    close: () => rm(directory, { recursive: true, force: true }),
  }
})
