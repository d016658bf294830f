export interface Bill {
  readonly bomFormat: string
  readonly specVersion: string
  readonly metadata: { readonly component: { readonly name: string } }
  readonly components: readonly { readonly purl: string }[]
}

export function billOfMaterials(root: string): Bill
