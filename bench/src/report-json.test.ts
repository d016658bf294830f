import { expect, test } from 'vitest'
import { reportJson } from './report-json.js'

test('every report says which form it has, in one line', () => {
  expect(reportJson({ benchmark: 'peers' })).toBe('{"formatVersion":1,"benchmark":"peers"}\n')
  expect(JSON.parse(reportJson({ formatVersion: 7 }))).toEqual({ formatVersion: 7 })
})
