import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { productionClosure, readLockfile, readPublished } from '../../scripts/lockfile.mjs'
import { eventually, makeTemporaryDirectory, RunningProgram, startServer, type TestServer } from '../fixtures.js'
import { type Packed, packAll, publicFace } from './public-faces.js'

/*
 * What users get from the registry, as they get it: packed, checked by the tools that know what registries and compilers
 * stumble over, and installed into a project that has nothing else.
 */

const root = fileURLToPath(new URL('../..', import.meta.url))
const tool = (name: string): string => join(root, 'node_modules/.bin', name)
const run = promisify(execFile)
const { packed, printed } = packAll(root, makeTemporaryDirectory())
console.log(printed.trim())
const packageOf = (name: Packed['name']): Packed => packed.find((each) => each.name === name)!

/** How many packages may come with each: one more is a decision, not an accident. */
const dependenciesMax: Readonly<Record<string, number>> = { client: 34, keyv: 34, server: 100, testing: 100, cli: 106 }

interface Failed {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** What a command prints; where it fails, throws with all that it said. */
async function printedBy(cwd: string, command: string, argv: readonly string[]): Promise<string> {
  try {
    return (await run(command, argv, { cwd, timeout: 100_000, maxBuffer: 1 << 24 })).stdout.trim()
  } catch (error) {
    const { stdout, stderr } = error as Failed
    throw new Error(`${command} ${argv.join(' ')} failed:\n${stdout}${stderr}`)
  }
}

describe.each(packed)('@quorumkv/$name', ({ name, folder, manifest, tarball }) => {
  test('brings no more packages of others than was decided', () => {
    const published = readPublished(join(folder, '..'))
    const { length } = productionClosure(readLockfile(root), published, `@quorumkv/${name}`)
    console.log(`@quorumkv/${name} brings ${length} packages`)
    expect(length).toBeLessThanOrEqual(dependenciesMax[name]!)
  })

  test('publint finds nothing', async () => {
    expect(await printedBy(root, tool('publint'), [tarball, '--strict'])).toContain('All good!')
  })

  test('its types are found and right wherever ES modules are', async () => {
    const told = await printedBy(root, tool('attw'), [tarball, '--profile', 'esm-only', '--format', 'json'])
    const { analysis } = JSON.parse(told) as { analysis: { problems: { kind: string; resolutionKind?: string }[] } }
    // What only CommonJS without require() of ES modules and resolution of before 2020 stumble over is left aside.
    const ours = analysis.problems.filter(({ kind, resolutionKind }) => {
      return kind !== 'CJSResolvesToESM' && resolutionKind !== 'node10' && resolutionKind !== 'node16-cjs'
    })
    expect(ours).toEqual([])
  })

  test('nothing of it asks for a private package or for a source that is not there', async () => {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((each) =>
      /\.(js|d\.ts)$/.test(each),
    )
    expect(names.length).toBeGreaterThan(1)
    for (const each of names.filter((path) => !path.startsWith('dashboard'))) {
      const text = readFileSync(join(folder, each), 'utf8')
      expect(text, each).not.toMatch(/\b(from|import)\b *\(?['"]@quorumkv\/(internal|proto)\b|sourceMappingURL/)
    }
    const wanted = Object.keys(manifest.dependencies ?? {})
    expect(wanted.filter((each) => /^@quorumkv\/(internal|proto|dashboard|tests)$/.test(each))).toEqual([])
  })

  for (const [entry, target] of Object.entries(manifest.exports)) {
    if (typeof target === 'string') continue
    test(`what ${entry} offers is what tests/e2e/public-api announces`, async () => {
      const file = `./public-api/${name}${entry === '.' ? '' : `-${entry.slice(2)}`}.txt`
      await expect(publicFace(join(folder, target.types))).toMatchFileSnapshot(file)
    })
  }
})

/** A project with nothing but the packages, the types of Node and Keyv. */
const app = makeTemporaryDirectory()
const registryIsAway = /ENOTCACHED|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EIDLETIMEOUT|E5\d\d/
/** Why there is nothing to test with; undefined: there is. */
let obstacle: string | undefined

function versionOf(name: string): string {
  return (JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')) as { version: string })
    .version
}

async function install(): Promise<void> {
  writeFileSync(join(app, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }))
  const others = ['@types/node', 'keyv'].map((name) => `${name}@${versionOf(name)}`)
  const flags = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--fetch-retries=1']
  try {
    await run('npm', ['install', ...flags, ...packed.map(({ tarball }) => tarball), ...others], {
      cwd: app,
      timeout: 240_000,
    })
  } catch (error) {
    obstacle = obstacleIn(error as Failed)
  }
}

/** Why nothing could be installed, where that is the registry's fault; else throws what npm said. */
function obstacleIn({ stderr }: Failed): string {
  if (!registryIsAway.test(stderr)) throw new Error(`npm install failed:\n${stderr}`)
  const why = `the packages' own dependencies cannot be had: ${stderr.split('\n').find((line) => registryIsAway.test(line))}`
  console.log(`not tested: ${why}`)
  return why
}

describe('installed into an empty project', () => {
  beforeAll(install, 300_000)

  const installed = (what: string, work: (server: TestServer) => Promise<void>): void => {
    test(what, async (context) => {
      if (obstacle !== undefined) context.skip(obstacle)
      await using server = await startServer({ program: join(app, 'node_modules/@quorumkv/server/bin/kv-server.js') })
      await work(server)
    })
  }

  test('the programs tell the version', async (context) => {
    if (obstacle !== undefined) context.skip(obstacle)
    const { version } = packageOf('cli').manifest
    expect(await printedBy(app, 'node_modules/.bin/kv', ['--version'])).toContain(version)
    expect(await printedBy(app, 'node_modules/.bin/kv-server', ['--version'])).toBe(`kv-server ${version}`)
  })

  installed('kv reads what it wrote on the kv-server that was installed', async ({ address }) => {
    await printedBy(app, 'node_modules/.bin/kv', ['--endpoints', address, 'put', 'user:1', 'Ada'])
    expect(await printedBy(app, 'node_modules/.bin/kv', ['--endpoints', address, 'get', 'user:1'])).toBe('Ada')
  })

  installed('ES modules and CommonJS get the same client', async ({ address }) => {
    const work = `
      const client = new KvClient([process.argv[2]])
      await client.put('k', 'v')
      console.log(await client.get('k'))
      await client[Symbol.asyncDispose]()`
    writeFileSync(join(app, 'module.mjs'), `import { KvClient } from '@quorumkv/client'\n${work}`)
    const required = `const { KvClient } = require('@quorumkv/client')\nconst main = async () => {${work}
      console.log((await import('@quorumkv/client')).KvClient === KvClient)\n}\nmain()`
    writeFileSync(join(app, 'common.cjs'), required)
    expect(await printedBy(app, process.execPath, ['module.mjs', address])).toBe('v')
    expect(await printedBy(app, process.execPath, ['common.cjs', address])).toBe('v\ntrue')
  })

  installed('strict TypeScript compiles it without skipLibCheck, with `await using`', async ({ address }) => {
    const source = `
      import { json, KvClient, KvError } from '@quorumkv/client'
      import { KeyvQuorumKv } from '@quorumkv/keyv'
      import { startNode, type RunningNode } from '@quorumkv/server'
      import { startCluster } from '@quorumkv/testing'
      import Keyv from 'keyv'

      export const embedded: (dataDir: string) => Promise<RunningNode> = (dataDir) => startNode({ addr: ':0', dataDir })
      await using client = new KvClient({ endpoints: [process.argv[2]!] })
      const users = client.collection('user:', json<{ name: string }>())
      await users.put('1', { name: 'Ada' })
      const name: string | undefined = (await users.get('1'))?.name
      await using cluster = await startCluster({ nodes: 3 })
      await cluster.client().put('k', 'v', { consistency: 'all' })
      const keyv = new Keyv({ store: new KeyvQuorumKv(client) })
      await keyv.set('seen', 7)
      const refused: unknown = await client.put('', 'v').catch((error: unknown) => error)
      console.log(name, await cluster.client().get('k'), await keyv.get('seen'), refused instanceof KvError)
      await keyv.disconnect()
    `
    mkdirSync(join(app, 'src'), { recursive: true })
    writeFileSync(join(app, 'src/main.ts'), source)
    const shared = { target: 'es2022', lib: ['es2023', 'esnext.disposable'], strict: true, types: ['node'] }
    const options = { ...shared, skipLibCheck: false, rootDir: 'src', outDir: 'out' }
    for (const [module, moduleResolution] of [
      ['nodenext', 'nodenext'],
      ['esnext', 'bundler'],
    ]) {
      const config = { compilerOptions: { ...options, module, moduleResolution }, include: ['src'] }
      writeFileSync(join(app, 'tsconfig.json'), JSON.stringify(config))
      await printedBy(app, tool('tsc'), ['-p', 'tsconfig.json'])
    }
    expect(await printedBy(app, process.execPath, ['out/main.js', address])).toBe('Ada v 7 true')
  })
})

test('on a machine that has nothing, three tarballs and the registry are enough for what the README shows', async (context) => {
  const home = makeTemporaryDirectory()
  const cwd = makeTemporaryDirectory()
  const path = [dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter)
  // No settings of whoever runs this, and no cache.
  const bare = ['-i', `PATH=${path}`, `HOME=${home}`]
  const inside = (...words: string[]): Promise<string> => printedBy(cwd, 'env', [...bare, ...words])
  const tarballs = (['server', 'client', 'cli'] as const).map((name) => packageOf(name).tarball)
  try {
    await run('env', [...bare, 'npm', 'install', '--ignore-scripts', '--fetch-retries=1', ...tarballs], {
      cwd,
      timeout: 100_000,
    })
  } catch (error) {
    context.skip(obstacleIn(error as Failed))
  }
  const installed = readFileSync(join(cwd, 'node_modules/.package-lock.json'), 'utf8')
  const hosts = Array.from(installed.matchAll(/"resolved": "(file:|https?:\/\/[^/]+)/g), ([, from]) => from!)
  const registry = new URL(await inside('npm', 'config', 'get', 'registry')).origin
  expect(new Set(hosts)).toEqual(new Set(['file:', registry]))

  const program = join(cwd, 'node_modules/@quorumkv/server/bin/kv-server.js')
  await using alone = await startServer({ program })
  await inside('node_modules/.bin/kv', '--endpoints', alone.address, 'put', 'user:1', 'Ada')
  expect(await inside('node_modules/.bin/kv', '--endpoints', alone.address, 'get', 'user:1')).toBe('Ada')

  const dev = ['dev', '--json', '--port', '0', '--http-port', '0']
  await using cluster = new RunningProgram('env', [...bare, join(cwd, 'node_modules/.bin/kv'), ...dev])
  await eventually('three nodes have told where they are', () => cluster.output.endsWith('\n'))
  const { endpoints } = JSON.parse(cluster.output) as { endpoints: string[] }
  expect(endpoints).toHaveLength(3)
  const example = /^```js\n(.*?)^```$/ms.exec(readFileSync(join(root, 'README.md'), 'utf8'))![1]!
  writeFileSync(join(cwd, 'example.mjs'), example.replace('localhost:50051', endpoints[0]!))
  const printed = await inside('node', 'example.mjs')
  expect(printed.split('\n').slice(-2)).toEqual(['user:1 Ada', 'user:2 Grace'])
})
