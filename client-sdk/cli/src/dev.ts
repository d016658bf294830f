import { createInterface } from 'node:readline'
import { type LocalCluster, startLocalCluster } from '@quorumkv/server/local'
import type { Context } from './context.js'
import { exitStatus, FailedError, UsageError } from './exit.js'
import { write, writeJson } from './output.js'
import { table } from './table.js'

/** What `kv dev` takes. */
export interface DevOptions {
  readonly dataDir?: string
  readonly nodes?: number
  readonly port?: number
  readonly httpPort?: number
}

const portDefault = 50_051
const httpPortDefault = 8_051

/**
 * Runs a cluster in this process until Ctrl-C, SIGTERM or `stop`. Resolves to status 0 when all nodes have stopped. Throws a
 * FailedError where they cannot start.
 */
export async function dev(context: Context, options: DevOptions): Promise<number> {
  const { io } = context
  const ending = new AbortController()
  const forgetInterrupts = io.onInterrupt(() => {
    // The second time it does not wait for the nodes.
    if (ending.signal.aborted) io.exitNow(exitStatus.interrupted)
    ending.abort()
  })
  try {
    await using cluster = await started(context, options)
    await cluster.ready()
    await introduce(context, cluster, options)
    await until(ending, context, cluster)
    if (!context.options.json) await write(io.stderr, 'stopping …\n')
    await cluster.stop()
  } finally {
    forgetInterrupts()
  }
  return exitStatus.done
}

async function started({ io }: Context, options: DevOptions): Promise<LocalCluster> {
  const { nodes, dataDir, port = portDefault, httpPort = httpPortDefault } = options
  try {
    return await startLocalCluster({
      ...{ nodes, dataDir, port, httpPort },
      onFatal: (error, { id }) => void io.stderr.write(`kv: ${id} could not go on and is down: ${error.message}\n`),
    })
  } catch (error) {
    const hint =
      'Name other ports with --port and --http-port (0: any free ones), or another directory with --data-dir.'
    throw new FailedError(`the cluster cannot start: ${(error as Error).message}`, hint, error)
  }
}

async function introduce(
  { io, options, look }: Context,
  cluster: LocalCluster,
  { dataDir }: DevOptions,
): Promise<void> {
  const nodes = cluster.nodes.map(({ id, address, httpAddresses }) => ({ id, address, http: httpAddresses[0] }))
  if (options.json) {
    await writeJson(io.stdout, { endpoints: cluster.endpoints, nodes, dataDir: dataDir ?? null })
    return
  }
  const { colours } = look
  const rows = nodes.map(({ id, address, http }) => [id, address, `http://${http}/`])
  const [first, last] = [cluster.endpoints[0]!, cluster.endpoints.at(-1)!]
  const where = dataDir === undefined ? 'in memory: all is gone at the end' : `in ${dataDir}`
  await write(
    io.stdout,
    `${table(look, ['node', 'endpoint', 'dashboard'], rows)}\n` +
      `${nodes.length} nodes serve, ${where}. Try, in another terminal:\n\n` +
      `  kv --endpoints ${first} put hello world\n  kv --endpoints ${last} get hello\n\n` +
      `${colours.dim(io.stdin.isTTY === true ? help : 'Ctrl-C stops them')}\n`,
  )
}

const help = '`kill 2`, `restart 2`, `status`, `stop` work here; Ctrl-C stops them all'

/** Resolves when it is over. On a terminal, commands for single nodes are taken meanwhile. */
async function until(ending: AbortController, { io }: Context, cluster: LocalCluster): Promise<void> {
  const over = new Promise<void>((resolve) => {
    if (ending.signal.aborted) resolve()
    ending.signal.addEventListener('abort', () => resolve())
  })
  if (io.stdin.isTTY !== true) return over
  const lines = createInterface({ input: io.stdin, terminal: false })
  let running: Promise<void> = Promise.resolve()
  lines.on('line', (line) => {
    running = running.then(() => obey(line, io.stdout, cluster, ending))
  })
  await over
  lines.close()
  await running
}

async function obey(
  line: string,
  stdout: Context['io']['stdout'],
  cluster: LocalCluster,
  ending: AbortController,
): Promise<void> {
  if (line.trim() === '') return
  try {
    await write(stdout, `${await devCommand(line, cluster, ending)}\n`)
  } catch (error) {
    await write(stdout, `${(error as Error).message}\n`)
  }
}

/** Does what a line says, and resolves to what came of it. Throws a UsageError where it says nothing that is known. */
export async function devCommand(
  line: string,
  cluster: Pick<LocalCluster, 'nodes' | 'kill' | 'restart'>,
  ending: AbortController,
): Promise<string> {
  const [verb = '', which, ...more] = line.trim().split(/\s+/)
  if (verb === 'stop' || verb === 'exit' || verb === 'quit') {
    ending.abort()
    return 'as you say'
  }
  if (verb === 'status') return cluster.nodes.map(({ id, state }) => `${id} ${state}`).join('\n')
  if (verb !== 'kill' && verb !== 'restart') throw new UsageError('COMMAND', `there is no ${verb}: ${help}`)
  const node = cluster.nodes.find(({ id }) => id === which || id === `n${which}`)
  if (node === undefined || more.length > 0) {
    throw new UsageError('NODE', `${verb} which? One of ${cluster.nodes.map(({ id }) => id.slice(1)).join(', ')}`)
  }
  if (verb === 'kill') {
    if (node.state === 'down') return `${node.id} is down already: \`restart ${node.id.slice(1)}\` starts it`
    await cluster.kill(node.index)
    return `${node.id} is down, as when its machine loses power; \`restart ${node.id.slice(1)}\` starts it again`
  }
  await cluster.restart(node.index)
  await node.ready()
  return `${node.id} serves`
}
