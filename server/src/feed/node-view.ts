import type { CodeCount, FiguresResponse, Latency, MemberView, OperationFigures } from '@quorumkv/proto/kv/v1/cluster'
import {
  type LatencyView,
  type LoadByKind,
  type LoadView,
  type NodeView,
  type OperationLoad,
  type Opinion,
  operationKinds,
  type ProcessView,
  type RepairView,
  type StorageView,
} from './view.js'

/** What a member told, and what it told before that, for what is counted since it began. */
export interface Told {
  readonly now: FiguresResponse
  /** Undefined: nothing, or it has been started again since. */
  readonly before: FiguresResponse | undefined
}

/** Moments that differ by less are taken for the same one, seen again through clocks that are read at different times. */
const sameMomentMs = 1_500

/** `next`, or `previous` where that is the same moment: so nothing is told anew that has not changed. */
export function steady(previous: number | undefined, next: number): number {
  return previous !== undefined && Math.abs(previous - next) < sameMomentMs ? previous : next
}

function whole(value: bigint | undefined): number {
  return Number(value ?? 0n)
}

/** 0 for what is no number: JSON would make null of it, with which the page cannot reckon. */
function finite(value: number): number {
  return Number.isFinite(value) ? value : 0
}

/** With a digit behind the point: more would change every second and tell nothing. */
function tenths(value: number): number {
  return finite(Math.round(value * 10) / 10)
}

function latencyView(latency: Latency | undefined): LatencyView {
  const { p50Us = 0, p99Us = 0, p999Us = 0, maxUs = 0 } = latency ?? {}
  return { p50: p50Us, p99: p99Us, p999: p999Us, max: maxUs }
}

/** How much something that is counted has grown in a second. */
function rateOf(told: Told): (count: (figures: FiguresResponse) => number) => number {
  const { now, before } = told
  const seconds = before === undefined ? 0 : whole(now.uptimeMs - before.uptimeMs) / 1_000
  return (count) =>
    before === undefined || seconds <= 0 ? 0 : tenths(Math.max(0, count(now) - count(before)) / seconds)
}

type Role = 'coordinator' | 'replica'

function operationOf(figures: FiguresResponse, role: Role, kind: string): OperationFigures | undefined {
  return figures.operations.find((each) => each.role === role && each.kind === kind)
}

function loadByKind(told: Told, role: Role): LoadByKind {
  const rate = rateOf(told)
  const loads: { -readonly [kind in keyof LoadByKind]: OperationLoad } = {}
  for (const kind of operationKinds) {
    const figures = operationOf(told.now, role, kind)
    if (figures === undefined || figures.count === 0n) continue
    loads[kind] = {
      rate: rate((each) => whole(operationOf(each, role, kind)?.count)),
      errors: rate((each) => whole(operationOf(each, role, kind)?.errors)),
      ...latencyView(figures.latency),
    }
  }
  return loads
}

function codesOf(figures: FiguresResponse): CodeCount[] {
  return figures.operations.filter(({ role }) => role === 'coordinator').flatMap(({ errorsByCode }) => errorsByCode)
}

function countOf(figures: FiguresResponse, code: string): number {
  return codesOf(figures).reduce((sum, each) => sum + (each.code === code ? whole(each.count) : 0), 0)
}

export function loadView(told: Told): LoadView {
  const rate = rateOf(told)
  const codes = [...new Set(codesOf(told.now).map(({ code }) => code))]
  const rates = codes.map((code): [string, number] => [code, rate((figures) => countOf(figures, code))])
  return {
    coordinator: loadByKind(told, 'coordinator'),
    replica: loadByKind(told, 'replica'),
    codes: Object.fromEntries(rates.filter(([, each]) => each > 0)),
    quorumFailures: rate(({ quorumFailures }) => whole(quorumFailures)),
  }
}

