import { expect, test } from 'vitest'
import { parseClusterId, parseIncarnation, parseNodeId, type Slot } from '../base/index.js'
import { SimWorld } from '../env-sim/index.js'
import { crc32 } from '../hash/index.js'
import { put, SimStore } from './fixture.conformance.js'
import { readDocument, writeDocument, writeIdentity } from './index.js'
import {
  decodeBlockHeader,
  decodeSnapshotFooter,
  decodeSnapshotHeader,
  encodeBlockHeader,
  encodeSnapshotFooter,
  encodeSnapshotHeader,
} from './snapshot/snapshot-format.js'
import { readSnapshot } from './snapshot/snapshot-reader.js'
import { SnapshotWriter } from './snapshot/snapshot-writer.js'

const header = {
  clusterId: parseClusterId('00112233445566778899aabbccddeeff'),
  incarnation: parseIncarnation('ffeeddccbbaa99887766554433221100'),
  sequence: 0x0000_0003_0000_0201,
}
const block = { payloadBytes: 0x0102, number: 5, slot: 4_095, records: 6, payloadCrc: 0xdeadbeef }
const footer = {
  blocks: 7,
  chain: 0xcafebabe,
  records: 0x1_0000_0002,
  fileBytes: 0x2_0000_0003,
  sequence: 0x3_0000_0004,
  highest: { hi: 0x0a0b0c0d, lo: 0x01020304, node: 9 },
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** The checksum that stands behind `bytes[0, length)`. */
function crcHex(bytes: Uint8Array, length: number): string {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setUint32(0, crc32(bytes, 0, length), true)
  return hex(out)
}

test('the bytes of a snapshot stay as FORMAT.md draws them', () => {
  const headerBytes = encodeSnapshotHeader(header)
  expect(hex(headerBytes)).toBe(
    [
      '514b56534e41500a', // magic
      '01000000', // format version
      '00000000',
      '00112233445566778899aabbccddeeff',
      'ffeeddccbbaa99887766554433221100',
      '0102000003000000', // sequence
      '00000000',
      crcHex(headerBytes, 60),
    ].join(''),
  )
  const blockBytes = new Uint8Array(32)
  encodeBlockHeader(block, blockBytes, 0)
  expect(hex(blockBytes)).toBe(
    `f24b560a${'02010000'}${'05000000'}${'ff0f0000'}${'06000000'}${'efbeadde'}${'00000000'}${crcHex(blockBytes, 28)}`,
  )
  const footerBytes = encodeSnapshotFooter(footer)
  expect(hex(footerBytes)).toBe(
    [
      '514b56534e4150f3', // magic
      '07000000', // blocks
      'bebafeca', // chain
      '0200000001000000', // records
      '0300000002000000', // file length
      '0400000003000000', // sequence
      '0d0c0b0a0403020109000000', // highest version
      '0000000000000000',
      crcHex(footerBytes, 60),
    ].join(''),
  )
})

test('what is written is read, and any byte that is changed is seen', () => {
  const blockBytes = new Uint8Array(32)
  encodeBlockHeader(block, blockBytes, 0)
  const cases = [
    [encodeSnapshotHeader(header), decodeSnapshotHeader, header],
    [blockBytes, decodeBlockHeader, block],
    [encodeSnapshotFooter(footer), decodeSnapshotFooter, footer],
  ] as const
  for (const [bytes, decode, fields] of cases) {
    expect(decode(bytes)).toMatchObject(fields)
    for (let at = 0; at < bytes.length; at++) {
      const bad = bytes.slice()
      bad[at]! ^= 4
      expect(decode(bad), `byte ${at}`).toBeTypeOf('string')
    }
  }
})

test('a snapshot carries the highest version even where no record does any more', async () => {
  const world = new SimWorld({ seed: 'highest' })
  const { disk } = world.process('node')
  const written = (async () => {
    const file = await disk.open('snapshot', 'create')
    const writer = new SnapshotWriter(file, header)
    writer.addSlot(3 as Slot, 0, (_, visit) => visit(put('a', 1)))
    await writer.finish(footer.highest)
    await file.close()
    return readSnapshot(disk, 'snapshot', header, () => {})
  })()
  expect(await world.settle(written)).toMatchObject({ records: 1, highest: footer.highest })
})

test('a store starts above the highest version that its snapshot names', async () => {
  const sim = new SimStore('highest')
  await sim.open()
  await sim.settle(sim.store.commit([put('a', 5)]))
  const { sequence } = await sim.settle(sim.store.snapshot())
  // The same snapshot, as it would be had the record with the highest version been collected before.
  const { clusterId, incarnation } = sim.options
  const path = `snapshots/${String(sequence).padStart(16, '0')}.snapshot`
  const rewritten = (async () => {
    const file = await sim.process.disk.open(path, 'write')
    await file.truncate(0)
    const writer = new SnapshotWriter(file, { clusterId, incarnation, sequence })
    await writer.finish({ hi: 9, lo: 9, node: 9 })
    await file.sync()
    await file.close()
  })()
  await sim.settle(rewritten)
  await sim.reopen()
  expect(sim.store.highestVersion).toEqual({ hi: 9, lo: 9, node: 9 })
})

test('the bytes of documents stay as FORMAT.md draws them', async () => {
  const sim = new SimStore('documents')
  const { disk } = sim.process
  await sim.settle(writeDocument(disk, 'x', new TextEncoder().encode('payload')))
  const bytes = sim.drive.peek('x')!
  expect(hex(bytes)).toBe(
    `514b56444f430d0a${'01000000'}${'07000000'}${crcHex(bytes.subarray(24), 7)}${crcHex(bytes, 20)}${hex(bytes.subarray(24))}`,
  )
  await sim.settle(
    writeIdentity(disk, { nodeId: parseNodeId('n'), incarnation: header.incarnation, clusterId: header.clusterId }),
  )
  const identity = await sim.settle(readDocument(disk, 'identity'))
  expect(new TextDecoder().decode(identity)).toBe(
    `{"format":1,"nodeId":"n","incarnation":"${header.incarnation}","clusterId":"${header.clusterId}"}`,
  )
  await sim.open()
  expect(new TextDecoder().decode(await sim.settle(readDocument(disk, 'store')))).toBe(
    `{"format":1,"clusterId":"${sim.options.clusterId}","incarnation":"${sim.options.incarnation}"}`,
  )
})
