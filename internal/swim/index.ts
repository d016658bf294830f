export type {
  MemberView,
  OutgoingMessage,
  SwimEvent,
  SwimOptions,
  SwimOutput,
  SwimSettings,
} from './face.js'
export type { SwimMember } from './members.js'
export {
  type DigestEntry,
  type MemberStatus,
  type MessageKind,
  messageBytes,
  type Rumour,
  type SwimMessage,
} from './messages.js'
export { Swim } from './swim.js'
