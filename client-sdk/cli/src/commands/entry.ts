import type { Version } from '@quorumkv/client'
import type { Context } from '../context.js'
import { jsonField } from '../jsonl.js'
import { type GatheringWriter, shownOnOneLine } from '../output.js'

/** What `scan`, `mget` and `get` know of an entry. */
export interface FoundEntry {
  readonly key: Uint8Array
  /** Undefined: was not asked for. */
  readonly value: Uint8Array | undefined
  readonly version: Version
  readonly expiresAt: Date | undefined
}

/** The fields of an entry in JSON; `kv import` takes them as they are. */
export function entryJson({ key, value, version, expiresAt }: FoundEntry): object {
  const valueField = value === undefined ? {} : jsonField('value', value)
  return { ...jsonField('key', key), ...valueField, version, expiresAt: expiresAt?.getTime() }
}

/**
 * `KEY<tab>VALUE`: the very bytes where a program reads them; on a terminal one line of visible text, shortened.
 * Resolves when more may be written.
 */
export async function writeEntryText(
  { shown, colours }: Context,
  out: GatheringWriter,
  { key, value }: Pick<FoundEntry, 'key' | 'value'>,
): Promise<void> {
  out.add(shown ? colours.cyan(shownOnOneLine(key, colours)) : key)
  if (value !== undefined) {
    out.add('\t')
    out.add(shown ? shownOnOneLine(value, colours) : value)
  }
  await out.write('\n')
}
