export function releaseBefore(root: string, version: string): string | undefined
export function treeFaults(root: string): string[]
export function versionFaults(root: string): string[]
export function changesOf(root: string, version: string): string | undefined
export function changelogFaults(root: string, version: string): string[]
export function apiFaults(root: string, version: string): string[]
export function formatFaults(root: string, version: string): string[]
