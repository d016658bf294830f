/*
 * Checks that a value is as an OpenAPI description says: as much of JSON Schema 2020-12 as our description uses. A keyword
 * that is not known here fails, so that nothing passes unchecked.
 */

export type JsonSchema = Readonly<Record<string, unknown>>

/** Keywords that say nothing about a value, or what no type system of JSON can check. */
const notes: ReadonlySet<string> = new Set(['description', 'example', 'format'])

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}

function checkObject(value: object, schema: JsonSchema, root: JsonSchema, path: string): string[] {
  const properties = (schema['properties'] ?? {}) as Readonly<Record<string, JsonSchema>>
  const missing = ((schema['required'] ?? []) as string[]).filter((name) => !Object.hasOwn(value, name))
  const faults = missing.map((name) => `${path}.${name} is missing`)
  for (const [name, part] of Object.entries(value)) {
    const known = properties[name]
    if (known !== undefined) faults.push(...mismatches(part, known, root, `${path}.${name}`))
    else if (schema['additionalProperties'] === false) faults.push(`${path}.${name} is not described`)
  }
  return faults
}

function resolve(reference: string, root: JsonSchema): JsonSchema {
  let part: unknown = root
  for (const name of reference.replace(/^#\//, '').split('/')) part = (part as JsonSchema)[name]
  return part as JsonSchema
}

/** Where `value` is not as `schema` says; references are looked up in `root`. */
export function mismatches(value: unknown, schema: JsonSchema, root: JsonSchema, path = '$'): string[] {
  const faults: string[] = []
  for (const [keyword, wanted] of Object.entries(schema)) {
    switch (keyword) {
      case '$ref':
        faults.push(...mismatches(value, resolve(wanted as string, root), root, path))
        break
      case 'anyOf':
      case 'oneOf': {
        const branches = (wanted as JsonSchema[]).map((branch) => mismatches(value, branch, root, path))
        if (!branches.some((branch) => branch.length === 0)) faults.push(...branches.flat())
        break
      }
      case 'type': {
        const types = [wanted].flat() as string[]
        const type = typeOf(value)
        const fits = types.includes(type) || (type === 'integer' && types.includes('number'))
        if (!fits) faults.push(`${path} is ${type}, described as ${types.join(' or ')}`)
        break
      }
      case 'enum':
        if (!(wanted as unknown[]).includes(value)) faults.push(`${path} is ${JSON.stringify(value)}`)
        break
      case 'items':
        for (const [i, item] of (Array.isArray(value) ? value : []).entries()) {
          faults.push(...mismatches(item, wanted as JsonSchema, root, `${path}[${i}]`))
        }
        break
      case 'properties':
        if (typeof value === 'object' && value !== null) faults.push(...checkObject(value, schema, root, path))
        break
      case 'required':
      case 'additionalProperties':
        break
      default:
        if (!notes.has(keyword)) faults.push(`${path}: the keyword ${keyword} is not known to this check`)
    }
  }
  return faults
}
