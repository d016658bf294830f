import type { Mutant } from './mutant.js'
import { mutate } from './mutate.js'

/** A hook of Node's module loader (`module.register`): plants a known bug into one file while it is loaded. */

let planted: Mutant | undefined

export function initialize(mutant: Mutant): void {
  planted = mutant
}

interface Loaded {
  readonly format: string
  readonly source?: string | ArrayBuffer | Uint8Array
}

export async function load(
  url: string,
  context: object,
  nextLoad: (url: string, context: object) => Promise<Loaded>,
): Promise<Loaded> {
  const loaded = await nextLoad(url, context)
  if (planted === undefined || loaded.source === undefined || !url.endsWith(`/internal/dist/${planted.file}`))
    return loaded
  const source = typeof loaded.source === 'string' ? loaded.source : new TextDecoder().decode(loaded.source)
  return { ...loaded, source: mutate(source, planted) }
}
