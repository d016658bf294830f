import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { longForm } from '../fixtures.js'
import { runGuide } from './guide-runner.js'

const folder = fileURLToPath(new URL('../../docs/guides', import.meta.url))
const pages = readdirSync(folder).filter((name) => name.endsWith('.md'))
/** They bring up clusters of their own, some more than one. */
const longPages = ['access.md', 'backup.md', 'operating.md', 'security.md']
/** Blocks of all pages that cannot run here. Each needs a reason, in the text before it. */
const notRunMax = 8
const missing = ['bash', 'curl'].filter((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status !== 0)

test.for(pages.filter((page) => longForm || !longPages.includes(page)))(
  'what docs/guides/%s tells to do works, and prints what it shows',
  { timeout: 300_000 },
  async (page, context) => {
    if (missing.length > 0) context.skip(`there is no ${missing.join(' and no ')} here`)
    const { ran, notRun, files, compared } = await runGuide(join(folder, page))
    console.log(
      `${page}: ${ran} blocks of commands ran, ${notRun} cannot; ${files} files, ${compared} outputs compared`,
    )
    expect(ran).toBeGreaterThan(0)
  },
)

test('few commands of the guides are left to belief', () => {
  const texts = pages.map((page) => readFileSync(join(folder, page), 'utf8'))
  const notRun = texts.flatMap((text) => text.match(/^```sh not-run$/gm) ?? [])
  expect(notRun.length).toBeLessThanOrEqual(notRunMax)
})

/** The sources in one text, with strings that are broken over lines put together. */
function sourcesOf(folders: readonly string[]): string {
  const texts: string[] = []
  for (const name of folders) {
    for (const entry of readdirSync(join(folder, '../..', name), { recursive: true, withFileTypes: true })) {
      const own = entry.isFile() && entry.name.endsWith('.ts') && !/\.test|\.d\.ts$/.test(entry.name)
      if (own && !/[/\\]dist([/\\]|$)/.test(entry.parentPath))
        texts.push(readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    }
  }
  return texts.join('\n').replace(/['`] \+\s+['`]/g, '')
}

test('what troubleshooting.md explains is what is said: each of its messages is in the sources', () => {
  const sources = sourcesOf(['internal', 'server/src', 'client-sdk/src', 'client-sdk/cli/src'])
  const rows = readFileSync(join(folder, 'troubleshooting.md'), 'utf8').matchAll(/^\| (`.+?`) +\| (?!code|status)/gm)
  const messages = [...rows].flatMap(([, cell]) => [...cell!.matchAll(/`([^`]+)`/g)].map(([, message]) => message!))
  expect(messages.length).toBeGreaterThan(30)
  const pieces = messages.flatMap((message) => message.split('…').map((piece) => piece.trim()))
  expect(pieces.filter((piece) => !sources.includes(piece))).toEqual([])
})
