import type { Command } from 'commander'
import { examples, type KeyOptions, keyBase64Option, keyBytes, keyOf } from '../arguments.js'
import type { Execute } from '../context.js'
import { type ExportCommandOptions, runExport } from '../export/run.js'

interface ExportOptions extends ExportCommandOptions, KeyOptions {
  readonly prefix?: string
}

export function registerExport(program: Command, execute: Execute): void {
  program
    .command('export')
    .summary('write keys and values to a file of JSON lines')
    .description(
      'Writes one line {"key": "…", "value": "…"} for each key, with "keyBase64" and "valueBase64" for bytes that are not ' +
        'text, and with "expiresAt" in Unix milliseconds where a value expires: what `kv import` reads.\n\n' +
        'A file takes its name only when it is complete. After Ctrl-C, a crash or a failure the same command goes on ' +
        'where it stopped, with the file FILE.partial. What is written to the cluster meanwhile may or may not be in the ' +
        'export.',
    )
    .argument('<file>', 'the file; - is standard output')
    .option('--prefix <prefix>', 'only keys that begin with this')
    .option('--gzip', 'compress')
    .option('--no-resume', 'throw away what an earlier run has left unfinished')
    .option('--no-progress', 'show no progress')
    .addOption(keyBase64Option())
    .helpGroup('Many keys:')
    .addHelpText(
      'after',
      examples(
        'kv export all.jsonl.gz --gzip',
        'kv export users.jsonl --prefix user:',
        'kv export - | jq -r .key | sort',
      ),
    )
    .action((file: string, options: ExportOptions) =>
      execute((context) => {
        const prefix = options.prefix === undefined ? '' : keyOf(options.prefix, options, '--prefix')
        return runExport(context, file, keyBytes(prefix), options)
      }),
    )
}
