import { chmodSync, chownSync, lchownSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Container, Manifest } from './chart.js'
import type { ImageRoot, Ran, Started, Surroundings } from './image-root.js'

/** A secret as a kubelet lays it out in a volume: files are links into a directory that is exchanged as a whole. */
export class SecretVolume {
  readonly path: string
  readonly #group: number
  readonly #mode: number
  #version = 0

  constructor(path: string, group: number, mode: number) {
    this.path = path
    this.#group = group
    this.#mode = mode
    mkdirSync(path)
  }

  /** What the secret has from now on. */
  update(files: Readonly<Record<string, Buffer | string>>): void {
    const name = `..${++this.#version}`
    mkdirSync(join(this.path, name), { mode: 0o750 })
    chownSync(join(this.path, name), 0, this.#group)
    for (const [key, content] of Object.entries(files)) {
      const file = join(this.path, name, key)
      writeFileSync(file, content)
      chmodSync(file, this.#mode)
      chownSync(file, 0, this.#group)
      if (this.#version === 1) symlinkSync(join('..data', key), join(this.path, key))
    }
    symlinkSync(name, join(this.path, '..data_tmp'))
    lchownSync(join(this.path, '..data_tmp'), 0, this.#group)
    renameSync(join(this.path, '..data_tmp'), join(this.path, '..data'))
  }
}

/** What a pod is made of, besides what all of a set have. */
export interface PodOptions {
  readonly image: ImageRoot
  readonly set: Manifest
  readonly ordinal: number
  /** A loopback address of its own: there are no networks of pods here. */
  readonly address: string
  readonly secrets: Readonly<Record<string, SecretVolume>>
}

/** One of a stateful set. */
export class Pod {
  readonly name: string
  readonly address: string
  readonly container: Container
  readonly #image: ImageRoot
  readonly #surroundings: Surroundings

  constructor({ image, set, ordinal, address, secrets }: PodOptions) {
    this.name = `${set.metadata.name}-${ordinal}`
    this.address = address
    this.#image = image
    const { spec } = set.spec.template
    const [container] = spec.containers
    this.container = container
    const mounts = container.volumeMounts.flatMap(({ name, mountPath }) => {
      const secret = spec.volumes.find((volume) => volume.name === name)?.secret
      return secret === undefined ? [] : [[mountPath, secrets[secret.secretName]!.path] as const]
    })
    const environment = container.env.map(({ name, value = this.name }) => [name, this.#filled(value)] as const)
    this.#surroundings = {
      environment: Object.fromEntries(environment),
      readOnly: Object.fromEntries(mounts),
      data: image.volume(this.name),
    }
  }

  /** Everywhere, and its own loopback, are its address. */
  #filled(text: string): string {
    return text.replaceAll('$(POD_NAME)', this.name).replace(/0\.0\.0\.0|127\.0\.0\.1/g, this.address)
  }

  start(): Started {
    return this.#image.start(
      ['kv-server', ...this.container.args.map((each) => this.#filled(each))],
      this.#surroundings,
    )
  }

  /** Runs a command in it. */
  exec(argv: readonly string[], input: string = ''): Ran {
    return this.#image.run(
      argv.map((each) => this.#filled(each)),
      this.#surroundings,
      input,
    )
  }
}
