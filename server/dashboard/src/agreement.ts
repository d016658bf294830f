import type { HealthLevel } from '../../src/feed/view.js'
import { counted, listText } from '../../src/feed/words.js'
import type { Holding } from './api.js'

/** Whether the owners of a key hold the same of it, in a sentence. */
export interface Agreement {
  readonly level: HealthLevel
  readonly text: string
  /** The newest version; empty: nobody holds anything. */
  readonly newest: string
}

/** Versions as text sort as versions do. */
function newestOf(holdings: readonly Holding[]): string {
  return holdings.reduce((newest, { version }) => (version > newest ? version : newest), '')
}

/** What is left of a key in an owner: version, kind and bytes. Two owners with the same hold the same. */
function contents({ found, version, tombstone, valueCrc, valueBytes }: Holding): string {
  return found ? `${version} ${tombstone} ${valueCrc} ${valueBytes}` : ''
}

const names = (holdings: readonly Holding[]): string => listText(holdings.map(({ nodeId }) => nodeId))

export function agreementOf(holdings: readonly Holding[]): Agreement {
  const answered = holdings.filter((holding) => holding.answered)
  const silent = holdings.filter((holding) => !holding.answered)
  const newest = newestOf(answered)
  const but =
    silent.length === 0
      ? ''
      : ` ${names(silent)} ${silent.length === 1 ? 'did' : 'have'} not ${silent.length === 1 ? 'answer' : 'answered'}.`
  if (answered.length === 0) return { level: 'critical', text: `No owner answers.${but}`, newest }
  const behind = answered.filter(({ version }) => version < newest)
  if (behind.length > 0) {
    const have = behind.length === 1 ? 'has' : 'have'
    return {
      level: 'warning',
      text: `${names(behind)} ${have} an older version, or none. A read or the next comparison mends it.${but}`,
      newest,
    }
  }
  if (new Set(answered.map(contents)).size > 1) {
    return { level: 'critical', text: `One version with different contents: a fault.${but}`, newest }
  }
  const level = silent.length === 0 ? 'ok' : 'warning'
  const all =
    silent.length === 0 && answered.length > 1
      ? `All ${counted(answered.length, 'owner')} agree`
      : `${names(answered)} ${answered.length === 1 ? 'says' : 'agree'}`
  if (newest === '') return { level, text: `${all}: no such key.${but}`, newest }
  const deleted = answered[0]!.tombstone ? ': it has been deleted' : ''
  return { level, text: `${all}${deleted}.${but}`, newest }
}
