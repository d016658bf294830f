import { type Command, Option } from 'commander'
import { examples, wholeNumber } from '../arguments.js'
import type { Execute } from '../context.js'
import type { DevOptions } from '../dev.js'
import { limits } from '../limits.js'

export function registerDev(program: Command, execute: Execute): void {
  const port = (field: string): ((text: string) => number) => wholeNumber(field, 0, 65_535)
  program
    .command('dev')
    .summary('run a cluster in this process, to develop against')
    .description(
      'Runs three nodes in this process until Ctrl-C, each with its dashboard: real nodes, which clients reach like any ' +
        'other. In memory, so that all is gone at the end, unless --data-dir says where to keep it. On a terminal nodes can ' +
        'be killed and restarted, to see what an application makes of that. With --json the addresses come as one object.',
    )
    .addOption(new Option('--memory', 'keep everything in memory (the default)').conflicts('dataDir'))
    .option('--data-dir <path>', 'keep the data here, in a directory for each node')
    .option('--nodes <n>', 'how many nodes (default: 3)', wholeNumber('--nodes', 1, limits.devNodesMax))
    .option('--port <port>', 'of the first node, the others follow; 0: any (default: 50051)', port('--port'))
    .option('--http-port <port>', 'of its HTTP, the others follow; 0: any (default: 8051)', port('--http-port'))
    .helpGroup('Cluster:')
    .addHelpText('after', examples('kv dev', 'kv dev --nodes 5 --port 0 --http-port 0', 'kv dev --data-dir ./dev-data'))
    .action((options: DevOptions) =>
      execute(async (context) => {
        // The whole server: it is loaded only by who runs one.
        const { dev } = await import('../dev.js')
        return await dev(context, options)
      }),
    )
}
