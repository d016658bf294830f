import { describeClock } from '../env/clock.conformance.js'
import { describeDisk } from '../env/disk.conformance.js'
import type { Network } from '../env/index.js'
import { describeNetwork } from '../env/network.conformance.js'
import { describeRandom } from '../env/random.conformance.js'
import { NodeClock } from '../env-node/index.js'
import { MemoryDrive, type SimProcess, SimRandom, SimWorld } from './index.js'

function clockFixture(adjust: (process: SimProcess) => void) {
  return async () => {
    const world = new SimWorld({ seed: 'clock' })
    const node = world.process('n')
    adjust(node)
    return { clock: node.clock, settle: <T>(promise: Promise<T>) => world.settle(promise), close: async () => {} }
  }
}

describeClock(
  'SimClock',
  clockFixture(() => {}),
)
describeClock(
  'SimClock that is a day behind and 1 % fast',
  clockFixture((node) => {
    node.time.setSkewMs(-86_400_000)
    node.time.setDriftPpm(10_000)
  }),
)
describeClock(
  'SimClock that is 3 % slow',
  clockFixture((node) => node.time.setDriftPpm(-30_000)),
)

describeRandom('SimRandom', () => new SimRandom('a seed'))

function diskFixture(adjust: (process: SimProcess) => void) {
  return async () => {
    const world = new SimWorld({ seed: 'disk' })
    const node = world.process('n')
    adjust(node)
    return { disk: node.disk, settle: <T>(promise: Promise<T>) => world.settle(promise), close: async () => {} }
  }
}

describeDisk(
  'SimDisk',
  diskFixture(() => {}),
)
describeDisk(
  'SimDisk that transfers less than it was asked for',
  diskFixture((node) => node.drive.faults.setShortTransfers(0.5)),
)

describeDisk('MemoryDrive', async () => ({
  disk: new MemoryDrive(new NodeClock()).mount(),
  settle: <T>(promise: Promise<T>) => promise,
  close: async () => {},
}))

describeNetwork('SimNetwork', async () => {
  const world = new SimWorld({ seed: 'network' })
  const hosts = new Map<Network, string>()
  let ports = 1000
  return {
    makeNetwork: async () => {
      const node = world.process(`n${hosts.size + 1}`)
      hosts.set(node.network, node.name)
      return node.network
    },
    freeAddress: (network) => `${hosts.get(network)}:${ports++}`,
    settle: (promise) => world.settle(promise),
    close: async () => {},
  }
})
