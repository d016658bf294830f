import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { NodeId } from '@quorumkv/internal/base'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import { parse } from 'yaml'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import type { RunningNode } from '../hosted-node.js'
import { testApp } from '../http/app.test-support.js'
import { startNode } from '../start-node.js'
import { CertificateFolder } from '../tls/certificates.test-support.js'
import { metricDefinitions } from './metrics.js'
import { type Line, valuesIn } from './scrape.test-support.js'

const dayMs = 86_400_000
const docsOps = (file: string): string =>
  readFileSync(fileURLToPath(new URL(`../../../docs/ops/${file}`, import.meta.url)), 'utf8')

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly runbook: string }
}

const { groups } = parse(docsOps('alerts.yaml')) as { groups: { rules: Rule[] }[] }
const rules = groups.flatMap((group) => group.rules)
const rule = (alert: string): Rule => rules.find((each) => each.alert === alert)!

/** Series that an expression of Prometheus wants: a name, and what stands between the braces after it. */
function selectorsIn(expression: string): { name: string; matchers: string[] }[] {
  return [...expression.matchAll(/\b((?:kv|process|nodejs)_[a-z_]+)(?:\{([^}]*)\})?/g)].map(([, name, inside]) => {
    return { name: name!, matchers: inside?.split(/, */) ?? [] }
  })
}

/** The lines of a scrape that a selector takes. */
function matching(lines: readonly Line[], { name, matchers }: { name: string; matchers: string[] }): Line[] {
  return lines.filter((line) => line.name === name && matchers.every((each) => line.labels.split(',').includes(each)))
}

test('every alert has a name of its own, a severity and a runbook', () => {
  expect(rules.length).toBeGreaterThan(10)
  expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
  for (const { alert, labels, annotations } of rules) {
    expect(['info', 'warning', 'critical'], alert).toContain(labels.severity)
    expect(annotations.summary.length, alert).toBeGreaterThan(10)
    expect(annotations.runbook.length, alert).toBeGreaterThan(40)
  }
})

/** The whole answer to a GET over HTTPS, whatever the certificate. */
async function textOf(url: string): Promise<string> {
  const request = get(url, { agent: false, rejectUnauthorized: false })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return text(response)
}

/** What a lone and idle node has no series of. */
const rare = /^kv_(operation_errors_total|member_\w+|differing_slots|handover_slots_missing)$/

/** A scrape of a node to which all of that has happened. */
async function rareLines(): Promise<Line[]> {
  const node = new FakeNode()
  const topology = fakeTopology(3)
  const [self] = topology.members
  node.topology = { ...topology, members: [self!, { ...self!, id: 'n2' as NodeId, number: 2 }] }
  node.instruments.coordinated.put.failed('overloaded')
  const { id, incarnation, since } = self!
  const progress = { slots: 9, done: 4, bytes: 1, remainingBytes: 2, remainingMs: undefined }
  const report = { id, incarnation, since, ...progress, switched: false, obstacle: '' }
  node.handover = { since, step: 'both', waitsFor: [id], reports: [report] }
  const peer = { node: 'n2' as NodeId, comparedMsAgo: 1, differingSlots: 3, obstacle: '' }
  node.convergence = { peers: [peer], recordsPulled: 0, recordsPushed: 0 }
  const lines = valuesIn(await (await testApp(node).app.request('/metrics')).text())
  return lines.filter(({ name }) => rare.test(name))
}

