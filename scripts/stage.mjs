// Lays out what runs: OUT/node_modules with the server, the command line and exactly the packages that the lock file names for them.
//   npm run pack && node scripts/stage.mjs /opt/quorumkv [FOLDER]
// FOLDER has what `npm run pack` made, if that is not dist-packages.
// Nothing is asked of a registry: what is copied is what `npm ci` installed.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { productionClosure, readLockfile, readPublished } from './lockfile.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const [target, packed] = process.argv.slice(2)
if (target === undefined) {
  console.error('usage: node scripts/stage.mjs OUT [FOLDER]')
  process.exit(2)
}
const out = resolve(target)
const published = ['server', 'client', 'cli']
const tarballs = resolve(packed ?? join(root, 'dist-packages'))
const lock = readLockfile(root)
const manifests = readPublished(tarballs)

for (const name of published) {
  const tarball = existsSync(tarballs)
    ? readdirSync(tarballs).find((file) => new RegExp(`^quorumkv-${name}-\\d.*\\.tgz$`).test(file))
    : undefined
  if (tarball === undefined) throw new Error(`${tarballs} has no package ${name}: npm run pack makes it`)
  const folder = join(out, 'node_modules/@quorumkv', name)
  mkdirSync(folder, { recursive: true })
  execFileSync('tar', ['-xzf', join(tarballs, tarball), '-C', folder, '--strip-components=1', '--no-same-owner'])
}

const places = new Set(
  published.flatMap((name) => productionClosure(lock, manifests, `@quorumkv/${name}`).map(({ place }) => place)),
)
for (const place of [...places].sort()) {
  if (!existsSync(join(root, place))) throw new Error(`${place} is not installed: npm ci does that`)
  mkdirSync(dirname(join(out, place)), { recursive: true })
  // Packages below it are in the lock file for themselves, or are not needed.
  cpSync(join(root, place), join(out, place), {
    recursive: true,
    filter: (path) => !path.slice(root.length + place.length).includes('/node_modules'),
  })
}
cpSync(join(root, 'LICENSE'), join(out, 'LICENSE'))
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
console.log(`${out}: QuorumKV ${version} and ${places.size} packages that it needs`)
