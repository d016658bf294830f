import { expect, test } from 'vitest'
import { phaseReport } from '../reports.test-support.js'
import type { Sample } from '../sampler.js'
import { judgeOverwrite } from './run.js'

const fine = phaseReport({ operations: 10, kinds: { update: { operations: 10, us: 1 } } })

function samples(memory: (i: number) => number, files: (i: number) => number): Sample[] {
  return Array.from({ length: 60 }, (_, i) => ({ seconds: i, residentBytes: memory(i), fileBytes: files(i) }))
}

function missed(taken: readonly Sample[], phase = fine): string[] {
  return judgeOverwrite(phase, taken).flatMap(({ what, met }) => (met ? [] : [what.split(':')[0]!]))
}

const level = (i: number): number => 1e9 + (i % 7) * 1e6

test('memory and files that go up and down level off', () => {
  expect(missed(samples(level, (i) => 1e8 * (1 + (i % 10))))).toEqual([])
})

test('what grows with the number of writes is found', () => {
  const grows = (i: number): number => 1e9 + i * 1e8
  expect(missed(samples(grows, level))).toEqual(['memory of the nodes'])
  expect(missed(samples(level, grows))).toEqual(['files of the nodes'])
})

test('an error is an expectation missed', () => {
  const failed = phaseReport({ operations: 10, kinds: {}, errors: 1 })
  expect(missed(samples(level, level), failed)).toEqual(['errors, wrong answers among them'])
})
