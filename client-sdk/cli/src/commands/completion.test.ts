import { execFileSync, spawnSync } from 'node:child_process'
import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { FakeClient, FakeIo } from '../fakes.test-support.js'
import { createProgram, run } from '../program.js'
import { registerCompletion } from './completion.js'

async function script(shell: string): Promise<string> {
  const io = new FakeIo()
  await run(['completion', shell], io, () => new FakeClient())
  return io.stdout.text
}

function whyNot(shell: string): string | undefined {
  return spawnSync(shell, ['-c', 'true']).error === undefined ? undefined : `${shell} is not installed`
}

/** What bash would offer where the last word is completed. */
function offered(source: string, words: readonly string[]): string[] {
  const program = `${source}
COMP_WORDS=("$@")
COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
_kv
printf '%s\\n' "\${COMPREPLY[@]}"`
  const out = execFileSync('bash', ['--norc', '-c', program, 'bash', 'kv', ...words], { encoding: 'utf8' })
  return out.split('\n').filter((line) => line !== '')
}

describe('completion', () => {
  it.each(['bash', 'zsh', 'fish'])(
    'for %s knows every command, the commands inside of commands, and every option',
    async (shell) => {
      const text = await script(shell)
      const io = new FakeIo()
      const program = createProgram(io, async () => undefined, registerCompletion)
      const inside = (command: Command): Command[] => [command, ...command.commands.flatMap(inside)]
      const commands = program.commands.flatMap(inside)
      expect(commands.length).toBeGreaterThan(20)
      for (const command of [program, ...commands]) {
        if (command !== program) expect(text).toContain(command.name())
        for (const option of command.options) if (!option.hidden) expect(text).toContain(option.long!.slice(2))
      }
    },
  )

  for (const shell of ['bash', 'zsh', 'fish']) {
    const reason = whyNot(shell)
    if (reason !== undefined) process.stderr.write(`the completion for ${shell} is not checked: ${reason}\n`)
    it.skipIf(reason !== undefined)(`for ${shell} is a script that the shell can read`, async () => {
      const checked = spawnSync(shell, ['-n'], { input: await script(shell), encoding: 'utf8' })
      expect([checked.status, checked.stderr]).toEqual([0, ''])
    })
  }

  it.each<[string[], string[]]>([
    [['par'], ['partition']],
    [['node', 'dec'], ['decommission']],
    [['node', 'drain', '--no'], ['--no-wait']],
    [['--consistency', 'q'], ['quorum']],
    [
      ['get', '-o', ''],
      ['table', 'json', 'raw'],
    ],
    [['dev', '--mem'], ['--memory']],
    [['status', '--int'], ['--interval']],
    [['completion', 'z'], ['zsh']],
    [['help', 'snap'], ['snapshot']],
    [['get', '--ttl', ''], []],
  ])('in bash, behind %j it offers %j', async (words, expected) => {
    expect(offered(await script('bash'), words)).toEqual(expected)
  })
})