export function processView(told: Told, previous: ProcessView | undefined): ProcessView {
  const { now } = told
  const { process } = now
  return {
    version: now.serverVersion,
    startedAtMs: steady(previous?.startedAtMs, whole(now.atMs - now.uptimeMs)),
    clockOffsetMs: whole(now.clockOffsetMs),
    ready: now.ready,
    draining: now.draining,
    rssBytes: whole(process?.rssBytes),
    heapUsedBytes: whole(process?.heapUsedBytes),
    heapTotalBytes: whole(process?.heapTotalBytes),
    externalBytes: whole(process?.externalBytes),
    cpu: finite(Math.round((process?.cpu ?? 0) * 100) / 100),
    loopDelay: latencyView(process?.eventLoopDelay),
    gcMs: rateOf(told)((figures) => figures.process?.gcMs ?? 0),
    connections: process?.connections ?? 0,
    streams: process?.streams ?? 0,
    sessions: process?.sessions ?? 0,
    certificateToMs: whole(now.certificateExpiresAtMs),
    certificateProblem: now.certificateProblem,
  }
}

export function storageView(told: Told, previous: StorageView | undefined): StorageView | undefined {
  const { storage, atMs } = told.now
  if (storage === undefined) return undefined
  const { status, snapshotAgeMs } = storage
  return {
    entries: whole(status?.entries),
    tombstones: whole(status?.tombstones),
    dataBytes: whole(storage.dataBytes),
    tableBytes: whole(status?.tableBytes),
    logBytes: whole(status?.logBytes),
    logSegments: status?.logSegments ?? 0,
    readOnly: status?.readOnly ?? false,
    lostSlots: status?.lostSlots ?? 0,
    refillObstacle: status?.refillObstacle ?? '',
    fdatasync: latencyView(storage.fdatasync),
    fdatasyncs: rateOf(told)((figures) => whole(figures.storage?.fdatasyncs)),
    snapshotAtMs: snapshotAgeMs === undefined ? 0 : steady(previous?.snapshotAtMs, whole(atMs - snapshotAgeMs)),
    snapshotRunning: storage.snapshotRunning,
    snapshotMs: whole(storage.snapshotMs),
  }
}

export function repairView(told: Told): RepairView {
  const { now } = told
  const rate = rateOf(told)
  return {
    hintsWaiting: whole(now.hintsWaiting),
    hintBytes: whole(now.hintBytes),
    hintsWritten: rate(({ hintsWritten }) => whole(hintsWritten)),
    hintsReplayed: rate(({ hintsReplayed }) => whole(hintsReplayed)),
    hintsDropped: rate(({ hintsDropped }) => whole(hintsDropped)),
    readRepairs: rate(({ readRepairs }) => whole(readRepairs)),
    differingSlots: now.differingSlots,
    pulled: rate(({ recordsPulled }) => whole(recordsPulled)),
    pushed: rate(({ recordsPushed }) => whole(recordsPushed)),
  }
}

/** What a member told of itself, as parts of its view. */
export function toldParts(told: Told, previous: NodeView | undefined): Partial<NodeView> {
  const storage = storageView(told, previous?.storage)
  return {
    process: processView(told, previous?.process),
    load: loadView(told),
    ...(storage === undefined ? {} : { storage }),
    repair: repairView(told),
  }
}

/** What others say of one member. Round trips are told in steps of 20 µs, which is what they waver by. */
export function opinionOf(views: readonly MemberView[], isAlive: (view: MemberView) => boolean): Opinion {
  const rtts = views
    .flatMap(({ rttUs }) => (rttUs === undefined ? [] : [Math.round(rttUs / 20) * 20]))
    .sort((a, b) => a - b)
  return {
    alive: views.filter(isAlive).length,
    of: views.length,
    rttMedianUs: rtts[rtts.length >> 1] ?? 0,
    rttMaxUs: rtts.at(-1) ?? 0,
    suspicions: views.reduce((sum, { suspicions }) => sum + whole(suspicions), 0),
  }
}
