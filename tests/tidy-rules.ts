import { posix } from 'node:path'
import ts from 'typescript'

/** Where a file breaks a rule of the house, and what to do instead. */
export interface Violation {
  readonly file: string
  readonly line: number
  readonly message: string
}

/** Which folders of `internal/` each may import; `type:` in front: types only. */
const layers: Readonly<Record<string, readonly string[]>> = {
  base: [],
  env: ['base'],
  hlc: ['base', 'type:env'],
  hash: [],
  slots: ['base', 'hash'],
  quorum: ['base'],
  consensus: ['base'],
  swim: ['base', 'type:env'],
  merkle: ['base', 'hash', 'hlc', 'slots'],
  record: ['base', 'hlc'],
  wal: ['base', 'env', 'hash', 'hlc', 'record'],
  store: ['base', 'env', 'hash', 'hlc', 'record', 'wal', 'slots'],
  hints: ['base', 'env', 'hash', 'hlc', 'record', 'wal'],
  replication: ['base', 'env', 'hash', 'hlc', 'slots', 'quorum', 'merkle', 'record', 'wal', 'store', 'hints', 'proto'],
  cluster: [
    'base',
    'env',
    'hash',
    'hlc',
    'slots',
    'quorum',
    'consensus',
    'swim',
    'record',
    'wal',
    'store',
    'hints',
    'replication',
    'proto',
  ],
  backup: ['base', 'env', 'hash', 'hlc', 'slots', 'record', 'wal', 'store'],
  'env-node': ['base', 'env'],
  'env-sim': ['base', 'env'],
}

/** What the folders marked `proto` see of it: messages, no service and so no gRPC. */
const peerMessages = '@quorumkv/proto/kv/peer/v1/messages'

/** Directories of backups are the command line's own: nobody else has them before their eyes. */
const cliInternals = /^@quorumkv\/internal\/(backup|env-node)$/

