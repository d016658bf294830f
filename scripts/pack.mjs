// Makes the packages that are published: dist-packages/<name>.tgz, each complete with what it needs of the private ones
// (docs/adr/0046-what-is-published.md). What `npm run build` made must be there. An argument names another folder for them.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, posix, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readPackage, traceModules } from './module-graph.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const out = resolve(process.argv[2] ?? join(root, 'dist-packages'))
const repository = readPackage(root).manifest
const workspaces = repository.workspaces.map((folder) => readPackage(join(root, folder)))
const privatePackages = new Map(
  workspaces.filter(({ manifest }) => manifest.private === true).map((each) => [each.manifest.name, each]),
)

/** Where a package lies in the repository. */
const directoryOf = (folder) => relative(root, folder).split(sep).join('/')

/** What is no module, and belongs to a package all the same: the built page of the server. */
const assets = { '@quorumkv/server': ['dashboard/dist'] }

/** Every file that the manifest of a package names: `exports` with their types, and programs. */
function entriesOf({ manifest }) {
  const targets = Object.values(manifest.exports).flatMap((target) =>
    typeof target === 'string' ? [target] : Object.values(target),
  )
  return [...targets, ...Object.values(manifest.bin ?? {})].filter((target) => !target.endsWith('.json'))
}

/** The packages that the published one needs, at the versions that its own manifest or that of a private one names. */
function dependenciesOf({ manifest }, imports) {
  const dependencies = {}
  for (const [name, importers] of [...imports].sort()) {
    if (manifest.peerDependencies?.[name] !== undefined) continue
    for (const importer of importers) {
      const version = importer.manifest.dependencies?.[name]
      if (version === undefined) throw new Error(`${importer.manifest.name} imports ${name} and does not depend on it`)
      if (dependencies[name] !== undefined && dependencies[name] !== version)
        throw new Error(`${manifest.name} needs ${name} at ${dependencies[name]} and at ${version}`)
      dependencies[name] = version
    }
  }
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    if (dependencies[name] === undefined && !privatePackages.has(name))
      throw new Error(`${manifest.name} depends on ${name} in vain`)
  }
  return dependencies
}

/** The manifest that is published: what users and npm need of the one in the tree, and nothing of how it is worked on. */
function publishedManifest({ folder, manifest }, imports, files) {
  const { scripts, devDependencies, private: _, dependencies, ...kept } = manifest
  const { repository: home, homepage, bugs } = repository
  return {
    ...kept,
    homepage,
    bugs,
    repository: { ...home, directory: directoryOf(folder) },
    files,
    dependencies: dependenciesOf({ manifest }, imports),
  }
}

/** Its links lead to files that stay in the repository. */
function publishedReadme({ folder }) {
  const text = readFileSync(join(folder, 'README.md'), 'utf8')
  const tree = repository.homepage.replace(/#.*$/, '/blob/main/')
  return text.replace(/\]\((?!https?:|#)([^)]+)\)/g, (_, link) => `](${tree}${posix.join(directoryOf(folder), link)})`)
}

/** Writes a package as it will be installed, and packs it. Returns the tarball. */
function pack(published) {
  const { folder, manifest } = published
  const stage = join(out, basename(manifest.name))
  const entries = entriesOf(published)
  for (const entry of entries) {
    if (!existsSync(join(folder, entry))) throw new Error(`${join(folder, entry)} is missing: npm run build makes it`)
  }
  const { files, imports } = traceModules(root, published, privatePackages, entries)
  for (const [place, text] of files) {
    mkdirSync(dirname(join(stage, place)), { recursive: true })
    writeFileSync(join(stage, place), text, { mode: place.startsWith('bin/') ? 0o755 : 0o644 })
  }
  for (const asset of assets[manifest.name] ?? []) cpSync(join(folder, asset), join(stage, asset), { recursive: true })
  writeFileSync(join(stage, 'README.md'), publishedReadme(published))
  cpSync(join(root, 'LICENSE'), join(stage, 'LICENSE'))
  const folders = readdirSync(stage, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const whole = publishedManifest(published, imports, folders.map(({ name }) => name).sort())
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(whole, undefined, 2)}\n`)
  const told = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', out], {
    cwd: stage,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const packed = JSON.parse(told)
  const { filename, size, unpackedSize, entryCount } = (Array.isArray(packed) ? packed : Object.values(packed))[0]
  return { filename, size, unpackedSize, entryCount }
}

const kib = (bytes) => `${(bytes / 1024).toFixed(0)} KiB`.padStart(9)
rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
for (const published of workspaces.filter(({ manifest }) => manifest.private !== true)) {
  const { filename, size, unpackedSize, entryCount } = pack(published)
  console.log(`${filename.padEnd(32)} ${kib(size)} packed ${kib(unpackedSize)} installed ${entryCount} files`)
}
