import { type Command, Option } from 'commander'
import { examples, wholeNumber } from '../arguments.js'
import type { Context, Execute } from '../context.js'
import { formatDuration, parseDuration } from '../duration.js'
import { openFileInput, streamInput } from '../import/input.js'
import { type ImportCommandOptions, runImport } from '../import/run.js'
import { limits } from '../limits.js'

export function registerImport(program: Command, execute: Execute): void {
  program
    .command('import')
    .summary('store the records of a file of JSON lines')
    .description(
      'Stores one record for each line {"key": "…", "value": "…"}, or with "keyBase64" and "valueBase64" for bytes that are ' +
        'not text, optionally with "expiresAt" in Unix milliseconds; what has expired is passed over. Compressed ' +
        'input (gzip) is recognised. Of lines with the same key the last one wins.\n\n' +
        'Every record is tried again until the cluster has acknowledged it, so a node that fails meanwhile costs time and ' +
        'no records. Ctrl-C waits for what is on its way; the same command then goes on where it stopped, also after ' +
        'a crash, if FILE is a file that has not changed. --timeout is how long one attempt may take (default here: 30s).',
    )
    .argument('<file>', 'the file; - is standard input')
    .option(
      '--in-flight <n>',
      'puts on their way at a time',
      wholeNumber('--in-flight', 1, limits.importInFlightMax),
      limits.importInFlight,
    )
    .option('--skip-bad', 'pass over lines that are no records, and count them')
    .addOption(
      new Option('--give-up-after <duration>', 'how long a record is tried again')
        .argParser((text) => parseDuration(text, '--give-up-after'))
        .default(limits.importGiveUpAfterMs, formatDuration(limits.importGiveUpAfterMs)),
    )
    .option('--resume-file <path>', 'keep the position here (default: in ~/.local/state/quorumkv; for - nowhere)')
    .option('--no-resume', 'start with the first line, whatever an earlier run has done')
    .option('--acked-log <path>', 'append the key of every acknowledged record to this file, one JSON line each')
    .option('--no-progress', 'show no progress')
    .helpGroup('Many keys:')
    .addHelpText(
      'after',
      examples(
        'kv import users.jsonl.gz',
        'zcat users.jsonl.gz | kv import -',
        'kv import users.jsonl --in-flight 2000 --skip-bad',
      ),
    )
    .action((file: string, options: ImportCommandOptions) => execute((context) => importFile(context, file, options)))
}

async function importFile(context: Context, file: string, options: ImportCommandOptions): Promise<number> {
  const input = file === '-' ? streamInput(context.io.stdin, 'standard input') : await openFileInput(file)
  try {
    return await runImport(context, input, options)
  } finally {
    await input.close()
  }
}
