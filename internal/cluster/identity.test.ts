import { expect, test } from 'vitest'
import { parseNodeId } from '../base/index.js'
import { SimWorld } from '../env-sim/index.js'
import type { Identity } from '../store/index.js'
import { localIdentity } from './identity.js'
import type { NodeOptions } from './node-face.js'

/** A machine whose data directory holds a file of this name, and what the identity takes of a node's options. */
async function machineWith(path: string): Promise<{ world: SimWorld; options: NodeOptions; paths: () => string[] }> {
  const world = new SimWorld({ seed: path })
  const process = world.process('n1')
  const { disk, random } = process
  const directory = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.'
  await world.settle(disk.makeDirectory(directory))
  const file = await world.settle(disk.open(path, 'create'))
  await world.settle(file.sync())
  await world.settle(file.close())
  const options = { disk, random, id: parseNodeId('n1') } as unknown as NodeOptions
  return { world, options, paths: () => process.drive.paths() }
}

test.each([
  'store',
  'topology',
  'votes',
  'clock',
  'lost',
  'repair',
  'log/0000000001.log',
  'snapshots/00000000000000000001.snapshot',
  'hints/n2.0123/0000000001.hints',
])('a directory with %s and without an identity is corrupt, and stays as it is', async (path) => {
  const { world, options, paths } = await machineWith(path)
  const [name] = path.split('/')
  await expect(world.settle(localIdentity(options))).rejects.toMatchObject({
    reason: 'corrupt',
    message: expect.stringContaining(name!),
  })
  expect(paths()).toEqual([path])
})

test.each(['identity.tmp', 'LOCK/holder', 'lost+found/1'])(
  'a directory with nothing but %s is a new one',
  async (path) => {
    const { world, options } = await machineWith(path)
    const made = await world.settle(localIdentity(options))
    expect(made).toMatchObject({ nodeId: 'n1', clusterId: undefined })
    expect(await world.settle(localIdentity(options))).toEqual(made)
  },
)

test('whenever the process that made an identity was killed, what the next one goes by outlives a power cut', async () => {
  let again = 0
  for (let killedMs = 0; killedMs < 5; killedMs += 0.05) {
    const world = new SimWorld({ seed: `killed ${killedMs}` })
    const process = world.process('n1')
    const identity = (): Promise<Identity> =>
      world.settle(localIdentity({ disk: process.disk, random: process.random } as unknown as NodeOptions))
    const first = localIdentity({ disk: process.disk, random: process.random } as unknown as NodeOptions)
    await world.advance(killedMs)
    process.crash({ disk: 'keep' })
    process.restart()
    if (process.drive.paths().includes('identity')) again++
    const told = await identity()
    process.crash({ disk: 'lose' })
    process.restart()
    expect(await identity(), `killed after ${killedMs.toFixed(2)} ms`).toEqual(told)
    void first // it never ends where its process was killed
  }
  expect(again).toBeGreaterThan(10)
})
