import { expect, test } from 'vitest'
import { SimWorld } from '../../env-sim/index.js'
import { readHandoverProgress, writeDocument } from '../../store/index.js'
import { readCeiling } from '../stamping-clock.js'
import { readTopology } from './topology-document.js'
import { readVotes } from './votes-document.js'

const text = new TextEncoder()
const double = (value: number): Uint8Array => new Uint8Array(Float64Array.of(value).buffer)

test.each([
  ['topology', readTopology, Uint8Array.of(0x0a, 0x7f)],
  ['topology', readTopology, new Uint8Array(0)],
  ['votes', readVotes, Uint8Array.of(0x0f)],
  ['votes', readVotes, Uint8Array.of(0x08, 0x02)],
  ['clock', readCeiling, new Uint8Array(7)],
  ['clock', readCeiling, double(Number.NaN)],
  ['clock', readCeiling, double(-1)],
  ['clock', readCeiling, double(2 ** 48)],
])('the document "%s" with a sound checksum and senseless contents is damage, by name', async (name, read, payload) => {
  const world = new SimWorld({ seed: 'documents' })
  const { disk } = world.process('n1').life
  await world.settle(writeDocument(disk, name, payload))
  const expected = { name: 'FatalError', reason: 'corrupt', message: expect.stringContaining(`the document "${name}"`) }
  await expect(world.settle<unknown>(read(disk))).rejects.toMatchObject(expected)
})

test.each([
  ['an epoch', { since: 0.5 }],
  ['an incarnation', { incarnation: 'x' }],
  ['slots', { slots: [[3, 1]] }],
])(
  'what is known of a handover with nonsense in the place of %s is nothing: the slots are streamed again',
  async (_what, wrong) => {
    const world = new SimWorld({ seed: 'documents' })
    const { disk } = world.process('n1').life
    const contents = { format: 1, since: 3, incarnation: 'a'.repeat(32), slots: [[0, 9]], bytes: 5 }
    const write = (value: object): Promise<void> =>
      world.settle(writeDocument(disk, 'handover', text.encode(JSON.stringify(value))))
    await write(contents)
    expect(await world.settle(readHandoverProgress(disk))).toMatchObject({ since: 3, bytes: 5 })
    await write({ ...contents, ...wrong })
    expect(await world.settle(readHandoverProgress(disk))).toBeUndefined()
  },
)
