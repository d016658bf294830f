import type { Lock } from './lockfile.mjs'

export interface PathAndManifest {
  readonly path: string
  readonly manifest: object
}

export function readManifests(root: string): PathAndManifest[]
export function pinFaults(manifests: readonly PathAndManifest[]): string[]
export function lockFaults(lock: Lock): string[]
