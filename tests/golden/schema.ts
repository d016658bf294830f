import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'

/*
 * What the schemas in proto/ say: which messages there are, and an example of each with something in every field.
 */

const root = new protobuf.Root()
const folder = fileURLToPath(new URL('../../proto/', import.meta.url))
root.resolvePath = (_, target) => folder + target
root.loadSync(['kv/v1/kv.proto', 'kv/v1/cluster.proto', 'kv/peer/v1/messages.proto', 'kv/peer/v1/peer.proto'])
root.resolveAll()

/** A message as the generated code has it: 64-bit numbers as bigint, a `oneof` as `{ $case, value }`. */
export type Message = Record<string, unknown>

/** The requests and responses of a service, by name, sorted. */
export function messagesOf(service: string): string[] {
  const methods = root.lookupService(service).methodsArray
  return [...new Set(methods.flatMap(({ requestType, responseType }) => [requestType, responseType]))].sort()
}

/** The fields of a message that stand for themselves, by the names that the generated code gives them, by number. */
export function fieldsOf(message: string): string[] {
  return [...root.lookupType(message).fieldsArray].sort((a, b) => a.id - b.id).map(({ name }) => name)
}

/** Each field of each message and each number of each enumeration: what may be added to, and never changed. */
export function shapes(): Record<string, Record<string, string>> {
  const found: Record<string, Record<string, string>> = {}
  const visit = (space: protobuf.NamespaceBase): void => {
    for (const each of space.nestedArray) {
      const name = each.fullName.slice(1)
      if (each instanceof protobuf.Enum) {
        found[name] = Object.fromEntries(Object.entries(each.values).map(([key, number]) => [key, `${number}`]))
      } else if (each instanceof protobuf.Type) {
        found[name] = Object.fromEntries(each.fieldsArray.map((field) => [`${field.id}`, shapeOf(field)]))
      } else if (each instanceof protobuf.Service) {
        found[name] = Object.fromEntries(each.methodsArray.map((method) => [method.name, signatureOf(method)]))
      }
      if (each instanceof protobuf.Namespace) visit(each)
    }
  }
  visit(root)
  return found
}

function shapeOf(field: protobuf.Field): string {
  const type = field.resolvedType === null ? field.type : field.resolvedType.fullName.slice(1)
  const group = choiceOf(field)
  const label = field.repeated ? 'repeated ' : isOptional(field) ? 'optional ' : ''
  return `${label}${type} ${field.name}${group === undefined ? '' : ` of ${group}`}`
}

function signatureOf({ requestStream, requestType, responseStream, responseType }: protobuf.Method): string {
  return `${requestStream ? 'stream ' : ''}${requestType} -> ${responseStream ? 'stream ' : ''}${responseType}`
}

/** `optional` of proto3 is a choice of one. */
function isOptional({ partOf }: protobuf.Field): boolean {
  return partOf?.name.startsWith('_') === true
}

/** The `oneof` that a field belongs to. */
function choiceOf(field: protobuf.Field): string | undefined {
  return field.partOf === null || isOptional(field) ? undefined : field.partOf.name
}

/** An example of a message for each way in which its choice, if it has one, can be made. */
export function examplesOf(message: string): Message[] {
  return examples(root.lookupType(message), 0)
}

function examples(type: protobuf.Type, depth: number): Message[] {
  if (depth > 8) throw new Error(`${type.fullName} contains itself`)
  const whole: Message = {}
  const choices: [name: string, field: protobuf.Field][] = []
  for (const field of type.fieldsArray) {
    const choice = choiceOf(field)
    if (choice === undefined) whole[field.name] = exampleOf(field, depth)
    else choices.push([choice, field])
  }
  if (choices.length === 0) return [whole]
  return choices.flatMap(([choice, field]) =>
    values(field, depth).map((value) => ({ ...whole, [choice]: { $case: field.name, value } })),
  )
}

function exampleOf(field: protobuf.Field, depth: number): unknown {
  const all = values(field, depth)
  return field.repeated ? all : all[0]
}

/** Nothing that is a default, which would not be sent. */
function values(field: protobuf.Field, depth: number): unknown[] {
  const { resolvedType, id, name, repeated } = field
  if (resolvedType instanceof protobuf.Type) return examples(resolvedType, depth + 1)
  if (resolvedType instanceof protobuf.Enum) return [Math.max(...Object.values(resolvedType.values))]
  const one = scalar(field.type, id, name)
  return repeated ? [one, scalar(field.type, id + 200, `${name}-2`)] : [one]
}

function scalar(type: string, id: number, name: string): unknown {
  switch (type) {
    case 'string':
      return name
    case 'bytes':
      return Buffer.from(name)
    case 'bool':
      return true
    case 'double':
      return id + 0.5
    case 'uint32':
    case 'fixed32':
      return id * 1_000 + 7
    case 'int32':
    case 'sint32':
      return -id * 1_000 - 7
    case 'int64':
    case 'sint64':
      return BigInt(-id * 1_000 - 7)
    case 'uint64':
    case 'fixed64':
      return BigInt(id) * 2n ** 40n + 7n
    default:
      throw new Error(`no example of a ${type}`)
  }
}
