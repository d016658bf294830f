import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import type { TestContext } from 'vitest'

/** Screenshots, for people to look at. */
const artefacts = fileURLToPath(new URL('artefacts/', import.meta.url))

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome-stable'] as const
const installMs = 300_000
/** For what a page shows in the end. Where a browser has half a core, what takes a second takes twenty. */
const patienceMs = 60_000
/** One at a time: files of tests run side by side, and apt-get refuses whom another is before. */
const install = `flock --timeout ${installMs / 1000} /tmp/quorumkv-install-chromium.lock sh -c '
  command -v chromium || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }'`

let found: string | undefined | null = null
let whyNone = 'and it could not be installed with apt-get by root'

function installed(): string | undefined {
  return places.find((path) => existsSync(path))
}

/** Where there is a browser; it is installed where that can be done. Undefined: there is none. */
function findBrowser(): string | undefined {
  if (found !== null) return found
  found = installed()
  if (found === undefined && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    const { stderr } = spawnSync('sh', ['-c', install], { encoding: 'utf8', timeout: installMs })
    found = installed()
    whyNone += `: ${stderr.trim()}`
  }
  return found
}

export interface OpenOptions {
  readonly width?: number
  readonly height?: number
  readonly colours?: 'light' | 'dark'
}

/** A page as a user has it, and what went wrong on it. */
export interface OpenPage extends AsyncDisposable {
  readonly page: Page
  /** Errors and warnings of the browser's console, breaches of the page's policy among them, and what was not caught. */
  readonly troubles: string[]
  /** Keeps a picture under `tests/browser/artefacts/`. */
  shoot(name: string): Promise<void>
}

/** A headless browser; `using` ends it. Skips the test where there is none, and says why. */
export class TestBrowser implements AsyncDisposable {
  readonly #browser: Browser

  private constructor(browser: Browser) {
    this.#browser = browser
  }

  static async launch(context: TestContext): Promise<TestBrowser> {
    const executablePath = findBrowser()
    if (executablePath === undefined) {
      const why = `there is no Chromium at /usr/bin, ${whyNone}`
      process.stdout.write(`the dashboard in a browser: skipped, ${why}\n`)
      context.skip(why)
    }
    // Chromium's own sandbox does not work for root; what is opened is our own page only.
    const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
    return new TestBrowser(await chromium.launch({ executablePath: executablePath!, args }))
  }

  async open(url: string, { width = 1440, height = 900, colours = 'light' }: OpenOptions = {}): Promise<OpenPage> {
    const context = await this.#browser.newContext({ viewport: { width, height }, colorScheme: colours })
    const page = await context.newPage()
    page.setDefaultTimeout(patienceMs)
    const troubles: string[] = []
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') troubles.push(message.text())
    })
    page.on('pageerror', (error) => troubles.push(String(error)))
    await page.goto(url)
    mkdirSync(artefacts, { recursive: true })
    return {
      page,
      troubles,
      shoot: async (name) => void (await page.screenshot({ path: `${artefacts}${name}.png` })),
      [Symbol.asyncDispose]: () => context.close(),
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#browser.close()
  }
}