describe('with a node that serves HTTPS', () => {
  const root = mkdtempSync(join(tmpdir(), 'kv-alerts-'))
  const life = { fromMs: Date.now() - dayMs, toMs: Date.now() + 90 * dayMs }
  const ends = (days: number): { toMs: number } => ({ toMs: Date.now() + days * dayMs })
  let folder: CertificateFolder
  let node: RunningNode

  beforeAll(async () => {
    folder = await CertificateFolder.create('alerts', life)
    const { cert, key, ca } = await folder.node('n1', { ...life, ...ends(15) })
    const tls = { tlsCert: cert, tlsKey: key, tlsCa: ca }
    const doors = { addr: '127.0.0.1:0', httpAddr: '127.0.0.1:0' }
    node = await startNode({ ...doors, ...tls, dataDir: join(root, 'n1'), replicationFactor: 1 })
    await node.ready
  })
  afterAll(async () => {
    await node.stop()
    folder[Symbol.dispose]()
    rmSync(root, { recursive: true })
  })

  const scrape = async (): Promise<Line[]> => valuesIn(await textOf(`https://${node.httpAddresses[0]}/metrics`))

  it('every series that an alert names is there, with the labels that it and its texts name', async () => {
    const lines = [...(await scrape()), ...(await rareLines())]
    for (const { alert, expr, annotations } of rules) {
      const selectors = selectorsIn(expr)
      expect(selectors.length > 0 || expr.startsWith('up{job="quorumkv"}'), alert).toBe(true)
      const kept = /\bby \(([a-z, ]+)\)/.exec(expr)?.[1]?.split(', ')
      const named = [...annotations.summary.matchAll(/\$labels\.([a-z]+)/g)].map(([, label]) => label!)
      for (const selector of selectors) {
        const found = matching(lines, selector)
        expect(found, `${alert}: ${selector.name}{${selector.matchers.join()}}`).not.toEqual([])
        // Prometheus itself adds whom it has asked.
        const labels = [
          'instance',
          'job',
          ...found.flatMap((line) => [...line.labels.matchAll(/([a-z]+)=/g)].map(([, each]) => each)),
        ]
        for (const label of kept ?? named) expect(labels, alert).toContain(label)
      }
      if (kept !== undefined) for (const label of named) expect(kept, alert).toContain(label)
    }
  })

  it('a certificate that ends within two weeks is told of, and no other', async () => {
    const [, name, days] = /^(kv_\w+) - time\(\) < (\d+) \* 86400$/.exec(rule('KvCertificateExpires').expr)!
    const told = async (): Promise<string[]> => {
      const late = (await scrape()).filter(
        (line) => line.name === name && line.value - Date.now() / 1_000 < Number(days) * 86_400,
      )
      return late.map(({ labels }) => labels)
    }
    expect(await told()).toEqual([])
    await folder.node('n1', { ...life, ...ends(13) })
    await node.reload()
    expect(await told()).toEqual(['kind="node"'])
    await folder.node('n1', { ...life, ...ends(15) })
    await node.reload()
    expect(await told()).toEqual([])
  })

  it('a certificate that is not used is told of for as long as that is so', async () => {
    const [, name] = /^(kv_\w+) == 1$/.exec(rule('KvCertificateNotUsed').expr)!
    const told = async (): Promise<boolean> => (await scrape()).some((line) => line.name === name && line.value === 1)
    expect(await told()).toBe(false)
    const { cert } = await folder.node('n2', life)
    copyFileSync(cert, join(folder.path, 'n1/tls.crt'))
    await node.reload()
    await node.reload()
    expect(await told()).toBe(true)
    await folder.node('n1', life)
    await node.reload()
    expect(await told()).toBe(false)
  })
})

test('every metric that the Grafana dashboard names exists, and panels do not overlap', () => {
  interface Panel {
    readonly title: string
    readonly id: number
    readonly targets?: readonly { readonly expr: string }[]
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  }
  const known = metricDefinitions.flatMap(({ name, type }) => {
    return type === 'histogram' ? ['_bucket', '_sum', '_count'].map((part) => name + part) : [name]
  })
  const { panels } = JSON.parse(docsOps('grafana.json')) as { panels: Panel[] }
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  let named = 0
  for (const { title, targets = [] } of panels) {
    for (const { expr } of targets) {
      for (const { name } of selectorsIn(expr)) {
        named++
        expect(known, title).toContain(name)
      }
    }
  }
  expect(named).toBeGreaterThan(30)
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
  )
  expect(new Set(cells).size).toBe(cells.length)
})
