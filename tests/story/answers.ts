import type { KvError } from '@quorumkv/internal/base'
import { compareVersions, type Version } from '@quorumkv/internal/hlc'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { WriteResult } from '@quorumkv/internal/replication'
import type { Expectation, Replaced } from './language.js'
import { shortened, shownVersion, textOf } from './messages.js'

/** What a client has been told so far. */
export type Answer =
  | { readonly kind: 'pending' }
  | { readonly kind: 'written'; readonly result: WriteResult }
  | { readonly kind: 'read'; readonly record: StoredRecord | undefined }
  | { readonly kind: 'entries'; readonly entries: ReadonlyMap<string, string> }
  | { readonly kind: 'failed'; readonly error: KvError }

/** The versions that a play has given names. */
export class Versions {
  readonly #known = new Map<string, Version>()

  get(name: string): Version | undefined {
    return this.#known.get(name)
  }

  /** Whether this may be the version of that name; the first one that is asked for gets it. */
  accept(name: string | undefined, version: Version): boolean {
    if (name === undefined) return true
    const known = this.#known.get(name)
    if (known !== undefined) return compareVersions(known, version) === 0
    this.#known.set(name, { hi: version.hi, lo: version.lo, node: version.node })
    return true
  }

  /** `v1` where the play calls it that, else its numbers. */
  shown(version: Version): string {
    for (const [name, known] of this.#known) if (compareVersions(known, version) === 0) return name
    return shownVersion(version)
  }
}

/** Whether the client was told what it had to be told. Gives names to versions that are seen for the first time. */
export function fitsAnswer(expected: Expectation, answer: Answer, versions: Versions): boolean {
  switch (expected.kind) {
    case 'pending':
      return answer.kind === 'pending'
    case 'ok':
      if (answer.kind !== 'written' || !fitsReplaced(expected.replaced, answer.result)) return false
      return versions.accept(expected.version, answer.result.version)
    case 'value':
      if (answer.kind !== 'read' || answer.record === undefined) return false
      return textOf(answer.record.value) === expected.value && versions.accept(expected.version, answer.record)
    case 'absent':
      return answer.kind === 'read' && answer.record === undefined
    case 'entries': {
      if (answer.kind !== 'entries' || answer.entries.size !== expected.entries.size) return false
      return [...expected.entries].every(([key, value]) => answer.entries.get(key) === value)
    }
    case 'error': {
      if (answer.kind !== 'failed' || !expected.codes.includes(answer.error.code)) return false
      return expected.outcome === undefined || answer.error.outcome === expected.outcome
    }
    default:
      return expected satisfies never
  }
}

function fitsReplaced(expected: Replaced | undefined, { replacedKnown, existed, previous }: WriteResult): boolean {
  if (expected === undefined) return true
  if (!replacedKnown || expected === 'unknown') return !replacedKnown && expected === 'unknown'
  if (expected === 'nothing') return !existed
  if (expected === 'something') return existed
  return previous !== undefined && textOf(previous.value) === expected.value
}

function shownReplaced({ replacedKnown, existed, previous }: WriteResult): string {
  if (!replacedKnown) return 'unknown'
  if (previous !== undefined) return shortened(textOf(previous.value))
  return existed ? 'something' : 'nothing'
}

/** An answer in the words of the language. */
export function shownAnswer(answer: Answer, versions: Versions): string {
  switch (answer.kind) {
    case 'pending':
      return 'pending'
    case 'written': {
      const { version, acks } = answer.result
      return `ok ${versions.shown(version)} replacing ${shownReplaced(answer.result)} (${acks} acknowledgements)`
    }
    case 'read':
      if (answer.record === undefined) return 'absent'
      return `${shortened(textOf(answer.record.value))} ${versions.shown(answer.record)}`
    case 'entries':
      return [...answer.entries].map(([key, value]) => `${key} = ${shortened(value)}`).join(', ') || 'nothing'
    case 'failed': {
      const { code, outcome, message } = answer.error
      return `error ${code}${outcome === undefined ? '' : ` ${outcome}`} (${message})`
    }
    default:
      return answer satisfies never
  }
}
