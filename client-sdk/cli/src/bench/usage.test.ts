import { expect, test } from 'vitest'
import { ownUsage, parseCpuSeconds, parseResidentBytes, processUsage, usageBetween } from './usage.js'

const stat = (name: string) =>
  `4711 (${name}) S 1 4711 4711 0 -1 4194560 11000 0 3 0 250 125 7 8 20 0 11 0 12345 1234567890 25000 184467 1 1`

test('CPU time is user and system time, with that of children that have ended', () => {
  expect(parseCpuSeconds(stat('node'))).toBe(3.9)
})

test('a program name with spaces and parentheses does not shift the fields', () => {
  expect(parseCpuSeconds(stat('a (b) c) 9 9'))).toBe(3.9)
})

test('texts without the figures are refused, not read as zero', () => {
  expect(() => parseCpuSeconds('4711 (node) Z 1')).toThrow('has no CPU times')
  expect(() => parseResidentBytes('Name:\tnode\nState:\tZ (zombie)\n')).toThrow('has no VmRSS')
})

test('resident memory is read in kB and told in bytes', () => {
  expect(parseResidentBytes('Name:\tnode\nVmHWM:\t    9000 kB\nVmRSS:\t    2048 kB\n')).toBe(2_097_152)
})

test('between two readings CPU time is the difference, memory the later one', () => {
  const at = (cpuSeconds: number, residentBytes: number) => ({
    client: { id: 'client', cpuSeconds, residentBytes },
    servers: [{ id: 'n1', cpuSeconds: 10 * cpuSeconds, residentBytes: 2 * residentBytes }],
  })
  expect(usageBetween(at(1, 100), at(4, 70))).toEqual({
    client: { id: 'client', cpuSeconds: 3, residentBytes: 70 },
    servers: [{ id: 'n1', cpuSeconds: 30, residentBytes: 140 }],
  })
})

test.runIf(process.platform === 'linux')('what /proc says of this process is what Node says of it', async () => {
  const [own, told] = [ownUsage(), await processUsage({ id: 'self', pid: process.pid })]
  expect(Math.abs(told.cpuSeconds - own.cpuSeconds)).toBeLessThan(0.5)
  expect(told.residentBytes / own.residentBytes).toBeCloseTo(1, 0)
})

test.runIf(process.platform === 'linux')('a node that has ended is named', async () => {
  const pidNobodyHas = 2 ** 22 + 1
  await expect(processUsage({ id: 'n2', pid: pidNobodyHas })).rejects.toThrow(/n2 \(pid 4194305\)/)
})
