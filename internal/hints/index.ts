export type { HintFileReader, HintPage } from './hint-file.js'
export { type HintStatus, HintStore } from './hint-store.js'
export type { HintGround, HintOwner } from './owner-files.js'
export type { OwnerHints } from './owner-hints.js'
