/** A unit file: the values of each key, in order, by section. Comments and continued lines as systemd.syntax(7) has them. */
export function parseUnit(text: string): Record<string, Record<string, string[]>> {
  const sections: Record<string, Record<string, string[]>> = {}
  let section: Record<string, string[]> | undefined
  for (const line of text.replace(/\\\n/g, ' ').split('\n')) {
    if (line.trim() === '' || /^[#;]/.test(line)) continue
    const heading = /^\[(\w+)\]$/.exec(line)?.[1]
    if (heading !== undefined) {
      sections[heading] ??= {}
      section = sections[heading]
      continue
    }
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? []
    if (section === undefined || key === undefined) throw new Error(`"${line}" is no setting of a section`)
    section[key] ??= []
    section[key].push(value!)
  }
  return sections
}

/** A file of `EnvironmentFile=`: no quoting is used in ours. */
export function parseEnvironment(text: string): Record<string, string> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}
