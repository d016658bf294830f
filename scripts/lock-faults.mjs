// What must hold of every dependency: one version, by its hash, from the registry, with nothing that runs when it is installed.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { lockedPackages } from './lockfile.mjs'

/** Packages that would run something when installed. None needs to: .npmrc and package.json forbid it, and all works without. */
const scripted = ['protobufjs']
const exact = /^(npm:(@[\w.-]+\/)?[\w.-]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/

/** Every manifest of the repository with its path. */
export function readManifests(root) {
  const read = (path) => ({ path, manifest: JSON.parse(readFileSync(join(root, path), 'utf8')) })
  const top = read('package.json')
  return [top, ...top.manifest.workspaces.map((folder) => read(`${folder}/package.json`))]
}

/** Dependencies that are not pinned to one version. Peers are the user's, and may be ranges. */
export function pinFaults(manifests) {
  return manifests.flatMap(({ path, manifest }) =>
    ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((kind) =>
      Object.entries(manifest[kind] ?? {})
        .filter(([, version]) => !exact.test(version))
        .map(([name, version]) => `${path}: ${kind}.${name} is ${version}, not one version`),
    ),
  )
}

/** What is wrong with entries of the lock file. */
export function lockFaults(lock) {
  const packages = lockedPackages(lock)
  const faults = packages.flatMap(({ place, entry }) => {
    const found = []
    if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(entry.integrity ?? '')) found.push(`${place} has no sha512`)
    // Without an address npm asks the registry that it is set to.
    const { resolved } = entry
    if (resolved !== undefined && !resolved.startsWith('https://registry.npmjs.org/'))
      found.push(`${place} comes from ${resolved}`)
    return found
  })
  const running = [...new Set(packages.filter(({ entry }) => entry.hasInstallScript === true).map(({ name }) => name))]
  const more = running
    .filter((name) => !scripted.includes(name))
    .map((name) => `${name} would run a script when installed`)
  const fewer = scripted
    .filter((name) => !running.includes(name))
    .map((name) => `${name} has no script any more: take it off the list`)
  return [...faults, ...more, ...fewer]
}
