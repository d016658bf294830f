// What package-lock.json says, for everything that asks: licences, bills of materials, counts, the container's contents.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * A package of the lock file.
 * @typedef {{ place: string, name: string, version: string, entry: any }} Locked  `place`: `node_modules/…`
 */

/** @returns {Map<string, any>} the entries by their places */
export function readLockfile(root) {
  const { lockfileVersion, packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  if (lockfileVersion !== 3) throw new Error(`package-lock.json has version ${lockfileVersion}, not 3`)
  return new Map(Object.entries(packages))
}

/** The name that a place gives: `@a/b` of `node_modules/c/node_modules/@a/b`. */
export function nameOf(place) {
  return place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length)
}

/** Everything that comes from the registry. @returns {Locked[]} by place */
export function lockedPackages(lock) {
  const found = []
  for (const [place, entry] of lock) {
    if (!place.includes('node_modules/') || entry.link === true) continue
    found.push({ place, name: entry.name ?? nameOf(place), version: entry.version, entry })
  }
  return found.sort((a, b) => (a.place < b.place ? -1 : 1))
}

/** Where Node finds a package, seen from another: the nearest `node_modules` above it that has it. */
function placeFrom(lock, from, name) {
  for (let above = from; ; ) {
    const place = above === '' ? `node_modules/${name}` : `${above}/node_modules/${name}`
    if (lock.has(place)) return place
    if (above === '') return undefined
    const cut = above.lastIndexOf('/node_modules/')
    above = cut >= 0 ? above.slice(0, cut) : ''
  }
}

/** The manifests of the packages as they are published, by name: what `npm run pack` has left in a folder. */
export function readPublished(folder) {
  const found = new Map()
  for (const entry of existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : []) {
    if (!entry.isDirectory()) continue
    const manifest = JSON.parse(readFileSync(join(folder, entry.name, 'package.json'), 'utf8'))
    found.set(manifest.name, manifest)
  }
  if (found.size === 0) throw new Error(`${folder} is empty: npm run pack fills dist-packages`)
  return found
}

/**
 * What whoever installs a published package gets with it: its dependencies and theirs. Peers that are optional are the
 * user's choice, and are left out.
 *
 * @param {Map<string, any>} lock
 * @param {Map<string, any>} published by name
 * @returns {Locked[]} by place; our own packages are not among them
 */
export function productionClosure(lock, published, name) {
  const found = new Map()
  const ours = new Set()
  const waiting = []
  const want = (from, wanted) => {
    for (const dependency of wanted) {
      if (published.has(dependency)) takeOurs(dependency)
      else {
        const place = placeFrom(lock, from, dependency)
        if (place === undefined) throw new Error(`${from} needs ${dependency}, which is not in the lock file`)
        waiting.push(place)
      }
    }
  }
  const takeOurs = (own) => {
    if (ours.has(own)) return
    ours.add(own)
    want(lock.get(`node_modules/${own}`).resolved, Object.keys(published.get(own).dependencies ?? {}))
  }
  takeOurs(name)
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    if (found.has(place)) continue
    const entry = lock.get(place)
    found.set(place, { place, name: entry.name ?? nameOf(place), version: entry.version, entry })
    const optional = entry.peerDependenciesMeta ?? {}
    const peers = Object.keys(entry.peerDependencies ?? {}).filter((peer) => optional[peer]?.optional !== true)
    want(place, [...Object.keys(entry.dependencies ?? {}), ...peers])
  }
  return [...found.values()].sort((a, b) => (a.place < b.place ? -1 : 1))
}
