// The bill of materials of what runs, CycloneDX 1.5: `npm run sbom -- [FILE]`. npm makes it of the lock file; what it says of this
// machine and this moment is left out, so that one commit has one bill.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { lockedPackages, readLockfile } from './lockfile.mjs'

/**
 * What is no tool of ours, by the lock file. (`npm sbom --omit dev` leaves out what is both: a tool of the repository and
 * a dependency of a package.)
 */
function shippedOf(root) {
  const shipped = lockedPackages(readLockfile(root)).filter(
    ({ entry }) => entry.dev !== true && entry.devOptional !== true,
  )
  return new Set(shipped.map(({ name, version }) => `${name}@${version}`))
}

/** @param {string} root @returns the bill */
export function billOfMaterials(root) {
  const argv = ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only']
  const stdio = ['ignore', 'pipe', 'ignore']
  const told = execFileSync('npm', argv, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26, stdio })
  const { serialNumber: _, ...bill } = JSON.parse(told)
  const { timestamp: __, tools: ___, ...metadata } = bill.metadata
  // npm calls it after the folder.
  const component = { ...metadata.component, name: 'quorumkv' }
  const shipped = shippedOf(root)
  const ours = ({ name }) => name.startsWith('@quorumkv/')
  const isShipped = (each) => ours(each) || shipped.has(decodeURIComponent(each.purl.slice('pkg:npm/'.length)))
  const byRef = (key) => (a, b) => (a[key] < b[key] ? -1 : 1)
  const components = bill.components.filter(isShipped).sort(byRef('bom-ref'))
  const refs = new Set([component['bom-ref'], ...components.map((each) => each['bom-ref'])])
  const dependencies = bill.dependencies
    .filter(({ ref }) => refs.has(ref))
    .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter((each) => refs.has(each)).sort() }))
    .sort(byRef('ref'))
  return { ...bill, metadata: { ...metadata, component }, components, dependencies }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const bill = billOfMaterials(fileURLToPath(new URL('..', import.meta.url)))
  const text = `${JSON.stringify(bill, undefined, 2)}\n`
  const [file] = process.argv.slice(2)
  if (file === undefined) process.stdout.write(text)
  else {
    writeFileSync(file, text)
    console.log(`${file}: ${bill.components.length} components`)
  }
}
