import { expect, it } from 'vitest'
import { drawChart, labelsThatFit, linearTicks } from './chart.js'

const axis = { title: '', log: false, ticks: linearTicks(1) }

function legendOf(labels: readonly string[]): { label: string; x: number; y: number }[] {
  const series = labels.map((label) => ({ label, points: [[1, 1] as const] }))
  const svg = drawChart({ title: 'chart', x: axis, y: axis, series })
  const texts = [...svg.matchAll(/<text class="t\d" x="([\d.]+)" y="([\d.]+)">([^<]*)</g)]
  return texts.map(([, x, y, label]) => ({ label: label!, x: Number(x), y: Number(y) }))
}

it('the names of lines stand beside and below each other, and above all that is drawn, however long and many they are', () => {
  const kinds = ['read', 'update', 'insert', 'scan', 'read-modify-write']
  const labels = ['(due)', '(start)'].flatMap((suffix) => kinds.map((kind) => `${kind} ${suffix}`))
  const legend = legendOf(labels)
  expect(legend.map(({ label }) => label)).toEqual(labels)
  for (const [i, { label, x, y }] of legend.entries()) {
    // 11px sans-serif: letters of these names are 6 wide on average.
    expect(x + label.length * 6).toBeLessThanOrEqual(560)
    const next = legend[i + 1]
    if (next?.y === y) expect(next.x).toBeGreaterThan(x + label.length * 6)
    else if (next !== undefined) expect(next.y - y).toBeGreaterThan(11)
  }
  const svg = drawChart({
    ...{ title: 'chart', x: axis, y: axis },
    series: labels.map((label) => ({ label, points: [[0, 1] as const, [1, 1] as const] })),
  })
  const highest = Math.min(...[...svg.matchAll(/points="[\d.]+,([\d.]+)/g)].map(([, y]) => Number(y)))
  expect(highest).toBeGreaterThan(legend.at(-1)!.y)
  expect(Number(/viewBox="0 0 560 (\d+)"/.exec(svg)![1])).toBeGreaterThan(highest + 200)
})

it('long labels below a chart are fewer than short ones, and one at least', () => {
  expect(labelsThatFit(4)).toBeGreaterThan(labelsThatFit(14))
  expect(labelsThatFit(14) * 14 * 6).toBeLessThan(560)
  expect(labelsThatFit(1000)).toBe(1)
})

it('a logarithmic scale has two ticks at least, however near to each other its values are', () => {
  const ticks = [1, 10, 100].map((at) => ({ at, label: `${at} ms` }))
  const series = [
    { label: 'p50', points: [[0, 12] as const, [1, 13] as const] },
    { label: 'p99', points: [[0, 14] as const, [1, 15] as const] },
  ]
  const svg = drawChart({ title: 'chart', x: axis, y: { title: '', log: true, ticks }, series })
  expect([...svg.matchAll(/>(\d+ ms)</g)].map(([, label]) => label)).toEqual(['10 ms', '100 ms'])
})

it('a label at the end of the axis stays within the picture', () => {
  const ticks = [0, 1].map((at) => ({ at, label: '01234567-dirty' }))
  const svg = drawChart({
    ...{ title: 'chart', x: { title: '', log: false, ticks }, y: axis },
    series: [{ label: 'value', points: [[0, 1] as const, [1, 1] as const] }],
  })
  const middles = [...svg.matchAll(/x="([\d.]+)" y="[\d.]+" text-anchor="middle">01/g)].map(([, x]) => Number(x))
  expect(middles).toHaveLength(2)
  for (const x of middles) expect(x + 14 * 3).toBeLessThanOrEqual(560)
})
