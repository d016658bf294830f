import { expect, test } from 'vitest'
import { FatalError } from '../base/index.js'
import { crc32 } from '../hash/index.js'
import { contents, put, SimStore, tombstone } from './fixture.conformance.js'
import { openStore, readIdentity, surveyDirectory, writeIdentity } from './index.js'

const firstSegment = 'log/0000000001.log'

/** A killed process's directory, from which every attempt starts anew. */
class Specimen {
  readonly #sim: SimStore

  private constructor(sim: SimStore) {
    this.#sim = sim
  }

  /** Runs `history` on a fresh store and keeps what a kill leaves. */
  static async of(history: (sim: SimStore) => Promise<void>): Promise<Specimen> {
    const sim = new SimStore('specimen')
    await sim.open()
    await history(sim)
    return new Specimen(sim)
  }

  bytes(path: string): Uint8Array {
    return this.#sim.drive.peek(path)!
  }

  paths(): string[] {
    return this.#sim.drive.paths()
  }

  copy(): SimStore {
    return this.#sim.clone('keep')
  }

  /** What comes of it when the file reads as `bytes`: the store's contents, or the error that it stops with. */
  async withFile(path: string, bytes: Uint8Array): Promise<string[] | FatalError> {
    const copy = this.copy()
    overwrite(copy, path, bytes)
    return outcome(copy)
  }
}

/** Makes the file read as `bytes`, also behind the back of whoever has it open. */
function overwrite(sim: SimStore, path: string, bytes: Uint8Array): void {
  const current = sim.drive.peek(path)!
  for (let at = 0; at < bytes.length; at++) {
    const mask = current[at]! ^ bytes[at]!
    if (mask !== 0) sim.drive.corrupt(path, at, mask)
  }
}

async function outcome(sim: SimStore): Promise<string[] | FatalError> {
  const error = await sim.openFailure()
  if (error === undefined) return contents(sim.store)
  expect(error).toBeInstanceOf(FatalError)
  expect((error as FatalError).reason).toBe('corrupt')
  return error as FatalError
}

/** Ends of data in a file that goes on with zeros. */
function filledBytes(bytes: Uint8Array): number {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return end
}

async function smallHistory(sim: SimStore): Promise<void> {
  await sim.settle(sim.store.commit([put('a', 1), put('b', 1)]))
  await sim.settle(sim.store.commit([put('a', 2)]))
  await sim.settle(sim.store.commit([tombstone('b', 3)]))
  await sim.world.advance(100) // idle: sealed
}

const smallContents = ['a@2', 'b@3 tombstone']

test('each byte of the log turned over: everything is there, or a loud stop', async () => {
  const specimen = await Specimen.of(smallHistory)
  const bytes = specimen.bytes(firstSegment)
  const end = filledBytes(bytes)
  let stops = 0
  for (let at = 0; at < end + 8; at++) {
    const bad = bytes.slice()
    bad[at]! ^= 0x40
    const found = await specimen.withFile(firstSegment, bad)
    if (found instanceof FatalError) stops++
    else expect(found, `byte ${at}`).toEqual(smallContents)
  }
  // Only the seal and what is behind it may be damaged without a stop: nothing of what was acknowledged is in it.
  expect(stops).toBe(end - 40)
})

test('a clean stop proves the last group whatever the log was synced by', async () => {
  const sim = new SimStore('never', { fsync: 'never' })
  await sim.open()
  await sim.settle(sim.store.commit([put('a', 1)]))
  await sim.settle(sim.store.commit([put('b', 2)]))
  await sim.settle(sim.store.close())
  sim.crash('lose')
  const bytes = sim.drive.peek(firstSegment)!
  sim.drive.corrupt(firstSegment, filledBytes(bytes) - 41) // the last byte of the last group
  expect(await outcome(sim)).toBeInstanceOf(FatalError)
})

