export { BucketDigests, bucketCount, bucketOf } from './buckets.js'
export { differingPositions, digestBytes, digestOf, packDigests } from './digests.js'
export { compareEntries, type Difference, type Entry } from './entries.js'
export { groupCount, groupOf, SharedTree, slotsPerGroup } from './shared-tree.js'
