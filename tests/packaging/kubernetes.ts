import { fileURLToPath } from 'node:url'
import * as apps from 'kubernetes-models/apps/v1'
import * as networking from 'kubernetes-models/networking.k8s.io/v1'
import * as policy from 'kubernetes-models/policy/v1'
import * as core from 'kubernetes-models/v1'
import ts from 'typescript'
import { z } from 'zod'
import type { Manifest } from './chart.js'

interface Model {
  validate(): void
}

/** The kinds that the chart makes: the package that knows them. */
const models: Readonly<Record<string, [module: string, kinds: Readonly<Record<string, unknown>>]>> = {
  'apps/v1': ['kubernetes-models/apps/v1', apps],
  v1: ['kubernetes-models/v1', core],
  'policy/v1': ['kubernetes-models/policy/v1', policy],
  'networking.k8s.io/v1': ['kubernetes-models/networking.k8s.io/v1', networking],
}

const labels = z.record(z.string(), z.string())
const secretKey = z.strictObject({ name: z.string().min(1), key: z.string().min(1) })

/** The part of https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.ServiceMonitor that is used. */
const serviceMonitor = z.strictObject({
  apiVersion: z.literal('monitoring.coreos.com/v1'),
  kind: z.literal('ServiceMonitor'),
  metadata: z.strictObject({ name: z.string(), labels }),
  spec: z.strictObject({
    jobLabel: z.string(),
    selector: z.strictObject({ matchLabels: labels }),
    endpoints: z.array(
      z.strictObject({
        port: z.string(),
        path: z.string(),
        interval: z.string().regex(/^\d+[smh]$/),
        scheme: z.enum(['http', 'https']),
        tlsConfig: z.strictObject({ ca: z.strictObject({ secret: secretKey }), serverName: z.string() }).optional(),
        authorization: z.strictObject({ credentials: secretKey }).optional(),
      }),
    ),
  }),
})

/** What the schemas of Kubernetes refuse in a manifest. Fields that they do not know they let pass: `unknownFields`. */
export function schemaFaults(manifest: Manifest): string[] {
  if (manifest.kind === 'ServiceMonitor') {
    return (
      serviceMonitor.safeParse(manifest).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? []
    )
  }
  const Kind = models[manifest.apiVersion]?.[1][manifest.kind] as (new (given: object) => Model) | undefined
  if (Kind === undefined) return [`${manifest.apiVersion} ${manifest.kind} is unknown`]
  try {
    new Kind(manifest).validate()
    return []
  } catch (error) {
    return [`${manifest.kind} ${manifest.metadata.name}: ${error instanceof Error ? error.message : error}`]
  }
}

/** Fields that Kubernetes does not have, found by TypeScript, which refuses them in literals of the types of manifests. */
export function unknownFields(manifests: readonly Manifest[]): string[] {
  const typed = manifests.filter(({ apiVersion }) => models[apiVersion] !== undefined)
  const lines = typed.map(({ apiVersion, kind, ...rest }, i) => {
    const literal = JSON.stringify({ apiVersion, kind, ...rest })
    return `const m${i}: import('${models[apiVersion]![0]}').I${kind} = ${literal}`
  })
  const file = fileURLToPath(new URL('manifests.generated.ts', import.meta.url))
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    types: [],
  }
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists, readFile } = host
  const text = `${lines.join('\n')}\nexport {}\n`
  host.fileExists = (name) => name === file || fileExists.call(host, name)
  host.readFile = (name) => (name === file ? text : readFile.call(host, name))
  host.getSourceFile = (name, version, ...rest) =>
    name === file ? ts.createSourceFile(name, text, version, true) : getSourceFile.call(host, name, version, ...rest)
  const program = ts.createProgram([file], options, host)
  return ts.getPreEmitDiagnostics(program).map(({ messageText, file: source, start }) => {
    const line = source === undefined || start === undefined ? 0 : source.getLineAndCharacterOfPosition(start).line
    const about = typed[line]
    return `${about?.kind} ${about?.metadata.name}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
  })
}
