import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Ajv } from 'ajv'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { Templates } from './go-template.js'

const folder = fileURLToPath(new URL('../../packaging/helm/quorumkv/', import.meta.url))
const read = (name: string): string => readFileSync(folder + name, 'utf8')

interface Named {
  readonly name: string
}

/** What a kubelet asks of a container: by HTTP, or by a program in it. */
export interface Probe {
  readonly exec?: { readonly command: readonly string[] }
  readonly httpGet?: { readonly path: string; readonly port: string; readonly scheme: string }
}

export interface Container extends Named {
  readonly args: readonly string[]
  readonly env: readonly (Named & { readonly value?: string })[]
  readonly volumeMounts: readonly (Named & { readonly mountPath: string; readonly readOnly?: boolean })[]
  readonly ports: readonly (Named & { readonly containerPort: number })[]
  readonly securityContext: object
  readonly livenessProbe: Probe
  readonly readinessProbe: Probe
  readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } }
}

interface PodSpec {
  readonly volumes: readonly (Named & {
    readonly secret?: { readonly secretName: string; readonly defaultMode: number }
  })[]
  readonly securityContext: { readonly fsGroup: number }
  readonly containers: readonly [Container]
  readonly terminationGracePeriodSeconds: number
}

interface SecretKey {
  readonly name: string
  readonly key: string
}

/** How Prometheus is to ask, in a ServiceMonitor. */
export interface ScrapeEndpoint {
  readonly path: string
  readonly scheme: string
  readonly tlsConfig?: {
    readonly ca: { readonly secret: SecretKey }
    readonly cert?: { readonly secret: SecretKey }
    readonly keySecret?: SecretKey
    readonly serverName: string
  }
  readonly authorization?: { readonly credentials: SecretKey }
}

/** What tests ask of the manifests, whatever their kinds; whether it is there, the schemas of Kubernetes say. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: Named & { readonly labels: Readonly<Record<string, string>> }
  readonly spec: {
    readonly template: { readonly metadata: { readonly labels: object }; readonly spec: PodSpec }
    readonly selector: object & { readonly matchLabels: object }
    readonly podSelector: { readonly matchLabels: object }
    readonly ports: readonly { readonly targetPort: string }[]
    readonly replicas: number
    readonly serviceName: string
    readonly clusterIP?: string
    readonly endpoints: readonly ScrapeEndpoint[]
    readonly jobLabel: string
    readonly maxUnavailable: number
  }
}

type Values = Readonly<Record<string, unknown>>

/** Values over others, as Helm lays them: maps are merged, everything else is replaced. */
function merged(below: unknown, above: unknown): unknown {
  const isMap = (value: unknown): value is Values =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isMap(below) || !isMap(above)) return above === undefined ? below : above
  const keys = [...new Set([...Object.keys(below), ...Object.keys(above)])]
  return Object.fromEntries(keys.map((key) => [key, merged(below[key], above[key])]))
}

const checkValues = new Ajv({ strict: false }).compile(JSON.parse(read('values.schema.json')))

/** What `helm template kv packaging/helm/quorumkv` would be given these values; the text of each template by its name. */
export function renderTexts(values: Values = {}, release: string = 'kv'): Record<string, string> {
  const whole = merged(parse(read('values.yaml')), values)
  if (!checkValues(whole)) throw new Error(`values: ${JSON.stringify(checkValues.errors)}`)
  const chart = parse(read('Chart.yaml')) as Record<string, unknown>
  const dot = {
    Values: whole,
    // Helm gives the fields of Chart.yaml with capital letters.
    Chart: Object.fromEntries(
      Object.entries(chart).map(([name, value]) => [name[0]!.toUpperCase() + name.slice(1), value]),
    ),
    Release: { Name: release, Namespace: 'stores', Service: 'Helm' },
  }
  const templates = new Templates((value) => stringify(value, { lineWidth: 0, sortMapEntries: true }))
  const names = readdirSync(`${folder}templates`).sort()
  for (const name of names) if (name.endsWith('.tpl')) templates.define(read(`templates/${name}`))
  const rendered = names.filter((name) => !name.endsWith('.tpl'))
  return Object.fromEntries(rendered.map((name) => [name, templates.render(read(`templates/${name}`), dot)]))
}

export function renderChart(values: Values = {}, release: string = 'kv'): Manifest[] {
  return Object.entries(renderTexts(values, release))
    .filter(([name]) => name.endsWith('.yaml'))
    .flatMap(([name, text]) =>
      // As Kubernetes reads it: 0440 is octal there.
      parseAllDocuments(text, { version: '1.1' }).flatMap((document) => {
        if (document.errors.length > 0) throw new Error(`${name}: ${document.errors[0]!.message}`)
        const manifest = document.toJS() as Manifest | null
        return manifest === null ? [] : [manifest]
      }),
    )
}
