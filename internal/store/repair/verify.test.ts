import { expect, test } from 'vitest'
import { FatalError, type Slot } from '../../base/index.js'
import { contents, put, SimStore, tombstone } from '../fixture.conformance.js'
import { type DirectorySurvey, surveyDirectory, writeDocument, writeIdentity, writeLostSlots } from '../index.js'
import { copyOf, everything, fill, frameOffsets, image, nodeId, stoppedNode, zero } from './verify.test-support.js'

function survey(sim: SimStore): Promise<DirectorySurvey> {
  return sim.settle(surveyDirectory(sim.process.disk))
}

const firstSegment = 'log/0000000001.log'

test('a sound directory has no findings, and each file says what it holds', async () => {
  const sim = await stoppedNode(everything)
  const { findings, files } = await survey(sim)
  expect(findings).toEqual([])
  expect(files.map(({ path }) => path)).toEqual(sim.drive.paths())
  expect(files.every(({ state }) => state === 'sound')).toBe(true)
  const groups = files.reduce((sum, { facts }) => sum + (facts['groups'] ?? 0), 0)
  expect(groups).toBeGreaterThan(20)
  expect(files.find(({ path }) => path.endsWith('40.snapshot'))?.facts).toMatchObject({ sequence: 40, records: 40 })
})

test('hints for other members are told and not read: whatever is in them is no damage', async () => {
  const sim = await stoppedNode(everything)
  const { disk } = sim.process
  const directory = `hints/n2.${'a'.repeat(32)}`
  await sim.settle(disk.makeDirectory(directory))
  const file = await sim.settle(disk.open(`${directory}/0000000001.hints`, 'create'))
  await sim.settle(file.write(new Uint8Array(100).fill(7), 0))
  await sim.settle(file.close())
  const { findings, files } = await sim.settle(surveyDirectory(disk))
  expect(findings).toEqual([])
  expect(files.filter(({ path }) => path.startsWith('hints'))).toMatchObject([
    { path: directory, kind: 'hints', state: 'unchecked' },
  ])
})

test('it changes no byte and no name, whatever it finds', async () => {
  const sim = await stoppedNode(everything)
  const { disk } = sim.process
  for (const path of ['log/next.tmp', 'snapshots/next.tmp', 'topology.tmp', 'log/notes.txt']) {
    await sim.settle((await sim.settle(disk.open(path, 'create'))).close())
  }
  sim.drive.corrupt(sim.drive.paths().find((path) => path.startsWith('log/00'))!, 600)
  const before = image(sim)
  const { files } = await survey(sim)
  expect(image(sim)).toEqual(before)
  const kinds = new Map(files.map(({ path, kind }) => [path, kind]))
  expect(kinds.get('log/next.tmp')).toBe('leftover')
  expect(kinds.get('topology.tmp')).toBe('leftover')
  expect(kinds.get('log/notes.txt')).toBe('unknown')
})

test('a byte turned over in each kind of file is found, with the file and the place', async () => {
  const sim = await stoppedNode(everything)
  for (const [path, bytes] of image(sim)) {
    const copy = copyOf(sim)
    const at = path.includes('.') ? 700 : bytes.length - 3
    copy.drive.corrupt(path, at, 0x10)
    const { findings } = await survey(copy)
    expect(findings, path).toHaveLength(1)
    const [finding] = findings
    expect(finding!.path).toBe(path)
    expect(finding!.offset, path).toBeLessThanOrEqual(at)
    expect(at - finding!.offset, path).toBeLessThan(300)
    expect(finding!.advice, path).toContain('kv-server repair')
  }
})

