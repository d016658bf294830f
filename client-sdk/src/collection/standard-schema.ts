/**
 * Standard Schema, version 1 (standardschema.dev): the interface that zod, valibot, arktype and other validators have
 * in common. Declared here and not imported, as the standard asks for: it is types only, and costs users no dependency.
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  /** By the standard the tilde keeps it apart from the validator's own properties. */
  readonly '~standard': StandardSchemaProps<Input, Output>
}

/** What a validator says about itself. */
export interface StandardSchemaProps<Input = unknown, Output = Input> {
  /** Of the standard. */
  readonly version: 1
  /** The name of the library. */
  readonly vendor: string
  /** Checks a value, and gives it in the form of `Output`, or what is wrong with it. */
  readonly validate: (value: unknown) => StandardSchemaResult<Output> | Promise<StandardSchemaResult<Output>>
  /** For the compiler alone: absent at run time. */
  readonly types?:
    | {
        /** What it accepts. */
        readonly input: Input
        /** What it gives. */
        readonly output: Output
      }
    | undefined
}

/** The outcome of a check: a value, or issues. */
export type StandardSchemaResult<Output> =
  | {
      /** As the schema makes it. */
      readonly value: Output
      /** Absent: it fits. */
      readonly issues?: undefined
    }
  | {
      /** What is wrong. */
      readonly issues: readonly StandardSchemaIssue[]
    }

/** One thing that is wrong with a value. */
export interface StandardSchemaIssue {
  /** For people. */
  readonly message: string
  /** Where in the value; absent or empty: all of it. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** What a schema accepts. */
export type SchemaInput<S extends StandardSchemaV1> = NonNullable<S['~standard']['types']>['input']

/** What a schema gives. */
export type SchemaOutput<S extends StandardSchemaV1> = NonNullable<S['~standard']['types']>['output']

/** Some validators are functions with properties, arktype's for instance. */
export function isStandardSchema(value: unknown): value is StandardSchemaV1 {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  const props: unknown = (value as Partial<StandardSchemaV1>)['~standard']
  return typeof props === 'object' && props !== null && 'validate' in props && typeof props.validate === 'function'
}

/** Where an issue lies, as it would be written behind `value`: `.address[0]["street name"]`; empty: all of it. */
export function pathOf(issue: StandardSchemaIssue): string {
  return (issue.path ?? []).map((part) => stepOf(typeof part === 'object' ? part.key : part)).join('')
}

function stepOf(key: PropertyKey): string {
  if (typeof key === 'number') return `[${key}]`
  if (typeof key === 'symbol') return `[${String(key)}]`
  return /^[\p{ID_Start}_$][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
}
