export function releaseBefore(root: string, version: string): string | undefined
export function isTagged(root: string, version: string): boolean | undefined
export function tagFaults(root: string, version: string, dryRun: boolean): string[]
export function treeFaults(root: string): string[]
export function versionFaults(root: string): string[]
export function changesOf(root: string, version: string): string | undefined
export function changelogFaults(root: string, version: string): string[]
export function apiFaults(root: string, version: string): string[]
export function formatFaults(root: string, version: string): string[]