test('each byte of the log turned over: sound means that the node starts, and a node that does not start is told why', async () => {
  const sim = await stoppedNode(async (fresh) => {
    await fresh.settle(fresh.store.commit([put('a', 1), put('b', 1)]))
    await fresh.settle(fresh.store.commit([put('a', 2)]))
    await fresh.settle(fresh.store.commit([tombstone('b', 3)]))
  })
  const bytes = sim.drive.peek(firstSegment)!
  const end = frameOffsets(bytes).at(-1)! + 48
  let sound = 0
  for (let at = 0; at < end; at++) {
    const copy = copyOf(sim)
    copy.drive.corrupt(firstSegment, at, 0x40)
    const { findings } = await survey(copy)
    const failure = await copy.openFailure()
    if (failure === undefined) sound++
    else expect(failure).toBeInstanceOf(FatalError)
    expect(findings.length === 0, `byte ${at}: ${JSON.stringify(findings)}`).toBe(failure === undefined)
    for (const { path, offset } of findings) expect([path, offset <= at], `byte ${at}`).toEqual([firstSegment, true])
  }
  // The seal and the zeros behind it.
  expect(sound).toBe(48)
})

test('a torn tail is told apart from damage', async () => {
  const sim = new SimStore('torn')
  await sim.open()
  await fill(sim, 1, 3)
  sim.crash('keep')
  const { incarnation, clusterId } = sim.options
  await sim.settle(writeIdentity(sim.process.disk, { nodeId, incarnation, clusterId }))
  const last = frameOffsets(sim.drive.peek(firstSegment)!).at(-1)!
  zero(sim, firstSegment, last + 60, last + 300)
  const { findings, files } = await survey(sim)
  expect(findings).toEqual([])
  expect(files.find(({ path }) => path === firstSegment)).toMatchObject({ state: 'sound', facts: { tornAt: last } })
  await sim.open()
  expect(contents(sim.store)).toHaveLength(2)
})

test('all of several damages are found, and what is sound between them is counted', async () => {
  const sim = await stoppedNode((fresh) => fill(fresh, 1, 60))
  const frames = frameOffsets(sim.drive.peek(firstSegment)!)
  const whole = (await survey(sim)).files.find(({ path }) => path === firstSegment)!.facts['groups']!
  sim.drive.corrupt(firstSegment, frames[2]! + 10) // a header
  sim.drive.corrupt(firstSegment, frames[5]! + 50) // a payload
  zero(sim, firstSegment, frames[8]! - 20, frames[8]! + 100) // the end of one and the header of the next
  sim.drive.corrupt('log/0000000003.log', 100)
  const { findings, files } = await survey(sim)
  expect(findings.map(({ path, offset }) => [path, offset])).toEqual([
    ['log/0000000003.log', 0],
    [firstSegment, frames[2]],
    [firstSegment, frames[5]],
    [firstSegment, frames[7]],
    [firstSegment, frames[8]],
  ])
  expect(files.find(({ path }) => path === firstSegment)!.facts['groups']).toBe(whole - 4)
  expect(files.find(({ path }) => path === 'log/0000000003.log')!.facts['groups']).toBeGreaterThan(5)
})

test('files that are missing are named', async () => {
  const sim = await stoppedNode((fresh) => fill(fresh, 1, 60))
  const last = sim.drive.paths().findLast((path) => path.startsWith('log/'))!
  for (const path of ['identity', 'store', firstSegment, 'log/0000000002.log', last]) {
    const copy = copyOf(sim)
    await copy.settle(copy.process.disk.remove(path))
    const { findings } = await survey(copy)
    expect(findings, path).toHaveLength(1)
    expect(findings[0], path).toMatchObject({ kind: 'missing', offset: 0 })
    if (path !== firstSegment) expect(findings[0]!.path).toBe(path)
  }
})

test('files of another incarnation, and segments in the place of others, are foreign', async () => {
  const sim = await stoppedNode((fresh) => fill(fresh, 1, 60))
  await sim.settle(sim.process.disk.rename('log/0000000002.log', 'log/0000000003.log'))
  const { findings } = await survey(sim)
  expect(findings).toContainEqual(expect.objectContaining({ kind: 'foreign', path: 'log/0000000003.log', offset: 12 }))

  const other = new SimStore('other', { incarnation: '1'.repeat(32) as never })
  await other.open()
  await fill(other, 1, 3)
  await other.settle(other.store.close())
  const { findings: none } = await survey(other)
  expect(none).toEqual([expect.objectContaining({ kind: 'missing', path: 'identity' })])
})

