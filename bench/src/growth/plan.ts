/** What grows in a series of measurements, while the rest stays as it is. */
export type GrowthSeries = 'keys' | 'in-flight' | 'value-bytes' | 'nodes'

/** All series, in the order of reports. */
export const growthSeries: readonly GrowthSeries[] = ['keys', 'in-flight', 'value-bytes', 'nodes']

/** How much work there is, and how many nodes it is shared by. */
export interface GrowthPoint {
  readonly keys: number
  /** Operations at a time. */
  readonly inFlight: number
  readonly valueBytes: number
  readonly nodes: number
}

/** One series: from little to much. */
export interface GrowthLine {
  readonly series: GrowthSeries
  readonly points: readonly GrowthPoint[]
}

const base: GrowthPoint = { keys: 100_000, inFlight: 256, valueBytes: 100, nodes: 3 }
/** Of all values together, and of those in flight: what large values are kept to, so that memory is not what is measured. */
const valuesBytesMax = 268_435_456
const inFlightBytesMax = 33_554_432

const steps: Readonly<Record<GrowthSeries, { readonly normal: readonly number[]; readonly full: readonly number[] }>> =
  {
    keys: { normal: [10_000, 100_000, 1_000_000], full: [10_000, 100_000, 1_000_000, 10_000_000] },
    'in-flight': { normal: [1, 4, 16, 64, 256, 1024], full: [1, 4, 16, 64, 256, 1024] },
    'value-bytes': { normal: [100, 1024, 10_240, 102_400, 1_048_576], full: [100, 1024, 10_240, 102_400, 1_048_576] },
    nodes: { normal: [3, 5, 7], full: [3, 5, 7] },
  }

function pointOf(series: GrowthSeries, value: number): GrowthPoint {
  switch (series) {
    case 'keys':
      return { ...base, keys: value }
    case 'in-flight':
      return { ...base, inFlight: value }
    case 'value-bytes':
      return {
        ...base,
        valueBytes: value,
        keys: Math.min(base.keys, Math.floor(valuesBytesMax / value)),
        inFlight: Math.min(base.inFlight, Math.floor(inFlightBytesMax / value)),
      }
    case 'nodes':
      return { ...base, nodes: value }
    default:
      return series satisfies never
  }
}

/** The series that were asked for, in the order of reports. `full`: up to ten million keys, which takes 8 GB of memory. */
export function growthLines(asked: readonly GrowthSeries[], full: boolean): GrowthLine[] {
  return growthSeries
    .filter((series) => asked.includes(series))
    .map((series) => {
      const values = steps[series][full ? 'full' : 'normal']
      return { series, points: values.map((value) => pointOf(series, value)) }
    })
}

/** What changes in a series, of one point. */
export function grownValue(series: GrowthSeries, point: GrowthPoint): number {
  const values: Readonly<Record<GrowthSeries, number>> = {
    keys: point.keys,
    'in-flight': point.inFlight,
    'value-bytes': point.valueBytes,
    nodes: point.nodes,
  }
  return values[series]
}
