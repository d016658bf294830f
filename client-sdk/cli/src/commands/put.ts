import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { Command } from 'commander'
import { examples, type KeyOptions, keyBase64Option, keyOf, textArgument } from '../arguments.js'
import { type Context, callOptions, type Execute } from '../context.js'
import { parseDuration } from '../duration.js'
import { exitStatus, FailedError, UsageError } from '../exit.js'
import { limits } from '../limits.js'
import { write, writeJson } from '../output.js'
import { formatBytes } from '../text.js'

interface PutCommandOptions extends KeyOptions {
  readonly file?: string
  readonly ttl?: number
}

export function registerPut(program: Command, execute: Execute): void {
  program
    .command('put')
    .summary('store a value')
    .description(
      'Stores a value under a key, and returns when a quorum of the replicas has it on disk (--consistency changes how ' +
        'many). The value is an argument, standard input (-) or a file, of which every byte is kept, a last newline too.',
    )
    .argument('<key>', 'the key: 1 to 1,024 bytes')
    .argument('[value]', 'the value; - takes it from standard input')
    .option('--file <path>', 'take the value from a file')
    .option('--ttl <duration>', 'let the value expire after this time: 500ms, 30s, 5m, 2h, 7d', (text) =>
      parseDuration(text, '--ttl'),
    )
    .addOption(keyBase64Option())
    .helpGroup('Keys:')
    .addHelpText(
      'after',
      examples(
        'kv put user:1 Ada',
        'kv put session:9 token --ttl 30m',
        'kv put photo:7 --file photo.jpg',
        'printf %s secret | kv put password -',
        'kv put -- --odd-key --odd-value   # what begins with a dash goes behind --',
      ),
    )
    .action((key: string, value: string | undefined, options: PutCommandOptions) =>
      execute((context) => put(context, keyOf(key, options), value, options)),
    )
}

async function put(
  { io, client, options, shown }: Context,
  key: string | Uint8Array,
  given: string | undefined,
  { file, ttl }: PutCommandOptions,
): Promise<number> {
  const value = await valueFrom(given, file, io.stdin)
  const { version, acks } = await client().put(key, value, { ...callOptions(options), ttlMs: ttl })
  if (options.json) await writeJson(io.stdout, { status: 'success', acks, version })
  else if (shown) await write(io.stdout, `stored on ${acks} replicas, version ${version}\n`)
  else await write(io.stdout, 'OK\n')
  return exitStatus.done
}

async function valueFrom(
  given: string | undefined,
  file: string | undefined,
  stdin: Readable,
): Promise<string | Uint8Array> {
  if (given !== undefined && file !== undefined) throw new UsageError('value', 'give a VALUE or --file, not both')
  if (file !== undefined) return readFileValue(file)
  if (given === '-') return readValue(stdin, 'standard input')
  // Not from standard input: where a script's variable is empty, that would store an empty value without a word.
  if (given === undefined) throw new UsageError('value', 'give a VALUE, - for standard input, or --file PATH')
  return textArgument(given, 'value', 'give it with --file, or - and standard input')
}

async function readFileValue(path: string): Promise<Buffer> {
  try {
    const handle = await open(path, 'r')
    return await readValue(handle.createReadStream(), path)
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new FailedError(`cannot read ${path}: ${(error as Error).message}`, undefined, error)
  }
}

async function readValue(source: Readable, name: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of source as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > limits.valueBytesMax) {
      throw new UsageError(
        'value',
        `${name} holds more than the ${formatBytes(limits.valueBytesMax)} that a value can ever have`,
      )
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
