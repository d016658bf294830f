import { expect, test } from 'vitest'
import type { Epoch, Incarnation, NodeId } from '../../base/index.js'
import { reportFromMessage, reportToMessage } from './handover-codec.js'

const report = {
  ...{ id: 'n1' as NodeId, incarnation: 'a'.repeat(32) as Incarnation, since: 3 as Epoch, slots: 9, done: 4 },
  ...{ bytes: 5.5, remainingBytes: undefined, remainingMs: 17, switched: false, obstacle: '' },
}

test('a report on a handover arrives as it was sent, estimates that are not known included', () => {
  expect(reportFromMessage(reportToMessage(report))).toEqual(report)
})

test.each([
  ['bytes', Number.NaN],
  ['bytes', -1],
  ['remainingBytes', Number.POSITIVE_INFINITY],
  ['remainingMs', Number.NaN],
  ['remainingMs', -2],
])('a report whose %s are %s is refused, by name: nobody could show it', (field, value) => {
  const wrong = { ...reportToMessage(report), [field]: value }
  expect(() => reportFromMessage(wrong)).toThrow(expect.objectContaining({ field: `handoverReport.${field}` }))
})
