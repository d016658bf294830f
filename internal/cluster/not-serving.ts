import { KvError } from '../base/index.js'
import type { NodePhase } from './node-face.js'

/** What is told to those who ask for operations in another phase than `serving`. */
export function notServing(phase: NodePhase): KvError {
  const message = phase === 'forming' ? 'this node does not belong to a cluster yet' : 'this node is stopping'
  return new KvError('unavailable', message, { outcome: 'not-applied' })
}