/** Which of our packages each package may import; `bench` and `tests` may import all. The longest folder decides. */
const packages: readonly { readonly folder: string; readonly sees: readonly RegExp[] }[] = [
  { folder: 'client-sdk/cli/', sees: [/^@quorumkv\/client$/, /^@quorumkv\/server\/local$/, cliInternals] },
  { folder: 'client-sdk/keyv/', sees: [/^@quorumkv\/client$/] },
  { folder: 'client-sdk/', sees: [/^@quorumkv\/proto\//, /^@quorumkv\/internal\/hash$/] },
  { folder: 'server/', sees: [/^@quorumkv\/proto\//, /^@quorumkv\/internal\//] },
  { folder: 'proto/', sees: [] },
  { folder: 'tests/testing/', sees: [/^@quorumkv\/client$/, /^@quorumkv\/server/, /^@quorumkv\/internal\//] },
]

/** What `internal/` must not touch, and what to use instead. */
const banned: Readonly<Record<string, string>> = {
  Date: 'Clock.wallMs',
  performance: 'Clock.monotonicMs',
  setTimeout: 'Clock.setTimer',
  setInterval: 'Clock.setTimer',
  setImmediate: 'Clock.defer',
  queueMicrotask: 'Clock.defer',
  process: 'an argument from the composition root',
  crypto: 'Random',
}

/** The simulator drains microtasks between two events of virtual time by the one means that Node has. */
const excepted: Readonly<Record<string, readonly string[]>> = {
  'internal/env-sim/barrier.ts': ['setImmediate'],
}

const bannedModules: readonly (readonly [RegExp, string])[] = [
  [/^(fs|fs\/promises)$/, 'Disk'],
  [/^(net|tls|dgram|dns|http|https|http2)$/, 'Network'],
  [/^(crypto)$/, 'Random'],
  [/^(timers|timers\/promises|perf_hooks)$/, 'Clock'],
]

const linesMax = 400
const testLinesMax = 600

/** Tests, and what only tests import: they may look upwards and use the real machine. */
function isTest(file: string): boolean {
  if (/\.(test|test-support|conformance)\.ts$/.test(file)) return true
  return file.startsWith('tests/') && !file.startsWith('tests/testing/src/')
}

/** Checks one TypeScript file by its path in the repository and its text. */
export function checkFile(file: string, text: string): Violation[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const check = new FileCheck(file, source)
  check.run()
  return check.violations
}

interface Import {
  readonly node: ts.Node
  readonly specifier: string
  readonly typeOnly: boolean
}

class FileCheck {
  readonly violations: Violation[] = []
  readonly #file: string
  readonly #source: ts.SourceFile
  /** The names that each function, block and so on declares. */
  readonly #scopes = new Map<ts.Node, Set<string>>()
  readonly #seams: boolean

  constructor(file: string, source: ts.SourceFile) {
    this.#file = file
    this.#source = source
    this.#seams = file.startsWith('internal/') && !file.startsWith('internal/env-node/') && !isTest(file)
  }

  run(): void {
    const most = isTest(this.#file) ? testLinesMax : linesMax
    const lines = this.#source.text.trimEnd().split('\n').length
    if (lines > most) this.#report(this.#source.endOfFileToken, `${lines} lines, more than ${most}: split the file`)
    this.#declare(this.#source)
    this.#visit(this.#source)
  }

  #report(node: ts.Node, message: string): void {
    this.#reportAt(node.getStart(this.#source), message)
  }

  #reportAt(position: number, message: string): void {
    const line = this.#source.getLineAndCharacterOfPosition(position).line + 1
    this.violations.push({ file: this.#file, line, message })
  }

  #declare(node: ts.Node): void {
    const name = declaredName(node)
    if (name !== undefined) {
      const scope = scopeOf(node)
      const names = this.#scopes.get(scope) ?? new Set()
      this.#scopes.set(scope, names.add(name))
    }
    ts.forEachChild(node, (child) => this.#declare(child))
  }

  #isDeclared(name: string, at: ts.Node): boolean {
    for (let node: ts.Node | undefined = at; node !== undefined; node = node.parent) {
      if (this.#scopes.get(node)?.has(name) === true) return true
    }
    return false
  }

  #visit(node: ts.Node): void {
    const imported = importOf(node)
    if (imported !== undefined) this.#checkImport(imported)
    if (this.#seams && ts.isIdentifier(node)) this.#checkGlobal(node)
    if (node.kind === ts.SyntaxKind.AnyKeyword) this.#report(node, '`any`: use unknown, or the type')
    if (ts.isCatchClause(node) && node.block.statements.length === 0) {
      this.#report(node, 'an empty catch swallows the error: handle it, or let it pass')
    }
    if (ts.isCallExpression(node)) this.#checkCall(node)
    if (ts.isPropertyAccessExpression(node)) this.#checkFocus(node)
    if (node.getChildCount(this.#source) === 0) this.#checkComments(node)
    for (const child of node.getChildren(this.#source)) this.#visit(child)
  }

  // --- imports

  #checkImport(found: Import): void {
    const { node, specifier } = found
    if (isTest(this.#file) || this.#file.startsWith('bench/')) return
    const [top = '', folder = ''] = this.#file.split('/')
    if (top === 'internal') {
      this.#checkInternalImport(found, folder)
      return
    }
    const rule = packages.find((candidate) => this.#file.startsWith(candidate.folder))
    if (rule === undefined) return
    if (specifier.startsWith('.')) {
      const target = this.#resolve(specifier)
      const home = packages.find((candidate) => target.startsWith(candidate.folder))
      if (home !== rule) this.#report(node, `${specifier} leaves the package: import the other package by its name`)
    } else if (specifier.startsWith('@quorumkv/') && !rule.sees.some((pattern) => pattern.test(specifier))) {
      this.#report(node, `${rule.folder} does not see ${specifier}`)
    }
  }

  #checkInternalImport({ node, specifier, typeOnly }: Import, folder: string): void {
    const allowed = layers[folder]
    if (allowed === undefined) {
      this.#report(node, `internal/${folder} is not in the table of layers (tests/tidy-rules.ts)`)
      return
    }
    if (!specifier.startsWith('.')) {
      this.#checkForeignImport(node, specifier, folder, allowed)
      return
    }
    const target = this.#resolve(specifier)
    const [top, targetFolder = ''] = target.split('/')
    if (top !== 'internal') {
      this.#report(node, `${specifier} leaves internal/`)
    } else if (targetFolder !== folder) {
      if (posix.basename(target) !== 'index.js') {
        this.#report(node, `${specifier}: import internal/${targetFolder} by its index.js`)
      }
      const sees = allowed.includes(targetFolder) || (typeOnly && allowed.includes(`type:${targetFolder}`))
      if (!sees) this.#report(node, `internal/${folder} does not see internal/${targetFolder}`)
    }
  }

  #checkForeignImport(node: ts.Node, specifier: string, folder: string, allowed: readonly string[]): void {
    if (allowed.includes('proto') && specifier === peerMessages) return
    if (folder === 'env-node' && specifier.startsWith('node:')) return
    if (folder === 'hash' && specifier === 'node:zlib') return
    if (specifier.startsWith('@quorumkv/') || !isNodeModule(specifier)) {
      this.#report(node, `internal/${folder} does not see ${specifier}`)
      return
    }
    const name = specifier.replace(/^node:/, '')
    const instead = bannedModules.find(([pattern]) => pattern.test(name))?.[1]
    const advice = instead === undefined ? 'nothing of Node here' : `use ${instead}`
    this.#report(node, `internal/${folder} must not import ${specifier}: ${advice}`)
  }

  #resolve(specifier: string): string {
    return posix.join(posix.dirname(this.#file), specifier)
  }

  // --- globals

  #checkGlobal(node: ts.Identifier): void {
    const { parent, text } = node
    if (ts.isPropertyAccessExpression(parent) && parent.name === node) {
      const object = parent.expression.getText(this.#source)
      if (object === 'Math' && text === 'random') this.#report(node, 'Math.random: use Random')
      if (object !== 'globalThis') return
    } else if (isNameOnly(node) || this.#isDeclared(text, node)) {
      return
    }
    if (excepted[this.#file]?.includes(text) === true) return
    if (Object.hasOwn(banned, text)) this.#report(node, `${text}: use ${banned[text]}`)
  }

  // --- tests and errors

  #checkCall(node: ts.CallExpression): void {
    const callee = node.expression
    if (ts.isPropertyAccessExpression(callee) && callee.name.text === 'catch' && isEmptyFunction(node.arguments[0])) {
      this.#report(callee.name, 'an empty catch swallows the error: handle it, or let it pass')
    }
    if (!isTestFunction(callee)) return
    for (const argument of node.arguments) {
      if (!ts.isObjectLiteralExpression(argument)) continue
      for (const property of argument.properties) {
        const name = property.name?.getText(this.#source)
        if (name !== undefined && isFocus(name)) this.#report(property, `${name}: every test runs`)
      }
    }
  }

  #checkFocus(node: ts.PropertyAccessExpression): void {
    if (isFocus(node.name.text) && isTestFunction(node.expression)) {
      this.#report(node.name, `.${node.name.text}: every test runs`)
    }
  }

  /** What stands before a token is white space and comments. */
  #checkComments(token: ts.Node): void {
    const trivia = this.#source.text.slice(token.pos, token.getStart(this.#source))
    for (const { index } of trivia.matchAll(/\b(TODO|FIXME)\b/g)) {
      this.#reportAt(token.pos + index, 'a comment that promises work: do it, or write it down where work is planned')
    }
  }
}

function isFocus(name: string): boolean {
  return name === 'only' || name === 'skip' || name === 'todo'
}

/** `test`, `describe.concurrent`, and so on. */
function isTestFunction(node: ts.Expression): boolean {
  if (ts.isPropertyAccessExpression(node)) return isTestFunction(node.expression)
  return ts.isIdentifier(node) && ['test', 'it', 'describe', 'suite', 'bench'].includes(node.text)
}

function isEmptyFunction(node: ts.Node | undefined): boolean {
  if (node === undefined || !(ts.isArrowFunction(node) || ts.isFunctionExpression(node))) return false
  return ts.isBlock(node.body) && node.body.statements.length === 0
}

function isNodeModule(specifier: string): boolean {
  return specifier.startsWith('node:') || bannedModules.some(([pattern]) => pattern.test(specifier))
}

/** The import, export-from, dynamic import or `import('…')` type that the node is. */
function importOf(node: ts.Node): Import | undefined {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
    return { node, specifier: node.moduleSpecifier.text, typeOnly: isTypeOnlyImport(node.importClause) }
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier)) {
    const names = node.exportClause
    const each = names !== undefined && ts.isNamedExports(names) && names.elements.every((name) => name.isTypeOnly)
    return { node, specifier: node.moduleSpecifier.text, typeOnly: node.isTypeOnly || each }
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const [argument] = node.arguments
    const known = argument !== undefined && ts.isStringLiteralLike(argument)
    return { node, specifier: known ? argument.text : '(computed)', typeOnly: false }
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
    return { node, specifier: node.argument.literal.text, typeOnly: true }
  }
  return undefined
}

function isTypeOnlyImport(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false
  if (clause.isTypeOnly) return true
  const names = clause.namedBindings
  if (clause.name !== undefined || names === undefined || !ts.isNamedImports(names)) return false
  return names.elements.length > 0 && names.elements.every((name) => name.isTypeOnly)
}

function declaredName(node: ts.Node): string | undefined {
  const declares =
    ts.isVariableDeclaration(node) ||
    ts.isParameter(node) ||
    ts.isBindingElement(node) ||
    ts.isFunctionDeclaration(node) ||
    ts.isClassDeclaration(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node) ||
    ts.isImportClause(node) ||
    ts.isImportSpecifier(node) ||
    ts.isNamespaceImport(node)
  return declares && node.name !== undefined && ts.isIdentifier(node.name) ? node.name.text : undefined
}

/** Where a declaration can be seen: its function, block or file. (`var` is not used here.) */
function scopeOf(declaration: ts.Node): ts.Node {
  let node = declaration.parent
  while (
    !ts.isFunctionLike(node) &&
    !ts.isBlock(node) &&
    !ts.isForStatement(node) &&
    !ts.isForOfStatement(node) &&
    !ts.isForInStatement(node) &&
    !ts.isCatchClause(node) &&
    !ts.isCaseBlock(node) &&
    !ts.isSourceFile(node)
  ) {
    node = node.parent
  }
  return node
}

/** Names of members, labels and the like, which refer to nothing global. */
function isNameOnly(node: ts.Identifier): boolean {
  const { parent } = node
  if (ts.isShorthandPropertyAssignment(parent)) return false
  if (ts.isQualifiedName(parent)) return parent.right === node
  if (ts.isBindingElement(parent) || ts.isImportSpecifier(parent) || ts.isExportSpecifier(parent)) {
    return parent.propertyName === node || parent.name === node
  }
  return 'name' in parent && parent.name === node
}
