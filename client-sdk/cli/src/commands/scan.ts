import type { Command } from 'commander'
import { examples, type KeyOptions, keyBase64Option, keyOf, wholeNumber } from '../arguments.js'
import { type Context, callOptions, type Execute } from '../context.js'
import { exitStatus } from '../exit.js'
import { GatheringWriter } from '../output.js'
import { entryJson, type FoundEntry, writeEntryText } from './entry.js'

interface ScanCommandOptions extends KeyOptions {
  readonly limit?: number
  readonly keysOnly?: boolean
}

export function registerScan(program: Command, execute: Execute): void {
  program
    .command('scan')
    .summary('list keys, with a prefix or all')
    .description(
      'Prints KEY, a tab and VALUE for each key that begins with PREFIX, in no particular order; as they are for a pipe, ' +
        'shortened on a terminal. Keys or values with tabs and newlines are told apart only by --json, which prints one ' +
        'object a line.',
    )
    .argument('[prefix]', 'what the keys begin with; none: all keys')
    .option('--limit <n>', 'stop after so many', wholeNumber('--limit', 1, Number.MAX_SAFE_INTEGER))
    .option('--keys-only', 'leave the values out')
    .addOption(keyBase64Option())
    .helpGroup('Keys:')
    .addHelpText(
      'after',
      examples('kv scan user: --limit 10', 'kv scan --keys-only | wc -l', 'kv scan --json user: | jq -r .value'),
    )
    .action((prefix: string | undefined, options: ScanCommandOptions) =>
      execute((context) => scan(context, prefix === undefined ? '' : keyOf(prefix, options, 'prefix'), options)),
    )
}

/** Pages are not larger than what is wanted. */
const pageSizeMax = 512

async function scan(
  context: Context,
  prefix: string | Uint8Array,
  { limit = Number.POSITIVE_INFINITY, keysOnly = false }: ScanCommandOptions,
): Promise<number> {
  const { io, client, options } = context
  const out = new GatheringWriter(io.stdout)
  const pageSize = Math.min(limit, pageSizeMax)
  let left = limit
  for await (const entry of client().scan({ ...callOptions(options), prefix, keysOnly, pageSize })) {
    const { keyBytes: key, version, expiresAt } = entry
    const found: FoundEntry = { key, value: keysOnly ? undefined : entry.valueBytes, version, expiresAt }
    if (options.json) await out.write(`${JSON.stringify(entryJson(found))}\n`)
    else await writeEntryText(context, out, found)
    // What a page brought is shown before the next one is waited for.
    if (entry.cursor !== undefined) await out.flush()
    left -= 1
    if (left === 0) break
  }
  await out.flush()
  return exitStatus.done
}