test('a stop names the file, the place, what was expected, what was found and what to do', async () => {
  const specimen = await Specimen.of(smallHistory)
  const bad = specimen.bytes(firstSegment)
  bad[512 + 60]! ^= 1
  const error = (await specimen.withFile(firstSegment, bad)) as FatalError
  expect(error.message).toContain('log/0000000001.log is damaged at byte 512')
  expect(error.message).toContain('expected frame 1')
  expect(error.message).toContain('payload has a wrong checksum')
  expect(error.message).toMatch(/no torn write: frame 2, written after it was durable, stands at byte \d+/)
  expect(error.message).toContain('kv-server repair')
})

test('a write torn anywhere is cut, what came before stays, and the log goes on behind the cut', async () => {
  const specimen = await Specimen.of(async (sim) => {
    await sim.settle(sim.store.commit([put('a', 1)]))
    await sim.settle(sim.store.commit([put('b', 2, 'y'.repeat(60))])) // and the process dies at once: not sealed
  })
  const bytes = specimen.bytes(firstSegment)
  const end = filledBytes(bytes)
  const start = bytes.findLastIndex((byte, at) => byte === 0xf1 && bytes[at + 1] === 0x4b)
  for (let cut = start; cut < end; cut++) {
    const torn = bytes.slice()
    torn.fill(0, cut)
    const copy = specimen.copy()
    overwrite(copy, firstSegment, torn)
    expect(contents(await copy.open()), `cut at ${cut}`).toEqual(['a@1'])
    await copy.settle(copy.store.commit([put('c', 3)]))
    expect(contents(await copy.reopen('lose')), `cut at ${cut}`).toEqual(['a@1', 'c@3'])
  }
})

test('a frame within the value of a torn write proves nothing, and does not come back later', async () => {
  const specimen = await Specimen.of(async (sim) => {
    await sim.settle(sim.store.commit([put('a', 1)]))
    // As when somebody keeps copies of the log in the store: a frame of this very segment, with a sequence to come.
    const frame = sim.drive.peek(firstSegment)!.slice(512, 640)
    new DataView(frame.buffer).setUint32(8, 50, true)
    new DataView(frame.buffer).setUint32(36, crc32(frame, 0, 36), true)
    await sim.settle(sim.store.commit([put('b', 2, Buffer.concat([new Uint8Array(200), frame]))]))
  })
  const torn = specimen.bytes(firstSegment)
  const start = torn.findIndex((byte, at) => at > 520 && byte === 0xf1 && torn[at + 1] === 0x4b)
  torn[start + 45]! ^= 1 // the payload of the last frame, in front of the value
  const copy = specimen.copy()
  overwrite(copy, firstSegment, torn)
  expect(contents(await copy.open())).toEqual(['a@1'])
  await copy.settle(copy.store.commit([put('c', 3)]))
  expect(contents(await copy.reopen('keep'))).toEqual(['a@1', 'c@3'])
})

test('records that do not decode under right checksums stop the node', async () => {
  const specimen = await Specimen.of(smallHistory)
  const bad = specimen.bytes(firstSegment)
  const view = new DataView(bad.buffer)
  const length = view.getUint32(512 + 4, true)
  bad[512 + 40] = 0xff // the flags of the first record
  view.setUint32(512 + 32, crc32(bad, 552, 552 + length), true)
  view.setUint32(512 + 36, crc32(bad, 512, 512 + 36), true)
  const error = (await specimen.withFile(firstSegment, bad)) as FatalError
  expect(error.message).toContain('unknown flags')
})

test('a store whose document is gone does not start as a new one', async () => {
  const specimen = await Specimen.of(smallHistory)
  const copy = specimen.copy()
  await copy.settle(copy.process.disk.remove('store'))
  expect(((await outcome(copy)) as FatalError).message).toContain('store is damaged')
})

