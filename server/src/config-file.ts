import { readFileSync } from 'node:fs'
import { FatalError } from '@quorumkv/internal/base'
import { type Document, isNode, isScalar, Lexer, parseDocument, visit } from 'yaml'
import { z } from 'zod'
import type { ConfigSource } from './config.js'
import { kebabName, type SettingName, settingNames } from './settings.js'

/** A file of settings is a page; whatever is larger was named by mistake. */
const fileBytesMax = 65_536

/** Of a file of settings, and of one of as many principals as there may be. The library says a word on each that is wrong. */
const linesMax = 10_000

/** No setting is nested deeper than in a list, which may be in a document of its own. */
const nestingMax = 16

function fileSchema(): z.ZodType<Partial<Record<string, string | string[]>>> {
  const scalar = z.string('must be a text, a number or true or false')
  const shape: Record<string, z.ZodType<string | string[] | undefined>> = {}
  for (const name of settingNames) {
    shape[kebabName(name)] = name === 'peers' ? z.union([scalar, z.array(scalar)]).optional() : scalar.optional()
  }
  return z.strictObject(shape)
}

function readText(path: string): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    throw new FatalError(
      'usage',
      `--config: cannot read ${path}: ${error instanceof Error ? error.message : error}`,
      error,
    )
  }
  if (bytes.length > fileBytesMax) {
    throw new FatalError('usage', `--config: ${path} has ${bytes.length} bytes; at most ${fileBytesMax} are read`)
  }
  return bytes.toString('utf8')
}

/**
 * The library descends by recursion, and where its stack does not suffice Node ends the process: thousands of opening brackets
 * are enough. So what opens is counted before, by the library's own lexer, which does not recurse.
 */
function checkNesting(text: string, path: string): void {
  let brackets = 0
  let onLine = 0
  for (const token of new Lexer().lex(text)) {
    if (token === '[' || token === '{') brackets++
    else if (token === ']' || token === '}') brackets--
    else if (token === ',' || token === '\n' || token === '\r\n') onLine = 0
    // Lists of lists, keys that are maps, and what is said of a value: all of them may open many on one line.
    else if (token === '-' || token === '?' || token === ':' || /^[&!]/.test(token)) onLine++
    // Below zero, as many more could be opened; and the library says a word on each, which takes seconds.
    if (brackets < 0) throw new FatalError('usage', `${path}: closes a bracket that was never opened`)
    if (brackets > nestingMax || onLine > nestingMax) {
      throw new FatalError('usage', `${path}: is nested more than ${nestingMax} deep`)
    }
  }
}

/**
 * The document of a file that people write: every scalar is the text that stands there. Throws FatalError `usage` for what is
 * nested deep, and for a key that a map has twice: the library compares each with all others, which takes seconds.
 */
export function parseScalars(text: string, path: string): Document.Parsed {
  if (text.split('\n', linesMax + 1).length > linesMax) {
    throw new FatalError('usage', `${path}: has more than ${linesMax} lines`)
  }
  checkNesting(text, path)
  const document = parseDocument(text, { schema: 'failsafe', uniqueKeys: false })
  visit(document, {
    Map(_, { items }) {
      const seen = new Set<unknown>()
      for (const { key } of items) {
        const name = isScalar(key) ? key.value : key
        if (seen.has(name)) {
          const line = text.slice(0, isNode(key) ? key.range?.[0] : 0).split('\n').length
          throw new FatalError('usage', `${path}: line ${line}: this key is there already`)
        }
        seen.add(name)
      }
    },
  })
  return document
}

/** The library finds an alias to nothing, and aliases that multiply, only when the values are asked for. */
function valuesOf(document: Document.Parsed, path: string): unknown {
  try {
    return document.toJS()
  } catch (error) {
    throw new FatalError('usage', `${path}: ${error instanceof Error ? error.message : error}`, error)
  }
}

/** Parses YAML, of which JSON is a part. Every scalar stays the text that was written: an id of 007 is not 7. */
function parseSettings(text: string, path: string): Partial<Record<string, string | string[]>> {
  const document = parseScalars(text, path)
  const problem = document.errors[0]
  if (problem !== undefined) throw new FatalError('usage', `${path}: ${problem.message}`)
  if (document.contents === null) return {}
  const checked = fileSchema().safeParse(valuesOf(document, path))
  if (checked.success) return checked.data
  const issue = checked.error.issues[0]
  if (issue?.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => JSON.stringify(key)).join(', ')
    throw new FatalError('usage', `${path}: unknown ${issue.keys.length === 1 ? 'key' : 'keys'} ${keys}`)
  }
  const where = issue === undefined || issue.path.length === 0 ? '' : ` ${issue.path.join('.')}:`
  throw new FatalError('usage', `${path}:${where} ${issue?.message ?? 'must be a map of settings'}`)
}

/** Settings from a JSON or YAML file. Throws FatalError `usage` naming the file, and the key where it is one. */
export function fileSource(path: string): ConfigSource {
  const values = parseSettings(readText(path), path)
  return (name: SettingName) => {
    const key = kebabName(name)
    const value = values[key]
    if (value === undefined) return undefined
    return { text: typeof value === 'string' ? value : value.join(','), label: `${path}: ${key}` }
  }
}
