import { KvError } from '@quorumkv/client'
import type { Command } from 'commander'
import type { Client } from '../context.js'
import { limits } from '../limits.js'
import { nextBehind } from './grammar.js'
import { escapedBytes, typed, WordReader } from './words.js'

/** What readline takes: the candidates, and the end of the line that each of them would replace. */
export type Completed = [candidates: string[], replaced: string]

/**
 * What Tab offers at the end of `line`: commands, options, their values, and keys. Keys come from the cluster, at
 * consistency `one` and within a moment: those that could be had by then are offered. A cluster that does not answer has no
 * keys to offer; the command itself will say why.
 */
export async function complete(program: Command, client: Client, line: string): Promise<Completed> {
  const place = WordReader.partial(line)
  if (place === undefined) return [[], line]
  const { words, start, quote, word } = place
  const raw = line.slice(start)
  const next = nextBehind(program, words, word)
  if (next.kind === 'nothing') return [[], raw]
  if (next.kind === 'words') {
    const fitting = next.words.filter((one) => one.startsWith(word) && quote === '')
    return [fitting.map((one) => `${one} `), raw]
  }
  const keys = await keysBeginningWith(client, escapedBytes(word) ?? Buffer.from(word))
  const forms = keys.map((key) => typed(key, quote)).filter((form) => form !== undefined)
  // Where a key has more than one form, what was typed may be another one, which cannot be gone on with.
  return [forms.filter((form) => form.startsWith(raw)).map((form) => `${form}${quote} `), raw]
}

async function keysBeginningWith(client: Client, prefix: Uint8Array): Promise<Uint8Array[]> {
  const keys: Uint8Array[] = []
  const enough = new AbortController()
  const timer = setTimeout(() => enough.abort(), limits.shellKeysMs)
  try {
    const options = { prefix, keysOnly: true, pageSize: limits.shellKeysOffered, consistency: 'one' as const }
    for await (const { keyBytes } of client.scan({ ...options, signal: enough.signal })) {
      keys.push(keyBytes)
      if (keys.length >= limits.shellKeysOffered) break
    }
  } catch (error) {
    // Out of time, or nobody answers: there is what there is. See above.
    if (!(error instanceof KvError)) throw error
  } finally {
    clearTimeout(timer)
  }
  return keys.sort(Buffer.compare)
}
