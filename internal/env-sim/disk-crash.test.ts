import { expect, test } from 'vitest'
import { type Disk, readFully, writeFully } from '../env/index.js'
import { type CrashPolicy, type SimProcess, SimWorld } from './index.js'

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** A machine whose disk was prepared by `before`, and that then crashed. */
async function crashed(
  seed: number,
  policy: CrashPolicy,
  before: (disk: Disk) => Promise<void>,
): Promise<{ world: SimWorld; node: SimProcess; read: (path: string) => string | undefined }> {
  const world = new SimWorld({ seed })
  const node = world.process('n')
  await world.settle(before(node.disk))
  node.crash({ disk: policy })
  node.restart()
  const read = (path: string): string | undefined => {
    const bytes = node.drive.peek(path)
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
  }
  return { world, node, read }
}

/** Makes a file whose contents and name are durable. */
async function makeDurable(disk: Disk, path: string, contents: string): Promise<void> {
  const file = await disk.open(path, 'create')
  await writeFully(file, text(contents), 0)
  await file.sync()
  await file.close()
  await disk.syncDirectory(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '')
}

async function write(disk: Disk, path: string, contents: string, position = 0): Promise<void> {
  const file = await disk.open(path, 'write')
  await writeFully(file, text(contents), position)
  await file.close()
}

test('what was synced stays, what was not is lost', async () => {
  const { read } = await crashed(1, 'lose', async (disk) => {
    await makeDurable(disk, 'a', 'synced')
    await write(disk, 'a', 'UNSYNCED')
  })
  expect(read('a')).toBe('synced')
})

test('a killed process loses nothing, but what it had not synced is still only in the cache', async () => {
  const { node, read } = await crashed(1, 'keep', async (disk) => {
    await makeDurable(disk, 'a', 'synced')
    await write(disk, 'a', 'unsynced')
    await disk.makeDirectory('d')
  })
  expect(read('a')).toBe('unsynced')
  expect(node.drive.crashClone('keep').peek('a')).toEqual(text('unsynced'))
  node.crash({ disk: 'lose' })
  expect(read('a')).toBe('synced')
})

test('a new file is lost with its name, however well its contents were synced', async () => {
  const { read } = await crashed(1, 'lose', async (disk) => {
    const file = await disk.open('a', 'create')
    await writeFully(file, text('synced'), 0)
    await file.sync()
  })
  expect(read('a')).toBeUndefined()
})

test('a new name stays when its directory was synced, and then the file is empty without a sync of its own', async () => {
  const { read } = await crashed(1, 'lose', async (disk) => {
    const file = await disk.open('a', 'create')
    await writeFully(file, text('unsynced'), 0)
    await disk.syncDirectory('')
  })
  expect(read('a')).toBe('')
})

test('a directory that nobody synced takes everything in it along', async () => {
  const { node } = await crashed(1, 'lose', async (disk) => {
    await disk.makeDirectory('d/e')
    await disk.syncDirectory('')
    await makeDurable(disk, 'd/kept-no', 'x')
    await disk.makeDirectory('f/g')
    await makeDurable(disk, 'f/g/lost', 'x')
    await disk.syncDirectory('f')
  })
  expect(node.drive.paths()).toEqual(['d/kept-no'])
})

test('an unsynced rename is undone: the old names are back, the replaced file too', async () => {
  const { read } = await crashed(1, 'lose', async (disk) => {
    await makeDurable(disk, 'current', 'old')
    await makeDurable(disk, 'new', 'new')
    await disk.rename('new', 'current')
  })
  expect([read('current'), read('new')]).toEqual(['old', 'new'])
})

test('a rename is durable when the directory was synced', async () => {
  const { read } = await crashed(1, 'lose', async (disk) => {
    await makeDurable(disk, 'current', 'old')
    await makeDurable(disk, 'new', 'new')
    await disk.rename('new', 'current')
    await disk.syncDirectory('')
  })
  expect([read('current'), read('new')]).toEqual(['new', undefined])
})

test('a rename happens wholly or not at all', async () => {
  const outcomes = new Set<string>()
  for (let seed = 0; seed < 40; seed++) {
    const { read } = await crashed(seed, 'random', async (disk) => {
      await makeDurable(disk, 'current', 'old')
      await makeDurable(disk, 'new', 'new')
      await disk.rename('new', 'current')
    })
    outcomes.add(`${read('current')} ${read('new')}`)
  }
  expect([...outcomes].sort()).toEqual(['new undefined', 'old new'])
})

test('an unsynced removal is undone', async () => {
  const { read } = await crashed(1, 'lose', async (disk) => {
    await makeDurable(disk, 'a', 'here')
    await makeDurable(disk, 'b', 'here')
    await disk.remove('a')
    await disk.syncDirectory('')
    await disk.remove('b')
  })
  expect([read('a'), read('b')]).toEqual([undefined, 'here'])
})

test('unsynced sizes are lost: a cut is undone, preallocated room is gone', async () => {
  const { read } = await crashed(1, 'lose', async (disk) => {
    for (const name of ['cut', 'grown']) await makeDurable(disk, name, 'contents')
    const cut = await disk.open('cut', 'write')
    await cut.truncate(3)
    const grown = await disk.open('grown', 'write')
    await grown.preallocate(1000)
  })
  expect([read('cut'), read('grown')]).toEqual(['contents', 'contents'])
})

