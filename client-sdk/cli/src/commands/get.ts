import type { Command } from 'commander'
import { examples, type KeyOptions, keyBase64Option, keyJson, keyOf } from '../arguments.js'
import { type Context, callOptions, type Execute } from '../context.js'
import { exitStatus } from '../exit.js'
import { jsonField } from '../jsonl.js'
import { asText, write, writeJson } from '../output.js'
import { formatBytes, visible } from '../text.js'

export function registerGet(program: Command, execute: Execute): void {
  program
    .command('get')
    .summary('print the value of a key')
    .description(
      'Prints the value of a key. Into a pipe or file go exactly the bytes that are stored, whatever they are. On a ' +
        'terminal, text is followed by a newline and its control characters are shown as escapes.',
    )
    .argument('<key>', 'the key')
    .addOption(keyBase64Option())
    .helpGroup('Keys:')
    .addHelpText(
      'after',
      examples(
        'kv get user:1',
        'kv get photo:7 > photo.jpg       # exactly the bytes',
        'kv get --json user:1             # with version and expiry',
        'kv get --key-base64 /wA=',
        '',
        'Exit status 3: there is no such key.',
      ),
    )
    .action((key: string, options: KeyOptions) => execute((context) => get(context, keyOf(key, options))))
}

async function get({ io, client, options, colours, shown }: Context, key: string | Uint8Array): Promise<number> {
  const entry = await client().getEntry(key, callOptions(options))
  if (entry === undefined) {
    if (options.json) await writeJson(io.stdout, { found: false, ...keyJson(key) })
    else await write(io.stderr, 'kv: there is no such key\n')
    return exitStatus.keyNotFound
  }
  const { value, version, expiresAt } = entry
  if (options.json) {
    const fields = { ...keyJson(key), ...jsonField('value', value) }
    await writeJson(io.stdout, { found: true, ...fields, version, expiresAt: expiresAt?.getTime() })
  } else if (!shown) {
    await write(io.stdout, value)
    if (io.shared === true && options.output !== 'raw') await write(io.stdout, '\n')
  } else {
    const text = asText(value)
    if (text !== undefined) await write(io.stdout, `${visible(text, '\n\t')}\n`)
    else await write(io.stderr, colours.dim(`${formatBytes(value.length)} that are not text: ${notTextHint}\n`))
  }
  return exitStatus.done
}

const notTextHint = '`kv get KEY > FILE` keeps them as they are, `kv get --json KEY` shows them as base64'
