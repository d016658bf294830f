import type { Command } from 'commander'
import { examples, type KeyOptions, keyBase64Option, keyJson, keyOf } from '../arguments.js'
import { type Context, callOptions, type Execute } from '../context.js'
import { formatDuration } from '../duration.js'
import { exitStatus } from '../exit.js'
import { write, writeJson } from '../output.js'

export function registerTtl(program: Command, execute: Execute): void {
  program
    .command('ttl')
    .summary('tell how long a key still lives')
    .description(
      'Tells when a value expires: for people how long that is, into a pipe the milliseconds, or `never`. By the clock of ' +
        'this machine, which may differ a little from those of the nodes.',
    )
    .argument('<key>', 'the key')
    .addOption(keyBase64Option())
    .helpGroup('Keys:')
    .addHelpText(
      'after',
      examples('kv ttl session:9', 'kv ttl --json session:9', '', 'Exit status 3: there is no such key.'),
    )
    .action((key: string, options: KeyOptions) => execute((context) => ttl(context, keyOf(key, options))))
}

async function ttl({ io, client, options, shown }: Context, key: string | Uint8Array): Promise<number> {
  const entry = await client().getEntry(key, callOptions(options))
  if (entry === undefined) {
    if (options.json) await writeJson(io.stdout, { found: false, ...keyJson(key) })
    else await write(io.stderr, 'kv: there is no such key\n')
    return exitStatus.keyNotFound
  }
  const { expiresAt } = entry
  const leftMs = expiresAt === undefined ? undefined : Math.max(0, expiresAt.getTime() - io.timing.wall())
  if (options.json) {
    await writeJson(io.stdout, {
      found: true,
      ...keyJson(key),
      ttlMs: leftMs ?? null,
      expiresAt: expiresAt?.getTime() ?? null,
    })
  } else if (leftMs === undefined) {
    await write(io.stdout, 'never\n')
  } else {
    await write(io.stdout, shown ? `${formatDuration(leftMs)}, until ${expiresAt!.toISOString()}\n` : `${leftMs}\n`)
  }
  return exitStatus.done
}