test('an unsynced write is kept, lost or torn between sectors, and sectors are never torn', async () => {
  const outcomes = new Set<string>()
  for (let seed = 0; seed < 300; seed++) {
    const { node } = await crashed(seed, 'random', async (disk) => {
      await makeDurable(disk, 'a', 'o'.repeat(2048))
      await write(disk, 'a', 'n'.repeat(1500), 300)
    })
    const bytes = node.drive.peek('a')!
    expect(bytes.length).toBe(2048)
    // 300 lies in sector 0, 1800 in sector 3; outside nothing was written.
    const parts = [bytes.subarray(300, 512), bytes.subarray(512, 1024), bytes.subarray(1024, 1536)]
    parts.push(bytes.subarray(1536, 1800))
    outcomes.add(parts.map((part) => wholly(part)).join(''))
    expect(wholly(bytes.subarray(0, 300)) + wholly(bytes.subarray(1800))).toBe('oo')
  }
  expect(outcomes.size).toBe(16)
})

/** The one letter that a part consists of. */
function wholly(part: Uint8Array): string {
  expect(new Set(part).size).toBe(1)
  return String.fromCharCode(part[0]!)
}

test('each unsynced write has its own fate', async () => {
  const outcomes = new Set<string>()
  for (let seed = 0; seed < 100; seed++) {
    const { read } = await crashed(seed, 'random', async (disk) => {
      await makeDurable(disk, 'a', '.'.repeat(30))
      for (let i = 0; i < 3; i++) await write(disk, 'a', String(i), i * 10)
    })
    outcomes.add(read('a')!.replace(/\.{9}/g, ''))
  }
  expect(outcomes.size).toBe(8)
})

test('a file may have grown though the data did not make it, and reads as zeros there', async () => {
  const sizes = new Set<number>()
  let zeros = 0
  for (let seed = 0; seed < 100; seed++) {
    const { node } = await crashed(seed, 'random', async (disk) => {
      await makeDurable(disk, 'a', 'x')
      await write(disk, 'a', 'y'.repeat(2000), 1)
    })
    const bytes = node.drive.peek('a')!
    sizes.add(bytes.length)
    if (bytes.at(-1) === 0) zeros++
  }
  expect(sizes).toEqual(new Set([1, 512, 1024, 1536, 2001]))
  expect(zeros).toBeGreaterThan(0)
})

test('"tear" leaves some sectors of a write and not others, and no sector half', async () => {
  let torn = 0
  for (let seed = 0; seed < 50; seed++) {
    const { read } = await crashed(seed, 'tear', async (disk) => {
      await makeDurable(disk, 'a', 'x'.repeat(2048))
      await write(disk, 'a', 'y'.repeat(2048), 0)
    })
    const sectors = read('a')!.match(/.{512}/gs)!
    for (const sector of sectors) expect(['x'.repeat(512), 'y'.repeat(512)]).toContain(sector)
    if (new Set(sectors).size === 2) torn++
  }
  expect(torn).toBeGreaterThan(35)
})

test('an operation under way at the crash has happened or not; with "lose" it has not', async () => {
  const outcomes = { keep: new Set<string>(), lose: new Set<string>(), random: new Set<string>() }
  for (const policy of ['keep', 'lose', 'random'] as const) {
    for (let seed = 0; seed < 30; seed++) {
      const world = new SimWorld({ seed })
      const node = world.process('n')
      await world.settle(makeDurable(node.disk, 'a', 'old'))
      const file = await world.settle(node.disk.open('a', 'write'))
      file.write(text('new'), 0).catch((error: unknown) => outcomes[policy].add(`settled: ${error}`))
      node.crash({ disk: policy })
      outcomes[policy].add(new TextDecoder().decode(node.drive.peek('a')))
    }
  }
  expect(outcomes.keep).toEqual(new Set(['old', 'new']))
  expect(outcomes.random).toEqual(new Set(['old', 'new']))
  expect(outcomes.lose).toEqual(new Set(['old']))
})

test('a crash clone shows what a power cut would leave, and neither drive feels the other', async () => {
  const world = new SimWorld({ seed: 1 })
  const node = world.process('n')
  await world.settle(makeDurable(node.disk, 'a', 'synced'))
  await world.settle(write(node.disk, 'a', 'unsync'))
  const clone = node.drive.crashClone('lose')
  expect(clone.peek('a')).toEqual(text('synced'))
  expect(node.drive.crashClone('keep').peek('a')).toEqual(text('unsync'))
  expect(node.drive.peek('a')).toEqual(text('unsync'))
  const other = world.process('other', { drive: clone })
  await world.settle(write(other.disk, 'a', 'cloned'))
  expect(node.drive.peek('a')).toEqual(text('unsync'))
  await world.settle(write(node.disk, 'a', 'onward'))
  expect(clone.peek('a')).toEqual(text('cloned'))
  node.crash({ disk: 'lose' })
  expect(node.drive.peek('a')).toEqual(text('synced'))
})

test('old unsynced changes are written back when they are many megabytes', async () => {
  const { node } = await crashed(1, 'lose', async (disk) => {
    await makeDurable(disk, 'a', '')
    const file = await disk.open('a', 'write')
    for (let i = 0; i < 20; i++) await writeFully(file, new Uint8Array(1_000_000).fill(i + 1), i * 1_000_000)
  })
  const bytes = node.drive.peek('a')!
  expect(bytes.length).toBeGreaterThan(5_000_000)
  expect(bytes.length).toBeLessThan(19_000_000)
  for (let at = 0; at < bytes.length; at += 100_000) expect(bytes[at]).toBe(Math.floor(at / 1_000_000) + 1)
})

test('a program reads after a crash what the drive holds', async () => {
  const { world, node } = await crashed(1, 'lose', async (disk) => {
    await makeDurable(disk, 'a', 'synced')
    await write(disk, 'a', 'unsynced')
  })
  const file = await world.settle(node.disk.open('a', 'read'))
  const into = new Uint8Array(20)
  expect(await world.settle(readFully(file, into, 0))).toBe(6)
  expect(into.subarray(0, 6)).toEqual(text('synced'))
})
