import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

/** A package as `npm run pack` wrote it. */
export interface Packed {
  readonly name: string
  readonly tarball: string
  /** What is in the tarball, unpacked. */
  readonly folder: string
  readonly manifest: {
    readonly version: string
    readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string } | string>>
    readonly dependencies?: Readonly<Record<string, string>>
  }
}

/** The names of the packages that are published, without their scope. */
export const publishedNames = ['client', 'server', 'cli', 'testing', 'keyv'] as const

/** Packs all of them into a folder, and returns what the packer printed: a line for each, with its size. */
export function packAll(root: string, out: string): { readonly packed: readonly Packed[]; readonly printed: string } {
  const printed = execFileSync(process.execPath, [join(root, 'scripts/pack.mjs'), out], { encoding: 'utf8' })
  const packed = publishedNames.map((name): Packed => {
    const folder = join(out, name)
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Packed['manifest']
    return { name, folder, manifest, tarball: join(out, `quorumkv-${name}-${manifest.version}.tgz`) }
  })
  return { packed, printed }
}

/** What stands for a declaration that is another package's. */
function elsewhere(exported: ts.Symbol): string {
  const [specifier] = exported.declarations ?? []
  const from = specifier !== undefined && ts.isExportSpecifier(specifier) ? specifier.parent.parent : undefined
  if (from?.moduleSpecifier === undefined) throw new Error(`${exported.name} is declared nowhere`)
  return `of ${from.moduleSpecifier.getText()}`
}

/**
 * What users can name of an entry: every exported name with its declaration, comments and private members apart. Private
 * modules that it mentions are not followed: a change there shows where it reaches a public declaration.
 */
export function publicFace(typesPath: string): string {
  const program = ts.createProgram([typesPath], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    types: [],
  })
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(typesPath)
  const symbol = source === undefined ? undefined : checker.getSymbolAtLocation(source)
  if (symbol === undefined) throw new Error(`${typesPath} is no module`)
  const printer = ts.createPrinter({ removeComments: true })
  const lines: string[] = []
  for (const exported of checker.getExportsOfModule(symbol)) {
    const target = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
    const texts = (target.declarations ?? []).map((declaration) => {
      // The declaration of a constant is one part of the statement that declares it.
      const whole = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration
      const text = printer.printNode(ts.EmitHint.Unspecified, whole, whole.getSourceFile())
      return text.replace(/^(export |declare )+/, '').replace(/^ {4}(#private|private [^\n]*);\n/gm, '')
    })
    lines.push(`// ${exported.name}\n${texts.length > 0 ? texts.join('\n') : elsewhere(exported)}\n`)
  }
  return lines.sort().join('\n')
}
