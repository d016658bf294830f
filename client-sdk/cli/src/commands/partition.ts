import type { Command } from 'commander'
import { examples, type KeyOptions, keyBase64Option, keyJson, keyOf } from '../arguments.js'
import type { Context, Execute } from '../context.js'
import { exitStatus } from '../exit.js'
import { write, writeJson } from '../output.js'
import { coloured } from '../status-text.js'
import { table } from '../table.js'

export function registerPartition(program: Command, execute: Execute): void {
  program
    .command('partition')
    .summary('show where a key lives')
    .description('Shows the hash of a key, its slot, and the members that own the slot, the preferred one first.')
    .argument('<key>', 'the key; it need not exist')
    .addOption(keyBase64Option())
    .helpGroup('Cluster:')
    .addHelpText('after', examples('kv partition user:1', 'kv partition --json user:1 | jq -r .owners[0].address'))
    .action((key: string, options: KeyOptions) => execute((context) => partition(context, keyOf(key, options))))
}

async function partition({ io, client, options, look }: Context, key: string | Uint8Array): Promise<number> {
  const { hash, slot, owners } = await client().partition(key, { timeoutMs: options.timeoutMs })
  if (options.json) {
    const members = owners.map(({ id, address, liveness }) => ({ id, address, liveness }))
    await writeJson(io.stdout, { ...keyJson(key), hash, slot, owners: members })
    return exitStatus.done
  }
  const rows = owners.map((owner, i) => [
    String(i + 1),
    owner.id,
    owner.address,
    coloured(owner.liveness, look.colours),
  ])
  const hex = `0x${hash.toString(16).padStart(8, '0')}`
  await write(io.stdout, `hash ${hex}, slot ${slot}\n\n${table(look, ['owner', 'id', 'address', 'liveness'], rows)}`)
  return exitStatus.done
}
