export type {
  MemberView,
  OutgoingMessage,
  SwimEvent,
  SwimMember,
  SwimOptions,
  SwimOutput,
  SwimSettings,
} from './face.js'
export {
  type DigestEntry,
  type MemberStatus,
  type MessageKind,
  messageBytes,
  type Rumour,
  type SwimMessage,
} from './messages.js'
export { Swim } from './swim.js'
