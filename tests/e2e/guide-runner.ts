import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts, makeTemporaryDirectory } from '../fixtures.js'

/*
 * Guides are run as they are read: the blocks of one page, from the top to the bottom, in one shell and one directory.
 *
 *   ```sh             commands; each must end with status 0
 *   ```sh not-run     commands that only the reader's machines can run; counted
 *   ```text           what the block before it prints; `…` stands for anything
 *   ```js             a file, named by a comment in its first line, for the commands behind it
 */

const root = fileURLToPath(new URL('../..', import.meta.url))
/** The ports that guides use: each gets one that is free. */
const guidePorts = [50051, 50052, 50053, 50054, 50061, 50062, 50063, 50064] as const
/** A guide's own cluster has to be up, changed and down within that. */
const guideMs = 240_000

interface Block {
  readonly kind: string
  readonly line: number
  readonly text: string
}

/** What a page did: how many blocks ran, and how many cannot. */
export interface GuideReport {
  readonly ran: number
  readonly notRun: number
  readonly files: number
  readonly compared: number
}

function blocksOf(page: string): Block[] {
  const blocks: Block[] = []
  const lines = page.split('\n')
  for (let at = 0; at < lines.length; at++) {
    const opened = /^```(.+)$/.exec(lines[at]!)
    if (opened === null) continue
    const end = lines.indexOf('```', at + 1)
    if (end === -1) throw new Error(`the block at line ${at + 1} has no end`)
    blocks.push({ kind: opened[1]!, line: at + 1, text: lines.slice(at + 1, end).join('\n') })
    at = end
  }
  return blocks
}

/** Spaces are for the eye, and `…` is what differs from run to run. */
function matches(expected: string, printed: string): boolean {
  const flat = (text: string): string => text.trim().replace(/\s+/g, ' ')
  const escaped = flat(expected).replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replace(/ ?… ?/g, '.*?')}$`, 's').test(flat(printed))
}

/** Runs a script in a process group of its own, so that what it has left in the background ends with it. */
async function runScript(script: string, cwd: string, environment: NodeJS.ProcessEnv): Promise<number | string> {
  const child = spawn('bash', ['-c', script], { cwd, env: environment, stdio: 'ignore', detached: true })
  const end = (): void => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch (error) {
      // Nobody is left: that is what was wanted.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  process.once('exit', end)
  const late = setTimeout(end, guideMs)
  const [status, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  clearTimeout(late)
  end()
  process.off('exit', end)
  return status ?? signal ?? 'unknown'
}

/** Runs a page; throws with the line of the block that failed, and what it printed. */
export async function runGuide(path: string): Promise<GuideReport> {
  const free = await freePorts(guidePorts.length)
  const withPorts = (text: string): string =>
    text.replace(/\b500[56][1-4]\b/g, (port) => `${free[guidePorts.indexOf(Number(port) as 50051)] ?? port}`)
  const cwd = makeTemporaryDirectory()
  symlinkSync(join(root, 'node_modules'), join(cwd, 'node_modules'))
  const script = ['set -eo pipefail', "trap 'kill -KILL $(jobs -p) 2> /dev/null || true' EXIT"]
  const expected = new Map<Block, string>()
  const ran: Block[] = []
  let notRun = 0
  let files = 0
  for (const block of blocksOf(readFileSync(path, 'utf8'))) {
    if (block.kind === 'sh') {
      ran.push(block)
      script.push(`exec > out.${block.line} 2>&1`, withPorts(block.text), `echo > done.${block.line}`)
    } else if (block.kind === 'sh not-run') notRun += 1
    else if (block.kind === 'text' && ran.length > 0) expected.set(ran.at(-1)!, withPorts(block.text))
    else if (block.kind === 'js') {
      const name = /^\/\/ (\S+\.m?js)$/.exec(block.text.split('\n')[0]!)?.[1]
      if (name === undefined) throw new Error(`the block at line ${block.line} does not name its file`)
      writeFileSync(join(cwd, name), withPorts(block.text))
      files += 1
    }
  }
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('KV_'))
  const status = await runScript(script.join('\n'), cwd, {
    ...Object.fromEntries(kept),
    PATH: [join(root, 'node_modules/.bin'), process.env['PATH']].join(delimiter),
    // What stands for the default, which is another port here.
    KV_ENDPOINTS: `127.0.0.1:${free[0]}`,
    NO_COLOR: '1',
  })
  for (const block of ran) {
    const out = join(cwd, `out.${block.line}`)
    const whole = existsSync(out) ? readFileSync(out, 'utf8') : ''
    // What the shell says of processes that a page kills comes when it likes.
    const printed = whole.replace(/^bash: line \d+: +\d+ Killed .*\n/gm, '')
    if (!existsSync(join(cwd, `done.${block.line}`)))
      throw new Error(`${path}:${block.line} failed with ${status}:\n${block.text}\n\n${printed}`)
    const wanted = expected.get(block)
    if (wanted !== undefined && !matches(wanted, printed))
      throw new Error(`${path}:${block.line} prints otherwise than the page says:\n${printed}`)
  }
  return { ran: ran.length, notRun, files, compared: expected.size }
}
