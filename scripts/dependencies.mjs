// How many packages come with each of ours: `npm run dependencies`, after `npm run pack`. With a name (`server`): which they are.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { productionClosure, readLockfile, readPublished } from './lockfile.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const lock = readLockfile(root)
const published = readPublished(join(root, 'dist-packages'))
const [wanted] = process.argv.slice(2)
for (const [name, { dependencies = {} }] of [...published].sort()) {
  if (wanted !== undefined && name !== `@quorumkv/${wanted}`) continue
  const closure = productionClosure(lock, published, name)
  const direct = Object.keys(dependencies).filter((each) => !published.has(each)).length
  console.log(`${name.padEnd(18)} ${String(direct).padStart(3)} direct ${String(closure.length).padStart(4)} in all`)
  if (wanted !== undefined) for (const { name: each, version } of closure) console.log(`  ${each} ${version}`)
}
