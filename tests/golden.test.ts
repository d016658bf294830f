import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { formats } from './golden/formats.js'
import {
  dumpOf,
  type GoldenFormat,
  goldenFolder,
  goldenFolders,
  meaningOf,
  newestOf,
  parseDump,
  readGolden,
  sampleOf,
  writeGolden,
} from './golden/golden.js'
import { fieldsOf, shapes } from './golden/schema.js'

/*
 * docs/compatibility.md is what this holds. `KV_WRITE_GOLDEN=1 npx vitest run --project unit tests/golden.test.ts` adds
 * what is missing, and changes nothing that is there; `KV_RELEASE=1` is strict about additions as well.
 */
const writing = process.env['KV_WRITE_GOLDEN'] !== undefined
const releasing = process.env['KV_RELEASE'] !== undefined

async function addMissing(format: GoldenFormat): Promise<void> {
  const folder = goldenFolder(format.name, format.version)
  for (const [name, sample] of Object.entries(format.samples)) {
    const bytes = await sample.write()
    const { newest, next } = newestOf(readGolden(folder), name)
    const same = newest !== undefined && Buffer.from(newest.bytes).equals(bytes)
    if (same || (newest !== undefined && format.grows !== true)) continue
    writeGolden(folder, { sample: next, bytes, meaning: meaningOf(await sample.read(bytes)) })
  }
}

if (writing) for (const format of formats) await addMissing(format)

function versionsOf({ oldest, version }: GoldenFormat): number[] {
  return Array.from({ length: version - oldest + 1 }, (_, i) => oldest + i)
}

test('every version of every format that is read has golden files, and there are no others', () => {
  const expected = formats.flatMap((format) => versionsOf(format).map((version) => `${format.name}-v${version}`))
  expect(goldenFolders()).toEqual([...expected, 'schema-v1'].sort())
})

describe.each(formats)('$name', (format) => {
  const { name, version, samples, versionAt, grows } = format
  const today = readGolden(goldenFolder(name, version))

  test('each sample has a golden file, and each golden file a sample', () => {
    const kept = [...new Set(today.map(({ sample }) => sampleOf(sample)))].sort()
    const known = Object.keys(samples).sort()
    expect(known).toEqual(expect.arrayContaining(kept))
    // A message that is new since the last release gets its golden file with the next one.
    if (grows !== true || releasing) expect(kept).toEqual(known)
  })

  test('today’s code writes the golden bytes', async () => {
    for (const [sample, { write }] of Object.entries(samples)) {
      const bytes = await write()
      const { newest } = newestOf(today, sample)
      if (versionAt !== undefined) {
        const says = new DataView(bytes.buffer, bytes.byteOffset).getUint32(versionAt, true)
        expect(says, `${sample} is written as version ${says}: it needs golden files of its own`).toBe(version)
      }
      // What a message has gained since the last release becomes a golden file with the next one.
      if (newest === undefined || (grows === true && !releasing)) continue
      expect(dumpOf(bytes), sample).toBe(dumpOf(newest.bytes))
    }
  })

  test.each(versionsOf(format))('today’s code reads what version %i has written, as it was meant', async (each) => {
    for (const { sample, bytes, meaning } of readGolden(goldenFolder(name, each))) {
      const { read, again } = samples[sampleOf(sample)]!
      const found = await read(bytes)
      expect(meaningOf(found), sample).toMatchObject(meaning as object)
      if (again !== undefined && each === version) {
        expect(dumpOf(await again(found as never)), sample).toBe(dumpOf(bytes))
      }
    }
  })
})

test('everything that a message between nodes may carry has a golden file', () => {
  const envelope = ['hlcHi', 'hlcLo', 'epoch', 'wallMs']
  const { samples } = formats.find(({ name }) => name === 'peer-messages')!
  expect(Object.keys(samples)).toHaveLength(fieldsOf('kv.peer.v1.PeerMessage').length - envelope.length)
})

test('schemas are added to; no field, number or method is removed or changed', () => {
  const file = fileURLToPath(new URL('./golden/schema-v1/shapes.json', import.meta.url))
  const found = shapes()
  if (writing) {
    const known = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as typeof found) : {}
    const whole = { ...found }
    for (const [name, fields] of Object.entries(known)) whole[name] = { ...found[name], ...fields }
    mkdirSync(fileURLToPath(new URL('.', `file://${file}`)), { recursive: true })
    writeFileSync(file, `${JSON.stringify(whole, undefined, 2)}\n`)
  }
  const known = JSON.parse(readFileSync(file, 'utf8')) as typeof found
  if (releasing) expect(found).toEqual(known)
  else expect(found).toMatchObject(known)
})

test('a dump gives back its bytes, lines of zeros included', () => {
  for (const length of [0, 1, 31, 32, 33, 512]) {
    for (const fill of [0, 7]) {
      const bytes = new Uint8Array(length).fill(fill)
      if (length > 40) bytes[40] = 1
      expect(Buffer.from(parseDump(dumpOf(bytes))).equals(bytes), `${length} of ${fill}`).toBe(true)
    }
  }
})
