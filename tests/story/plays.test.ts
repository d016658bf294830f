import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parsePlay } from './parse.js'
import { perform } from './stage.js'

const folder = fileURLToPath(new URL('.', import.meta.url))
const files = readdirSync(folder).filter((name) => name.endsWith('.play'))

/** Performances of each play, in place of what it says itself: `KV_PLAYS=100`. */
const performances = process.env['KV_PLAYS']

test('there are plays', () => {
  expect(files.length).toBeGreaterThan(10)
})

describe.each(files)('%s', (file) => {
  const play = parsePlay(`tests/story/${file}`, readFileSync(`${folder}/${file}`, 'utf8'))
  const [first] = play.statements
  if (first?.action.kind !== 'cluster') throw new Error(`${file} has no cluster`)
  const { settings } = first.action
  test(play.title, async () => {
    const times = performances === undefined ? settings.times : Number(performances)
    for (let performance = 1; performance <= times; performance++) await perform(play, String(performance))
  })
})
