import { KvClient } from '@quorumkv/client'
import { processIo } from './io.js'
import { run } from './program.js'

/** The program `kv`: runs a command line (without the names of node and the script) and sets the exit status. */
export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await run(argv, processIo(), (options) => new KvClient(options))
}
