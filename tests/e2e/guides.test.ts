import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { runGuide } from './guide-runner.js'

const folder = fileURLToPath(new URL('../../docs/guides', import.meta.url))
const pages = readdirSync(folder).filter((name) => name.endsWith('.md'))
/** Blocks of all pages that cannot run here. Each needs a reason, in the text before it. */
const notRunMax = 8
const missing = ['bash', 'curl'].filter((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status !== 0)

test.for(pages)(
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
