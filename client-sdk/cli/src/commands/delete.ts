import type { Command } from 'commander'
import { examples, type KeyOptions, keyBase64Option, keyOf } from '../arguments.js'
import { type Context, callOptions, type Execute } from '../context.js'
import { exitStatus } from '../exit.js'
import { write, writeJson } from '../output.js'

export function registerDelete(program: Command, execute: Execute): void {
  program
    .command('delete')
    .alias('del')
    .summary('remove a key')
    .description('Removes a key. A key that is not there is no failure: afterwards it is not there.')
    .argument('<key>', 'the key')
    .addOption(keyBase64Option())
    .helpGroup('Keys:')
    .addHelpText(
      'after',
      examples('kv delete user:1', 'kv delete --json user:1   # "existed": true, false or null (not known)'),
    )
    .action((key: string, options: KeyOptions) => execute((context) => remove(context, keyOf(key, options))))
}

async function remove({ io, client, options }: Context, key: string | Uint8Array): Promise<number> {
  const { version, existed } = await client().delete(key, callOptions(options))
  if (options.json) await writeJson(io.stdout, { status: 'success', existed: existed ?? null, version })
  else await write(io.stdout, `${deed(existed)}\n`)
  return exitStatus.done
}

function deed(existed: boolean | undefined): string {
  if (existed === undefined) return 'deleted, if it was there: that is not known'
  return existed ? 'deleted' : 'there was no such key'
}