test('a process that dies while it creates the store leaves something that opens', async () => {
  let created = false
  for (let events = 0; !created; events++) {
    for (const policy of ['keep', 'lose', 'random'] as const) {
      const sim = new SimStore(`creation/${events}`)
      void openStore(sim.options).then(() => {
        created = true
      })
      await sim.world.runUntil(() => created || sim.world.eventsRun >= events)
      sim.crash(policy)
      await sim.open()
      await sim.settle(sim.store.commit([put('a', 1)]))
      expect(contents(await sim.reopen('lose'))).toEqual(['a@1'])
    }
  }
})

test('a read that fails while the store is opened stops it, and damages nothing', async () => {
  const specimen = await Specimen.of(smallHistory)
  const copy = specimen.copy()
  copy.drive.faults.failNext('read', { path: firstSegment })
  expect(await copy.openFailure()).toMatchObject({ reason: 'disk-failed' })
  expect(contents(await copy.reopen('lose'))).toEqual(smallContents)
})

test('each byte of a document turned over is noticed', async () => {
  const sim = new SimStore('identity')
  const identity = { nodeId: 'n' as never, incarnation: sim.options.incarnation, clusterId: undefined }
  await sim.settle(writeIdentity(sim.process.disk, identity))
  const { length } = sim.drive.peek('identity')!
  for (let at = 0; at < length; at++) {
    sim.drive.corrupt('identity', at, 0x20)
    const error = await sim.settle(readIdentity(sim.process.disk).catch((failure: unknown) => failure))
    expect(error, `byte ${at}`).toMatchObject({ reason: 'corrupt' })
    sim.drive.corrupt('identity', at, 0x20)
  }
  expect(await sim.settle(readIdentity(sim.process.disk))).toEqual(identity)
})

test('a document is the old or the new one, whenever the process dies', async () => {
  const seen = new Set<string>()
  for (let events = 0; events < 14; events++) {
    const sim = new SimStore(`document/${events}`)
    const identity = { nodeId: 'old' as never, incarnation: sim.options.incarnation, clusterId: undefined }
    await sim.settle(writeIdentity(sim.process.disk, identity))
    void writeIdentity(sim.process.disk, { ...identity, nodeId: 'new' as never })
    const from = sim.world.eventsRun
    await sim.world.runUntil(() => sim.world.eventsRun - from >= events).catch(() => undefined)
    sim.crash('random')
    seen.add((await sim.settle(readIdentity(sim.process.disk)))!.nodeId)
  }
  expect([...seen].sort()).toEqual(['new', 'old'])
})

test('the end of a log that was closed in order may not turn into zeros, nor be cut off', async () => {
  const sim = new SimStore('closed')
  await sim.open()
  for (let i = 1; i <= 3; i++) await sim.settle(sim.store.commit([put(`key-${i}`, i)]))
  await sim.settle(sim.store.close())
  const bytes = sim.drive.peek(firstSegment)!
  const last = Buffer.from(bytes).indexOf('key-3')
  for (const damage of ['zeros', 'cut']) {
    const copy = sim.clone('keep')
    if (damage === 'zeros') overwrite(copy, firstSegment, bytes.slice().fill(0, last - 64))
    else await copy.settle(copy.process.disk.open(firstSegment, 'write').then((file) => file.truncate(last - 64)))
    const survey = await copy.settle(surveyDirectory(copy.process.disk))
    expect(survey.findings.map(({ kind, path }) => `${kind} ${path}`)).toContain(`missing ${firstSegment}`)
    expect(await outcome(copy), damage).toMatchObject({ message: expect.stringContaining('when the store was closed') })
  }
})

test('a store that could not note where its log ends is closed all the same, and starts', async () => {
  const sim = new SimStore('not noted')
  await sim.open()
  await sim.settle(sim.store.commit([put('a', 1)]))
  sim.drive.faults.failNext('sync', { path: 'store.tmp' })
  await sim.settle(sim.store.close())
  expect(contents(await sim.reopen('keep'))).toEqual(['a@1'])
})
