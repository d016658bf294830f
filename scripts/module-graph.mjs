// What a published package has to contain: the modules that its entries reach, its own and those of the private
// packages (docs/adr/0046-what-is-published.md). Nothing here writes.
import { readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, posix, relative, sep } from 'node:path'
import ts from 'typescript'

/**
 * A package of this repository.
 * @typedef {{ folder: string, manifest: any }} Package  `folder`: its absolute path
 */

/** The manifest of a folder. */
export function readPackage(folder) {
  return { folder, manifest: JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) }
}

/** The name of the package that a specifier belongs to: `@a/b/c` is of `@a/b`, `d/e` of `d`. */
export function packageOf(specifier) {
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]
}

/** Every module that a file names: of imports, exports, `import()` and types; with the places of the names in the text. */
export function specifiersOf(path, text) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, false, ts.ScriptKind.TS)
  const found = []
  const take = (literal) => {
    if (literal !== undefined && ts.isStringLiteralLike(literal))
      found.push({ name: literal.text, start: literal.getStart(source) + 1, end: literal.end - 1 })
  }
  const visit = (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) take(node.moduleSpecifier)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) take(node.arguments[0])
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) take(node.argument.literal)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** The file that a specifier of a private package stands for, by that package's `exports`. */
function resolvePrivate({ folder, manifest }, specifier) {
  const subpath = `.${specifier.slice(manifest.name.length)}`
  for (const [pattern, target] of Object.entries(manifest.exports)) {
    if (pattern === subpath) return join(folder, target)
    const [before, after] = pattern.split('*')
    if (after === undefined || !subpath.startsWith(before) || !subpath.endsWith(after)) continue
    return join(folder, target.replace('*', subpath.slice(before.length, subpath.length - after.length)))
  }
  throw new Error(`${manifest.name} does not export ${specifier}`)
}

/** Where a file of a private package goes within the published one: `internal/dist/base/x.js` to `internal/base/x.js`. */
function privatePlace(root, path) {
  return relative(root, path).split(sep).join('/').replace('/dist/', '/')
}

/** The relative specifier by which one file of the published package names another. */
function relativeSpecifier(from, to) {
  const path = posix.relative(posix.dirname(from), to)
  return path.startsWith('.') ? path : `./${path}`
}

/**
 * Follows all modules from the entries on.
 *
 * @param {string} root of the repository
 * @param {Package} published
 * @param {ReadonlyMap<string, Package>} privatePackages by name
 * @param {readonly string[]} entries paths within the published package: `.js`, or `.d.ts` for what types need
 * @returns {{ files: Map<string, string>, imports: Map<string, Set<Package>> }} the text of each file by its place in
 *   the published package, and the names of packages that are imported, each with the packages whose files do
 */
export function traceModules(root, published, privatePackages, entries) {
  const files = new Map()
  const imports = new Map()
  const waiting = entries.map((entry) => join(published.folder, entry))
  const owners = [published, ...privatePackages.values()]
  const ownerOf = (path) => owners.find(({ folder }) => path.startsWith(join(folder, 'dist') + sep)) ?? published
  const placeOf = (path) => {
    const owner = ownerOf(path)
    return owner === published ? relative(published.folder, path).split(sep).join('/') : privatePlace(root, path)
  }
  const resolve = (path, specifier) => {
    const typed = (target) => (path.endsWith('.d.ts') ? target.replace(/\.js$/, '.d.ts') : target)
    if (specifier.startsWith('.')) return typed(join(dirname(path), specifier))
    const owner = privatePackages.get(packageOf(specifier))
    return owner === undefined ? undefined : typed(resolvePrivate(owner, specifier))
  }
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const place = placeOf(path)
    if (files.has(place)) continue
    const text = readFileSync(path, 'utf8')
    let out = ''
    let taken = 0
    for (const { name, start, end } of specifiersOf(path, text)) {
      const target = resolve(path, name)
      if (target === undefined) {
        if (isBuiltin(name)) continue
        const importers = imports.get(packageOf(name)) ?? new Set()
        imports.set(packageOf(name), importers.add(ownerOf(path)))
        continue
      }
      waiting.push(target)
      const named = relativeSpecifier(place, placeOf(target)).replace(/\.d\.ts$/, '.js')
      out += text.slice(taken, start) + named
      taken = end
    }
    // Maps lead to sources that are not published.
    files.set(place, (out + text.slice(taken)).replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n'))
  }
  return { files, imports }
}
