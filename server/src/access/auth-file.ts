import { closeSync, constants, fstatSync, openSync, readFileSync, statSync } from 'node:fs'
import { FatalError, KvError, limits } from '@quorumkv/internal/base'
import { canonicalPrefixes, roles } from '@quorumkv/internal/slots'
import type { Document } from 'yaml'
import { z } from 'zod'
import { parseScalars } from '../config/scalar-document.js'
import { type FilePrincipal, hasAdmin } from './file-principal.js'

/** A file of principals is a few pages; whatever is larger was named by mistake. */
const fileBytesMax = 1_048_576

/** All scalars of the file are text. */
const rateSchema = z.string().regex(/^[0-9]{1,12}$/, 'must be a whole number; 0: as much as it wants')

const entrySchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]{1,63}$/, 'must be 1 to 63 characters of a-z, 0-9 and "-"'),
  role: z.enum([...roles]),
  tokenSha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits'),
  prefixes: z.array(z.string()).optional(),
  prefixesBase64: z.array(z.base64()).optional(),
  operationsPerSecond: rateSchema.optional(),
  bytesPerSecond: rateSchema.optional(),
  expires: z.iso.datetime('must be a time like 2030-01-31T00:00:00Z').optional(),
})

const fileSchema = z.strictObject({ principals: z.array(entrySchema).max(limits.principalsMax) })

/**
 * Reads the text of a file: YAML, of which JSON is a part. Throws FatalError `usage` that names the file and the place. What
 * stands there is never told: somebody may have written a token where its hash belongs.
 */
export function parseAuthFile(text: string, path: string): readonly FilePrincipal[] {
  const document = parseScalars(text, path)
  const problem = document.errors[0]
  if (problem !== undefined) {
    throw new FatalError('usage', `${path}: line ${problem.linePos?.[0].line ?? 1}: this is no YAML (${problem.code})`)
  }
  const checked = fileSchema.safeParse(valuesOf(document, path))
  if (!checked.success) {
    const issue = checked.error.issues[0]!
    const place = issue.path.length === 0 ? 'the file' : issue.path.join('.')
    throw new FatalError(
      'usage',
      `${path}: ${place}: ${issue.code === 'unrecognized_keys' ? 'has a key that is not known' : issue.message}`,
    )
  }
  const principals = checked.data.principals.map((entry, i) => fromEntry(entry, `${path}: principals.${i}`))
  const names = new Set<string>()
  for (const { name } of principals) {
    if (names.has(name)) throw new FatalError('usage', `${path}: ${name} is there twice`)
    names.add(name)
  }
  if (!hasAdmin(principals, Number.NEGATIVE_INFINITY)) {
    throw new FatalError('usage', `${path}: one principal at least must be an admin of all keys`)
  }
  return principals
}

/** The library finds an alias to nothing, and aliases that multiply, only now. It would tell what stands there. */
function valuesOf(document: Document.Parsed, path: string): unknown {
  try {
    return document.toJS()
  } catch (error) {
    if (error instanceof ReferenceError) throw new FatalError('usage', `${path}: an alias in it cannot be used`)
    throw error
  }
}

function fromEntry(entry: z.infer<typeof entrySchema>, place: string): FilePrincipal {
  const { name, role, tokenSha256, prefixes = [], prefixesBase64 = [], expires } = entry
  const { operationsPerSecond, bytesPerSecond } = entry
  try {
    const bytes = [
      ...prefixes.map((text) => Buffer.from(text)),
      ...prefixesBase64.map((text) => Buffer.from(text, 'base64')),
    ]
    return {
      name,
      role,
      prefixes: canonicalPrefixes(bytes),
      tokenHash: Buffer.from(tokenSha256, 'hex'),
      expiresAtMs: expires === undefined ? undefined : Date.parse(expires),
      rates: {
        ...(operationsPerSecond === undefined ? {} : { operationsPerSecond: Number(operationsPerSecond) }),
        ...(bytesPerSecond === undefined ? {} : { bytesPerSecond: Number(bytesPerSecond) }),
      },
    }
  } catch (error) {
    if (error instanceof KvError) throw new FatalError('usage', `${place}: ${error.message}`, error)
    throw error
  }
}

/** Rights of anybody else than its owner, but for reading by its group: so orchestrators hand files to the user of a container. */
const othersMask = 0o037

/** What a file looks like from outside: another one there, or another content, looks otherwise. */
function looks({ mtimeMs, ctimeMs, size, ino, mode }: ReturnType<typeof statSync> & object): string {
  return [mtimeMs, ctimeMs, size, ino, mode].join(' ')
}

function readChecked(path: string): { readonly text: string; readonly looks: string } {
  try {
    return readOpened(path)
  } catch (error) {
    if (error instanceof FatalError) throw error
    throw new FatalError('usage', `--auth-file: cannot read ${path}: ${(error as Error).message}`, error)
  }
}

function readOpened(path: string): { readonly text: string; readonly looks: string } {
  // Otherwise opening a pipe would wait for who writes to it, and the node with it.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stat = fstatSync(file)
    if (!stat.isFile()) throw new FatalError('usage', `--auth-file: ${path} is no file`)
    if ((stat.mode & othersMask) !== 0) {
      const mode = (stat.mode & 0o777).toString(8).padStart(4, '0')
      throw new FatalError(
        'usage',
        `--auth-file: ${path} has mode ${mode}: nobody but its owner may write it, and no others than its group read it (chmod 600)`,
      )
    }
    if (stat.size > fileBytesMax) {
      throw new FatalError('usage', `--auth-file: ${path} has ${stat.size} bytes; at most ${fileBytesMax} are read`)
    }
    return { text: readFileSync(file, 'utf8'), looks: looks(stat) }
  } finally {
    closeSync(file)
  }
}

/** A node's own principals, from a file that may be changed while the node runs. */
export class AuthFile {
  readonly path: string
  #principals: readonly FilePrincipal[]
  #looks: string

  /** Throws FatalError `usage`. */
  constructor(path: string) {
    this.path = path
    const { text, looks } = readChecked(path)
    this.#principals = parseAuthFile(text, path)
    this.#looks = looks
  }

  get principals(): readonly FilePrincipal[] {
    return this.#principals
  }

  /**
   * Reads the file again where it looks otherwise than before. Returns whether there are other principals now. Throws FatalError
   * `usage`, once for each file that cannot be used: the principals from before stay.
   */
  refresh(): boolean {
    const seen = this.#look()
    if (seen === this.#looks) return false
    this.#looks = seen
    const { text, looks } = readChecked(this.path)
    this.#principals = parseAuthFile(text, this.path)
    this.#looks = looks
    return true
  }

  /** What cannot be looked at (its directory is closed, or links go round) looks otherwise, and is refused when it is read. */
  #look(): string {
    try {
      return looks(statSync(this.path))
    } catch (error) {
      return String((error as NodeJS.ErrnoException).code)
    }
  }
}
