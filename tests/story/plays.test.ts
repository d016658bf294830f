import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parsePlay } from './parse.js'
import { perform } from './stage.js'

const folder = fileURLToPath(new URL('.', import.meta.url))
const files = readdirSync(folder).filter((name) => name.endsWith('.play'))

/** Performances of each play: what it shows must not hang on one order of events. `KV_PLAYS=100` for more. */
const performances = Number(process.env['KV_PLAYS'] ?? 3)

test('there are plays', () => {
  expect(files.length).toBeGreaterThan(10)
})

describe.each(files)('%s', (file) => {
  const play = parsePlay(`tests/story/${file}`, readFileSync(`${folder}/${file}`, 'utf8'))
  test(play.title, async () => {
    for (let performance = 1; performance <= performances; performance++) await perform(play, String(performance))
  })
})
