import { Command, CommanderError } from 'commander'
import { expect, test } from 'vitest'
import { addStoreOptions, type StoreSettings } from './store-options.js'
import { figureNames } from './store-report.js'

async function parse(...argv: string[]): Promise<StoreSettings> {
  let settings: StoreSettings | undefined
  const command = new Command('store').exitOverride().configureOutput({ writeErr: () => undefined })
  addStoreOptions(command, async (given) => {
    settings = given
  })
  await command.parseAsync(argv, { from: 'user' })
  return settings!
}

test('without arguments: all of it, in the full form, for people', async () => {
  expect(await parse()).toMatchObject({ figures: figureNames, quick: false, json: false, fsync: ['never', 'always'] })
})

test('figures are done in their own order, each once', async () => {
  const { figures } = await parse('commits', 'stress', 'commits')
  expect(figures).toEqual(['stress', 'commits'])
})

test('several policies are read, each once', async () => {
  expect((await parse('--fsync', 'always, interval,always')).fsync).toEqual(['always', 'interval'])
})

test.each([
  [['latency']],
  [['--fsync', 'sometimes']],
  [['--fsync', '']],
  [['--fsync', 'always,']],
  [['--seconds', '5']],
])('%j is refused', async (argv) => {
  await expect(parse(...argv)).rejects.toThrow(CommanderError)
})
