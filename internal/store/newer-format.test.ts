import { expect, test } from 'vitest'
import { FatalError, parseIncarnation } from '../base/index.js'
import { crc32 } from '../hash/index.js'
import { writeJsonDocument } from './durable-file.js'
import type { SimStore } from './fixture.conformance.js'
import { planRepair, readDocument, readIdentity, surveyDirectory } from './index.js'
import { copyOf, everything, image, stoppedNode } from './repair/verify.test-support.js'

/** Where the checksum of each kind of file's header stands. */
const crcAt = (path: string): number => {
  if (path.startsWith('log/')) return 508
  return path.startsWith('snapshots/') ? 60 : 20
}

/** Writes `bytes` over what a file holds at `at`. */
function overwrite(sim: SimStore, path: string, at: number, bytes: Uint8Array): void {
  const old = sim.drive.peek(path)!
  for (const [i, byte] of bytes.entries()) {
    const mask = old[at + i]! ^ byte
    if (mask !== 0) sim.drive.corrupt(path, at + i, mask)
  }
}

function raiseVersion(sim: SimStore, path: string, sound: boolean): void {
  const header = sim.drive.peek(path)!.slice(0, crcAt(path) + 4)
  const view = new DataView(header.buffer)
  view.setUint32(8, view.getUint32(8, true) + 1, true)
  if (sound) view.setUint32(crcAt(path), crc32(header, 0, crcAt(path)), true)
  overwrite(sim, path, 0, header)
}

/** What a node does before it serves, as far as the store is concerned. */
async function start(sim: SimStore): Promise<void> {
  await sim.settle(readIdentity(sim.process.disk))
  await sim.settle(readDocument(sim.process.disk, 'topology'))
  await sim.open()
}

async function repair(sim: SimStore): Promise<void> {
  const newIncarnation = parseIncarnation('5'.repeat(32))
  const options = {
    disk: sim.process.disk,
    checks: {},
    members: () => [],
    newIncarnation,
    name: 'x',
    acceptLoss: false,
  }
  await sim.settle(planRepair(options))
}

const survey = (sim: SimStore): Promise<unknown> => sim.settle(surveyDirectory(sim.process.disk))

test.each(['identity', 'topology', 'store', '.log', '.snapshot'])(
  '%s of a later release is refused, not taken for damage: by a start, by a check and by a repair, and nothing is changed',
  async (what) => {
    const node = await stoppedNode(everything)
    const path = node.drive.paths().findLast((name) => name === what || name.endsWith(what))!
    raiseVersion(node, path, true)
    for (const work of [start, survey, repair]) {
      const copy = copyOf(node)
      const before = image(copy)
      const error = await work(copy).catch((failure: unknown) => failure)
      expect(error, work.name).toBeInstanceOf(FatalError)
      expect(error).toMatchObject({
        reason: 'refused',
        message: expect.stringContaining(`${path} was written by a later`),
      })
      expect(image(copy)).toEqual(before)
    }
    const damaged = await stoppedNode(everything)
    raiseVersion(damaged, path, false)
    expect(await survey(damaged)).toMatchObject({ findings: [{ kind: 'damaged', path }] })
  },
)

test.each(['identity', 'store'])('contents of %s in a later format are refused as well', async (name) => {
  const node = await stoppedNode(everything)
  await node.settle(writeJsonDocument(node.process.disk, name, { format: 2, whatever: 'it is' }))
  for (const work of [start, survey, repair]) {
    await expect(work(copyOf(node)), work.name).rejects.toMatchObject({ reason: 'refused' })
  }
  await node.settle(writeJsonDocument(node.process.disk, name, { format: 'x' }))
  await expect(start(copyOf(node))).rejects.toMatchObject({ reason: 'corrupt' })
  expect(await survey(node)).toMatchObject({ findings: [{ kind: 'damaged', path: name }] })
})
