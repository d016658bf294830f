import type { Command } from 'commander'
import { examples, type KeyOptions, keyBase64Option, keyBytes, keyJson, keyOf } from '../arguments.js'
import { type Context, callOptions, type Execute } from '../context.js'
import { exitStatus } from '../exit.js'
import { GatheringWriter, write } from '../output.js'
import { entryJson, writeEntryText } from './entry.js'

export function registerMget(program: Command, execute: Execute): void {
  program
    .command('mget')
    .summary('print the values of many keys')
    .description(
      'Prints KEY, a tab and VALUE for each key that is there, in the order of the arguments; all are asked for in one ' +
        'round. With --json, one object a line for every key.',
    )
    .argument('<keys...>', 'the keys')
    .addOption(keyBase64Option())
    .helpGroup('Keys:')
    .addHelpText(
      'after',
      examples('kv mget user:1 user:2 user:3', '', 'Exit status 3: at least one of the keys is not there.'),
    )
    .action((texts: string[], options: KeyOptions) =>
      execute((context) => {
        const keys = texts.map((text) => keyOf(text, options))
        return mget(context, keys)
      }),
    )
}

async function mget(context: Context, keys: readonly (string | Uint8Array)[]): Promise<number> {
  const { io, client, options } = context
  const found = await client().getManyEntries(keys, callOptions(options))
  const out = new GatheringWriter(io.stdout)
  let missing = 0
  for (const key of keys) {
    const entry = found.get(key)
    if (entry === undefined) missing += 1
    if (options.json) {
      const fields = entry === undefined ? keyJson(key) : entryJson({ ...entry, key: keyBytes(key) })
      await out.write(`${JSON.stringify({ found: entry !== undefined, ...fields })}\n`)
    } else if (entry !== undefined) {
      await writeEntryText(context, out, { key: keyBytes(key), value: entry.value })
    }
  }
  await out.flush()
  if (missing > 0 && !options.json) await write(io.stderr, `kv: ${missing} of ${keys.length} keys are not there\n`)
  return missing === 0 ? exitStatus.done : exitStatus.keyNotFound
}
