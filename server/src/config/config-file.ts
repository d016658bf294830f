import { readFileSync } from 'node:fs'
import { FatalError } from '@quorumkv/internal/base'
import type { Document } from 'yaml'
import { z } from 'zod'
import type { ConfigSource } from './config.js'
import { parseScalars } from './scalar-document.js'
import { kebabName, type SettingName, settingNames } from './settings.js'

/** A file of settings is a page; whatever is larger was named by mistake. */
const fileBytesMax = 65_536

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