test('a log that ends before a snapshot does is damage', async () => {
  const sim = await stoppedNode(everything)
  const segments = sim.drive.paths().filter((path) => path.startsWith('log/'))
  const [first] = segments
  const frames = frameOffsets(sim.drive.peek(first!)!)
  for (const path of segments.slice(1)) await sim.settle(sim.process.disk.remove(path))
  zero(sim, first!, frames[1]!, sim.drive.peek(first!)!.length)
  const { findings } = await survey(sim)
  expect(findings).toEqual([
    expect.objectContaining({ path: first, found: expect.stringContaining('the end of the log') }),
  ])
  expect(await sim.openFailure()).toMatchObject({ reason: 'corrupt' })
})

test("behind a block without a header, blocks are found again; a snapshot in somebody's value is none of them", async () => {
  const other = await stoppedNode(everything)
  const path = 'snapshots/0000000000000020.snapshot'
  const blocks = other.drive.peek(path)!.slice(64, -64)
  const sim = await stoppedNode(async (fresh) => {
    await fresh.settle(fresh.store.commit([put('copy', 1, Buffer.concat([new Uint8Array(100).fill(7), blocks]))]))
    await fill(fresh, 1, 19)
    await fresh.settle(fresh.store.snapshot())
  })
  const bytes = Buffer.from(sim.drive.peek(path)!)
  const copyAt = bytes.indexOf('copy')
  const start = bytes.lastIndexOf(Uint8Array.of(0xf2, 0x4b, 0x56, 0x0a), copyAt)
  zero(sim, path, start, copyAt + 20)
  const { findings, snapshots } = await survey(sim)
  expect(findings).toEqual([expect.objectContaining({ path, offset: start, found: 'bytes that start no block' })])
  expect(snapshots[0]).toMatchObject({ blocks: 19, records: 19, blocksPromised: 20 })
})

test('a file that cannot be read ends a check with the error of the disk, not with a verdict', async () => {
  const sim = await stoppedNode(everything)
  await sim.settle(writeLostSlots(sim.process.disk, [1, 2] as Slot[]))
  for (const path of sim.drive.paths()) {
    const copy = copyOf(sim)
    copy.drive.faults.failNext('read', { path })
    const error = await copy.settle(surveyDirectory(copy.process.disk).catch((failure: unknown) => failure))
    expect(error, path).toMatchObject({ name: 'DiskError', code: 'io', path })
  }
})

test('lost slots are told, and are no damage; a document that names none there are is', async () => {
  const sim = await stoppedNode(everything)
  await sim.settle(writeLostSlots(sim.process.disk, [1, 2, 4095] as Slot[]))
  const { findings, files, lost } = await survey(sim)
  expect([findings, lost]).toEqual([[], [1, 2, 4095]])
  expect(files.find(({ path }) => path === 'lost')).toMatchObject({ state: 'sound', facts: { lostSlots: 3 } })
  for (const ranges of ['[[4,4096]]', '[[4,3]]', '[[4,5],[5,6]]', '[4]', '{}']) {
    const payload = new TextEncoder().encode(`{"format":1,"slots":${ranges}}`)
    await sim.settle(writeDocument(sim.process.disk, 'lost', payload))
    expect((await survey(sim)).findings, ranges).toEqual([expect.objectContaining({ path: 'lost', kind: 'damaged' })])
    expect(await copyOf(sim).openFailure(), ranges).toMatchObject({ reason: 'corrupt' })
  }
})

test('two rotten snapshots and a log that goes on from them: the snapshots are to blame, not the log', async () => {
  const sim = await stoppedNode(async (fresh) => {
    await everything(fresh)
    await fresh.settle(fresh.store.snapshot())
  })
  const rotten = sim.drive.paths().filter((path) => path.endsWith('.snapshot'))
  for (const path of rotten) sim.drive.corrupt(path, 200)
  const { findings } = await survey(sim)
  expect(findings.map(({ path }) => path).sort()).toEqual(rotten)
  expect(findings[0]!.advice).toContain('marked as lost')
})
