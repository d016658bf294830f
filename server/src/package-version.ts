import { readFileSync } from 'node:fs'

interface Manifest {
  readonly version: string
}

/** The version of this package, as `--version` and the cluster's status show it. */
export const packageVersion: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as Manifest
).version
