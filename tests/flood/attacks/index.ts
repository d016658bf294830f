import type { Attack } from './attack.js'
import { connectionFloods } from './connections.js'
import { frameFloods } from './frames.js'
import { messageFloods } from './messages.js'
import { readerFloods } from './readers.js'
import { sessionFloods } from './sessions.js'
import { strangerFloods } from './strangers.js'
import { streamFloods } from './streams.js'

/** All of them, in the order in which they are made. */
export const attacks: readonly Attack[] = [
  ...streamFloods,
  ...frameFloods,
  ...messageFloods,
  ...connectionFloods,
  ...sessionFloods,
  ...readerFloods,
  ...strangerFloods,
]

/** Throws where there is none of that name. */
export function attackNamed(name: string): Attack {
  const found = attacks.find((attack) => attack.name === name)
  if (found === undefined) throw new Error(`there is no attack ${name}`)
  return found
}
