import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** What a program wrote down that stood in for kubectl or helm: its words, and what it was given to read. */
interface Call {
  readonly words: readonly string[]
  readonly input: string
}

/** A command that is to run in a pod. */
export interface Exec {
  readonly pod: string
  readonly argv: readonly string[]
  readonly input: string
}

/** What somebody has made who did as the guide tells. */
export interface Prepared {
  /** The files of each secret. */
  readonly secrets: Readonly<Record<string, Readonly<Record<string, Buffer>>>>
  readonly release: string
  readonly namespace: string
  readonly values: Readonly<Record<string, unknown>>
  readonly execs: readonly Exec[]
}

function blocksOf(page: string, section: string): string[] {
  const text = page.slice(page.indexOf(`\n## ${section}\n`) + 1)
  const end = text.indexOf('\n## ', 1)
  return Array.from(text.slice(0, end).matchAll(/^```sh(?: not-run)?\n(.*?)^```$/gms), ([, block]) => block!)
}

/** `a.b=c` of `--set`. */
function assign(values: Record<string, unknown>, text: string): void {
  const [path, value] = text.split('=') as [string, string]
  const names = path.split('.')
  const last = names.pop()!
  const map = names.reduce<Record<string, unknown>>((at, name) => {
    at[name] ??= {}
    return at[name] as Record<string, unknown>
  }, values)
  map[last] = value === 'true' ? true : value
}

const flag = (words: readonly string[], name: string): string => words[words.indexOf(name) + 1]!

/**
 * Does in the empty directory `cwd` what the guide says about Kubernetes. There is none, so kubectl and helm only write down what
 * they are told; kv-server is the real one.
 */
export function doAsTheGuideTells(cwd: string): Prepared {
  const bin = join(cwd, 'bin')
  const told = join(cwd, 'calls')
  mkdirSync(bin)
  mkdirSync(told)
  for (const name of ['kubectl', 'helm']) {
    const lines = ['#!/bin/sh', `call=${told}/$(ls ${told} | wc -l)`, 'mkdir "$call"', 'for word in "$0" "$@"; do']
    lines.push('  printf \'%s\\0\' "$word"', 'done > "$call/words"', 'cat > "$call/input"')
    writeFileSync(join(bin, name), `${lines.join('\n')}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  const page = readFileSync(`${root}docs/guides/deploying.md`, 'utf8')
  const script = ['set -e', ...blocksOf(page, 'Kubernetes')].join('\n')
  const path = [bin, join(root, 'node_modules/.bin'), process.env['PATH']].join(delimiter)
  execFileSync('bash', ['-c', script], { cwd, env: { PATH: path }, stdio: ['ignore', 'pipe', 'pipe'] })

  const secrets: Record<string, Record<string, Buffer>> = {}
  const values: Record<string, unknown> = {}
  const execs: Exec[] = []
  let release = ''
  let namespace = ''
  for (const { words, input } of callsIn(told)) {
    const [program, ...rest] = words
    const kind = rest.find((word) => ['create', 'install', 'exec'].includes(word))
    if (basename(program!) === 'helm') {
      release = flag(rest, 'install')
      namespace = flag(rest, '-n')
      rest.forEach((word, i) => {
        if (word === '--set') assign(values, rest[i + 1]!)
      })
    } else if (kind === 'create') {
      const files = rest.flatMap((word) => /^--from-file=(.*)$/.exec(word)?.[1] ?? [])
      const entries = files.map((file) => [basename(file), readFileSync(join(cwd, file))])
      secrets[flag(rest, 'generic')] = Object.fromEntries(entries) as Record<string, Buffer>
    } else if (kind === 'exec') {
      const split = rest.indexOf('--')
      execs.push({ pod: rest[split - 1]!, argv: rest.slice(split + 1), input })
    } else throw new Error(`${words.join(' ')} is not understood`)
  }
  return { secrets, release, namespace, values, execs }
}

function callsIn(folder: string): Call[] {
  const calls: Call[] = []
  for (let i = 0; ; i++) {
    try {
      const words = readFileSync(join(folder, `${i}`, 'words'), 'utf8')
        .split('\0')
        .slice(0, -1)
      calls.push({ words, input: readFileSync(join(folder, `${i}`, 'input'), 'utf8') })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return calls
      throw error
    }
  }
}
