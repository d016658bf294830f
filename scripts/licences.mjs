// Whether everything in the lock file may be used as it is: `npm run licences`. Status 1 and a line for each package whose licence is not
// on the list below; what is only used to build and test may have a few more.
import { fileURLToPath } from 'node:url'
import { lockedPackages, readLockfile } from './lockfile.mjs'

/** Permissive, with no condition but that they are named. */
const shipped = new Set(['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'Zlib'])
/** Of tools. MPL-2.0 speaks of changes to its own files, which nobody makes here. */
const tools = new Set([...shipped, 'MPL-2.0', 'BlueOak-1.0.0', 'CC0-1.0', 'Python-2.0'])

/** Whether an SPDX expression can be met by a list of licences: one side of an OR, both of an AND. */
export function isAllowed(expression, allowed) {
  const text = expression.trim()
  for (const [operator, meet] of [
    [' OR ', 'some'],
    [' AND ', 'every'],
  ]) {
    const parts = splitOutside(text, operator)
    if (parts.length > 1) return parts[meet]((part) => isAllowed(part, allowed))
  }
  if (text.startsWith('(') && text.endsWith(')')) return isAllowed(text.slice(1, -1), allowed)
  return allowed.has(text)
}

/** Splits at an operator that stands in no brackets. */
function splitOutside(text, operator) {
  const parts = []
  let depth = 0
  let from = 0
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '(') depth++
    else if (text[at] === ')') depth--
    else if (depth === 0 && text.startsWith(operator, at)) {
      parts.push(text.slice(from, at))
      from = at + operator.length
      at = from - 1
    }
  }
  return [...parts, text.slice(from)]
}

/** Packages with a licence that is not allowed where they are used, each as a line for people. */
export function licenceFaults(lock) {
  return lockedPackages(lock).flatMap(({ place, name, version, entry }) => {
    const isTool = entry.dev === true || entry.devOptional === true
    if (typeof entry.license !== 'string') return [`${name} ${version} (${place}) names no licence`]
    if (isAllowed(entry.license, isTool ? tools : shipped)) return []
    return [`${name} ${version} (${place}): ${entry.license}, ${isTool ? 'a tool' : 'part of what runs'}`]
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const lock = readLockfile(fileURLToPath(new URL('..', import.meta.url)))
  const all = lockedPackages(lock)
  const counts = new Map()
  for (const { entry } of all) counts.set(entry.license, (counts.get(entry.license) ?? 0) + 1)
  for (const [licence, count] of [...counts].sort((a, b) => b[1] - a[1]))
    console.log(`${String(count).padStart(4)} ${licence}`)
  const faults = licenceFaults(lock)
  for (const fault of faults) console.error(`not allowed: ${fault}`)
  console.log(`${all.length} packages, ${faults.length} not allowed`)
  process.exitCode = faults.length === 0 ? 0 : 1
}
