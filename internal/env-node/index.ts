export { makeDirectories } from './make-directories.js'
export { NodeClock } from './node-clock.js'
export { NodeDisk } from './node-disk.js'
export { NodeRandom } from './node-random.js'
