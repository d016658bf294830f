/** One value of a scrape. */
export interface Line {
  readonly name: string
  readonly labels: string
  readonly value: number
}

/** The values of a scrape. Fails on what is not the text format of Prometheus 0.0.4. */
export function valuesIn(text: string): Line[] {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return lines.map((line) => {
    const match = /^([a-z_]+)(?:\{((?:[a-z]+="[^"\\]*",?)*)\})? (\S+)$/.exec(line)
    if (match === null) throw new Error(`not a value: ${line}`)
    return { name: match[1]!, labels: match[2] ?? '', value: Number(match[3]) }
  })
}

export function shown(lines: readonly Line[], name: string, labels = ''): number | undefined {
  return lines.find((line) => line.name === name && line.labels === labels)?.value
}
