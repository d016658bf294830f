import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { commandLine, eventually, makeTemporaryDirectory, startKv, tryCommand } from '../fixtures.js'

interface Dev {
  readonly endpoints: readonly string[]
  readonly nodes: readonly { readonly http: string }[]
}

/** `kv dev` on free ports: three real nodes in one process. */
async function startDev() {
  const program = startKv(['unused:1'], ['dev', '--json', '--port', '0', '--http-port', '0'])
  await eventually('the cluster serves', () => {
    if (!program.runs) throw new Error(program.diagnostics)
    return program.output.includes('\n')
  })
  return { program, ...(JSON.parse(program.output) as Dev) }
}

/** A terminal of 100 by 30, with `kv` in it. */
class Pane implements AsyncDisposable {
  readonly #socket: string
  readonly #environment: NodeJS.ProcessEnv

  constructor(argv: readonly string[], environment: Readonly<Record<string, string>>) {
    // A server of its own, in a directory of its own: nobody else's sessions are touched.
    this.#socket = join(makeTemporaryDirectory(), 'tmux')
    this.#environment = { PATH: process.env['PATH'], LANG: 'C.UTF-8', ...environment }
    const command = [process.execPath, commandLine, ...argv].map((word) => `'${word}'`).join(' ')
    // The pane stays when the program has ended, with its exit status.
    this.#tmux('new-session', '-d', '-x', '100', '-y', '30', `${command}; echo "ended with $?"; exec cat`)
  }

  type(text: string): void {
    this.#tmux('send-keys', '-l', text)
  }

  press(...keys: readonly string[]): void {
    this.#tmux('send-keys', ...keys)
  }

  /** The lines that are to be seen. */
  screen(): string {
    return this.#tmux('capture-pane', '-p').trimEnd()
  }

  /** Waits until the screen shows something. */
  async shows(what: string | RegExp): Promise<void> {
    const there = (): boolean => (typeof what === 'string' ? this.screen().includes(what) : what.test(this.screen()))
    try {
      await eventually(`the screen shows ${what}`, there)
    } catch (error) {
      throw new Error(`${(error as Error).message}:\n${this.screen()}`, { cause: error })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tmux('kill-server')
  }

  #tmux(...argv: readonly string[]): string {
    const all = ['-S', this.#socket, '-f', '/dev/null', ...argv]
    const { status, stdout, stderr } = spawnSync('tmux', all, { encoding: 'utf8', env: this.#environment })
    if (status !== 0) throw new Error(`tmux ${argv.join(' ')}: ${stderr}`)
    return stdout
  }
}

const reason = tryCommand('tmux', '-V') === undefined ? 'tmux is not installed' : undefined
if (reason !== undefined) process.stderr.write(`the shell is not tested on a terminal: ${reason}\n`)

describe.skipIf(reason !== undefined)('kv shell on a terminal', () => {
  it('a session: hints, completion of keys, several lines, Ctrl-C, another consistency, Ctrl-D, history', async () => {
    const dev = await startDev()
    await using _ = dev.program
    const home = makeTemporaryDirectory()
    const environment = { HOME: home, NO_COLOR: '', TERM: 'screen' }
    const argv = ['--endpoints', dev.endpoints[0]!, 'shell']
    {
      await using pane = new Pane(argv, environment)
      await pane.shows(/3 of 3 members alive\n.*\nkv [0-9a-f]{8} quorum>$/)
      pane.type('put city:1')
      await pane.shows('quorum> put city:1 [value] [--file <path>] [--ttl <duration>] [--key-base64]')
      pane.type(' Paris')
      pane.press('Enter')
      await pane.shows('stored on')
      // The hint has gone with the line.
      expect(pane.screen()).toMatch(/quorum> put city:1 Paris\n/)
      pane.type('get ci')
      // A tab that comes in one piece with other keys is taken for pasted text.
      await pane.shows('quorum> get ci [--key-base64]')
      pane.press('Tab')
      await pane.shows('quorum> get city:1')
      pane.press('Enter')
      await pane.shows(/get city:1\s*\nParis\n/)
      pane.type('get nothing')
      pane.press('C-c')
      await pane.shows(/get nothing.*\^C\nkv .* quorum>$/)
      pane.type('put poem <<EOF')
      pane.press('Enter')
      await pane.shows(/\n<<>$/)
      pane.type('one "line"')
      pane.press('Enter')
      pane.type('EOF')
      pane.press('Enter')
      await pane.shows(/EOF\nstored on/)
      pane.type('get poem')
      pane.press('Enter')
      await pane.shows('\none "line"\n')
      pane.type('set consistency one')
      pane.press('Enter')
      await pane.shows(/kv [0-9a-f]{8} one>$/)
      pane.type('watch-status')
      pane.press('Enter')
      await pane.shows(/Ctrl-C ends it[\s\S]*n3 .*alive/)
      pane.press('C-c')
      await pane.shows(/one>$/)
      pane.press('C-d')
      await pane.shows('ended with 0')
    }
    const history = join(home, '.kv_history')
    expect(readFileSync(history, 'utf8').split('\n').slice(0, 3)).toEqual([
      'put city:1 Paris',
      'get city:1',
      'put poem <<EOF',
    ])
    expect(statSync(history).mode & 0o777).toBe(0o600)
    await using again = new Pane(argv, environment)
    await again.shows(/quorum>$/)
    again.press('Up')
    await again.shows(/quorum> watch-status/)
  })

  it('a cluster that goes away ends neither the shell nor a watch', async () => {
    const dev = await startDev()
    await using pane = new Pane(['--endpoints', dev.endpoints[0]!, 'shell'], {
      HOME: makeTemporaryDirectory(),
      TERM: 'screen',
    })
    await pane.shows(/quorum>$/)
    await dev.program[Symbol.asyncDispose]()
    expect(await dev.program.end()).toEqual({ status: 0, signal: null })
    pane.type('put k v')
    pane.press('Enter')
    await pane.shows(/put k v\s*\nkv: [\s\S]*\nkv .*>$/)
    pane.type('watch-status')
    pane.press('Enter')
    await pane.shows('nobody answers at')
    pane.press('C-c')
    pane.type('exit')
    pane.press('Enter')
    await pane.shows('ended with 0')
  })

  it('in kv dev a node is killed and restarted by what is typed, and Ctrl-C stops all', async () => {
    await using pane = new Pane(['dev', '--port', '0', '--http-port', '0'], {
      HOME: makeTemporaryDirectory(),
      TERM: 'screen',
    })
    await pane.shows('3 nodes serve, in memory')
    for (const [line, answer] of [
      ['kill 2', 'n2 is down'],
      ['status', 'n2 down'],
      ['restart 2', 'n2 serves'],
      ['kill 9', 'One of 1, 2, 3'],
    ] as const) {
      pane.type(line)
      pane.press('Enter')
      await pane.shows(answer)
    }
    pane.press('C-c')
    await pane.shows('ended with 0')
  })
})

it('the HTTP port in place of the other one is told as what it is', async () => {
  const dev = await startDev()
  await using _ = dev.program
  await using wrong = startKv([dev.nodes[0]!.http], ['--timeout', '2s', 'get', 'k'])
  expect(await wrong.end()).toMatchObject({ status: 1 })
  expect(wrong.diagnostics).toContain('not that of `--http-addr`')
})
