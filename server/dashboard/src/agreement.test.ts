import { expect, it } from 'vitest'
import { agreementOf } from './agreement.js'
import type { Holding } from './api.js'

const holding = (nodeId: string, parts: Partial<Holding> = {}): Holding => ({
  nodeId,
  answered: true,
  obstacle: '',
  found: true,
  tombstone: false,
  version: '02',
  stampedAtMs: 1,
  stampedBy: 'n1',
  valueBytes: 3,
  expiresAtMs: 0,
  valueCrc: 7,
  ...parts,
})
const nothing = { found: false, version: '', valueBytes: 0, valueCrc: 0 } as const
const silent = { ...nothing, answered: false, obstacle: 'it cannot be reached' } as const

it.each([
  ['all hold the same', [holding('a'), holding('b'), holding('c')], 'ok', 'All 3 owners agree.'],
  ['nobody holds it', [holding('a', nothing), holding('b', nothing)], 'ok', 'All 2 owners agree: no such key.'],
  ['deleted', [holding('a', { tombstone: true }), holding('b', { tombstone: true })], 'ok', 'it has been deleted'],
  ['one is behind', [holding('a'), holding('b', { version: '01' }), holding('c')], 'warning', 'b has an older version'],
  [
    'two have none',
    [holding('a'), holding('b', nothing), holding('c', nothing)],
    'warning',
    'b and c have an older version, or none',
  ],
  ['one is silent', [holding('a'), holding('b'), holding('c', silent)], 'warning', 'a and b agree. c did not answer.'],
  [
    'all are silent',
    [holding('a', silent), holding('b', silent)],
    'critical',
    'No owner answers. a and b have not answered.',
  ],
  ['one version, other bytes', [holding('a'), holding('b', { valueCrc: 8 })], 'critical', 'different contents'],
  [
    'a value and a tombstone of one version',
    [holding('a'), holding('b', { tombstone: true })],
    'critical',
    'different contents',
  ],
] as const)('%s', (_what, holdings, level, words) => {
  const agreement = agreementOf(holdings)
  expect(agreement.level).toBe(level)
  expect(agreement.text).toContain(words)
})
