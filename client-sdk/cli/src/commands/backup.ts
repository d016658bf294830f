import type { Command } from 'commander'
import { examples, type KeyOptions, keyBase64Option, keyBytes, keyOf, wholeNumber } from '../arguments.js'
import { type CreateOptions, createBackup } from '../backup/create.js'
import { listDirectory, removeFrom, verifyDirectory } from '../backup/look.js'
import { restoreBackup } from '../backup/restore.js'
import type { Execute } from '../context.js'

interface RestoreFlags extends KeyOptions {
  readonly prefix?: string
  readonly overwrite?: true
  readonly yes?: true
  readonly skipDamaged?: true
  readonly fromSlot: number
  readonly progress: boolean
}

/** `kv backup` */
export function registerBackup(program: Command, execute: Execute): void {
  const backup = program
    .command('backup')
    .summary('make backups of the cluster, check them, and restore them')
    .description(
      'Keeps backups in a directory. Each holds all keys with their versions and expiries, and what has been deleted. The first is ' +
        'a full one; those after it write only the slots that have changed, and refer to the files of earlier ones for the rest.',
    )
    .helpGroup('Many keys:')
    .addHelpText(
      'after',
      examples(
        'kv backup create /backups/prod',
        'kv backup list /backups/prod',
        'kv backup verify /backups/prod',
        'kv backup restore /backups/prod',
        'kv backup restore /backups/prod 20260131T235959Z-1a2b --prefix user: --overwrite',
      ),
    )
  registerCreate(backup, execute)
  registerRestore(backup, execute)
  backup
    .command('list <dir>')
    .summary('show the backups of a directory')
    .description(
      'Shows each backup with its size, and what of it is in files of its own. State: complete; later, where a later release has made it, and only that one can read it; incomplete, where files of it or of ' +
        'those that it refers to are missing; damaged, where its manifest is; unreadable, where the disk does not give a file (status 1); unfinished, where it was cut off or is being made.',
    )
    .action((dir: string) => execute((context) => listDirectory(context, dir)))
  backup
    .command('verify <dir> [name]')
    .summary('read every byte of all backups, or of one, and check it (status 0: whole, 1: not)')
    .description(
      'Reads all files that a backup needs, and checks their checksums, counts and digests. Names what is wrong, and where.',
    )
    .option('--no-progress', 'show no progress')
    .action((dir: string, name: string | undefined, { progress }: { progress: boolean }) =>
      execute((context) => verifyDirectory(context, dir, name, progress)),
    )
  backup
    .command('remove <dir> <name>')
    .summary('remove a backup that no other one refers to, or what is left of an unfinished one')
    .description('Removes a backup and its files. Refused where another one refers to them.')
    .option('--yes', 'do not ask')
    .action((dir: string, name: string, { yes }: { yes?: true }) =>
      execute((context) => removeFrom(context, dir, name, yes === true)),
    )
}

function registerCreate(backup: Command, execute: Execute): void {
  backup
    .command('create <dir>')
    .summary('make a backup')
    .description(
      'Adds a backup to the directory, which is made where it is missing. It goes on from the newest complete one of the same cluster, ' +
        'if there is one. Every write that was acknowledged before it began is in it; of those that come meanwhile, some. A ' +
        'backup is there when it is complete: what is cut off, by Ctrl-C or a crash, leaves none. Nodes give as much as ' +
        '`kv node stream-rate` allows.',
    )
    .option('--parent <name>', 'go on from this backup')
    .option('--full', 'refer to no earlier one')
    .option('--no-progress', 'show no progress')
    .action((dir: string, options: CreateOptions) => execute((context) => createBackup(context, dir, options)))
}

function registerRestore(backup: Command, execute: Execute): void {
  backup
    .command('restore <dir> [name]')
    .summary('bring a backup (default: the newest) into the cluster, whatever its size')
    .description(
      'Stores what the backup holds under the versions that it had: what is newer in the cluster stays, and what has been deleted since ' +
        'stays deleted; both are counted. All of it is read and checked before anything is stored. It may be repeated, and goes on after a cut. With --overwrite the values are stored as ' +
        'new ones, and win over what is there, deleted or not. Asks where the backup is of another cluster, and before it overwrites.',
    )
    .option('--prefix <prefix>', 'only keys that begin with this')
    .option('--overwrite', 'store the values as new ones')
    .option(
      '--from-slot <number>',
      'begin with this slot: where an earlier run has stopped',
      wholeNumber('--from-slot', 0, 65_535),
      0,
    )
    .option('--skip-damaged', 'bring what is whole of a damaged backup (status 1 all the same)')
    .option('--yes', 'do not ask')
    .option('--no-progress', 'show no progress')
    .addOption(keyBase64Option())
    .action((dir: string, name: string | undefined, flags: RestoreFlags) =>
      execute((context) => {
        const prefix = keyBytes(flags.prefix === undefined ? '' : keyOf(flags.prefix, flags, '--prefix'))
        return restoreBackup(context, dir, name, { ...flags, prefix })
      }),
    )
}
