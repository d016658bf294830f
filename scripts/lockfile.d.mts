/** An entry of package-lock.json, as far as it is asked about. */
export interface LockEntry {
  readonly version?: string
  readonly name?: string
  readonly license?: string | undefined
  readonly integrity?: string | undefined
  readonly resolved?: string
  readonly link?: boolean
  readonly dev?: boolean | undefined
  readonly devOptional?: boolean
  readonly optional?: boolean
  readonly peer?: boolean
  readonly hasInstallScript?: boolean
}

export type Lock = ReadonlyMap<string, LockEntry>

export interface Locked {
  readonly place: string
  readonly name: string
  readonly version: string
  readonly entry: LockEntry
}

export interface PublishedManifest {
  readonly dependencies?: Readonly<Record<string, string>>
}

export function readLockfile(root: string): Lock
export function nameOf(place: string): string
export function lockedPackages(lock: Lock): Locked[]
export function readPublished(folder: string): Map<string, PublishedManifest>
export function productionClosure(lock: Lock, published: ReadonlyMap<string, PublishedManifest>, name: string): Locked[]
