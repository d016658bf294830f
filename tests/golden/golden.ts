import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/*
 * Golden files: the bytes of every format that a release has written, `tests/golden/<format>-v<version>/<sample>.golden`,
 * and what they mean. What is in them is never changed: today's code has to read all of them. README.md beside this file
 * says how a format, a version or a sample is added.
 */

/** One example of a format. */
export interface GoldenSample {
  /** What today's code writes, the same bytes each time. */
  write(): Uint8Array | Promise<Uint8Array>
  /** What today's code takes bytes for that this or an older version wrote. Throws where it would refuse them. */
  read(bytes: Uint8Array): unknown
  /** Writes again what `read` has returned; absent: reading loses what writing needs. */
  again?(meaning: never): Uint8Array | Promise<Uint8Array>
}

/** A format of files or messages, as today's code has it. */
export interface GoldenFormat {
  /** In the names of its folders: `[a-z-]+`. */
  readonly name: string
  /** Which version today's code writes. */
  readonly version: number
  /** The oldest that today's code reads, and for which there must be a folder. */
  readonly oldest: number
  /** Where a file says its version, as a u32 in little-endian; absent: the bytes do not say it. */
  readonly versionAt?: number
  /**
   * A format that gets new fields within one version, which older software passes over (protobuf). A sample that today's
   * code would write differently is then no failure: the next release adds it beside the old one, as `<sample>.2`.
   */
  readonly grows?: boolean
  readonly samples: Readonly<Record<string, GoldenSample>>
}

/** What a golden file holds. */
export interface Golden {
  readonly sample: string
  readonly bytes: Uint8Array
  /** As `meaningOf` wrote it down. */
  readonly meaning: unknown
}

const here = fileURLToPath(new URL('.', import.meta.url))
const suffix = '.golden'
const bytesPerLine = 32

/** Where the golden files of one version are. */
export function goldenFolder(name: string, version: number): string {
  return join(here, `${name}-v${version}`)
}

/** All folders of golden files, by name. */
export function goldenFolders(): string[] {
  return readdirSync(here, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort()
}

/** What is in a folder, by the names of the samples; empty where there is none. */
export function readGolden(folder: string): Golden[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .sort()
    .map((file) => {
      if (!file.endsWith(suffix)) throw new Error(`${join(folder, file)} is no golden file`)
      const [dump, meaning] = readFileSync(join(folder, file), 'utf8').split('\n\n')
      if (dump === undefined || meaning === undefined) throw new Error(`${join(folder, file)} is cut short`)
      return { sample: file.slice(0, -suffix.length), bytes: parseDump(dump), meaning: JSON.parse(meaning) }
    })
}

/** Adds a golden file. Throws where there is one of that name. */
export function writeGolden(folder: string, { sample, bytes, meaning }: Golden): void {
  mkdirSync(folder, { recursive: true })
  const text = `${dumpOf(bytes)}\n\n${JSON.stringify(meaning, undefined, 2)}\n`
  writeFileSync(join(folder, sample + suffix), text, { flag: 'wx' })
}

/** Its sample's name without what tells later additions apart: `hello` of `hello.2`. */
export function sampleOf(name: string): string {
  return name.replace(/\.\d+$/, '')
}

/** The last addition of a sample, and what the next would be called. */
export function newestOf(golden: readonly Golden[], sample: string): { newest: Golden | undefined; next: string } {
  const all = golden.filter(({ sample: name }) => sampleOf(name) === sample)
  all.sort((a, b) => additionOf(a.sample) - additionOf(b.sample))
  const next = all.length === 0 ? sample : `${sample}.${all.length + 1}`
  return { newest: all.at(-1), next }
}

function additionOf(name: string): number {
  return Number(/\.(\d+)$/.exec(name)?.[1] ?? 1)
}

/** A meaning as JSON can say it: bytes as `hex:…`, big numbers as `…n`, maps and sets as lists; what is undefined is left out. */
export function meaningOf(value: unknown): unknown {
  const replace = (each: unknown): unknown => {
    if (each instanceof Uint8Array) return `hex:${Buffer.from(each).toString('hex')}`
    if (typeof each === 'bigint') return `${each}n`
    if (each instanceof Map || each instanceof Set) return Array.from<unknown>(each).map(replace)
    if (Array.isArray(each)) return each.map(replace)
    if (typeof each !== 'object' || each === null) return each
    return Object.fromEntries(Object.entries(each).map(([name, inner]) => [name, replace(inner)]))
  }
  const json = JSON.stringify(replace(value))
  return json === undefined ? null : JSON.parse(json)
}

/** Hexadecimal digits, 32 bytes to a line; lines of zeros are counted: `00 * 480`. */
export function dumpOf(bytes: Uint8Array): string {
  const lines: string[] = []
  let zeros = 0
  const flush = (): void => {
    if (zeros > 0) lines.push(`00 * ${zeros}`)
    zeros = 0
  }
  for (let at = 0; at < bytes.length; at += bytesPerLine) {
    const line = bytes.subarray(at, at + bytesPerLine)
    if (line.every((byte) => byte === 0)) zeros += line.length
    else {
      flush()
      lines.push(Buffer.from(line).toString('hex'))
    }
  }
  flush()
  return lines.length === 0 ? '00 * 0' : lines.join('\n')
}

export function parseDump(dump: string): Uint8Array {
  const parts = dump.split('\n').map((line) => {
    const zeros = /^00 \* (\d+)$/.exec(line)?.[1]
    return zeros === undefined ? Buffer.from(line, 'hex') : Buffer.alloc(Number(zeros))
  })
  return Buffer.concat(parts)
}
