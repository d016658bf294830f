import { DockerfileParser, type Instruction } from 'dockerfile-ast'

/*
 * The rules of hadolint (https://github.com/hadolint/hadolint/wiki) that can apply to our Dockerfile, by their numbers, and some of
 * our own. hadolint itself is a program in Haskell that neither Debian nor npm has.
 */

const shellWords = (text: string): string => text.replace(/\\\n/g, ' ')

interface Stage {
  readonly name: string | undefined
  readonly from: Instruction
  readonly instructions: Instruction[]
}

function stagesOf(instructions: readonly Instruction[]): Stage[] {
  const stages: Stage[] = []
  for (const instruction of instructions) {
    if (instruction.getKeyword() === 'FROM') {
      const name = / AS (\S+)$/i.exec(instruction.getArgumentsContent() ?? '')?.[1]
      stages.push({ name, from: instruction, instructions: [] })
    } else stages.at(-1)?.instructions.push(instruction)
  }
  return stages
}

type Rule = (stages: readonly Stage[], all: readonly Instruction[]) => string[]

/** All of an instruction behind its keyword, flags included. */
const argumentsOf = (instruction: Instruction): string =>
  shellWords(instruction.getTextContent()).slice(instruction.getKeyword().length).trim()
const named = (keyword: string, instructions: readonly Instruction[]): Instruction[] =>
  instructions.filter((each) => each.getKeyword() === keyword)
const everyRun = (test: (text: string) => boolean): Rule => {
  return (_, all) => named('RUN', all).map(argumentsOf).filter(test)
}

/** Each: what breaks it. */
const rules: Readonly<Record<string, Rule>> = {
  'DL3000 WORKDIR is absolute': (_, all) =>
    named('WORKDIR', all)
      .map(argumentsOf)
      .filter((path) => !path.startsWith('/')),
  'DL3002 the last user is not root, and a number, so that Kubernetes can tell': (stages) => {
    const user = named('USER', stages.at(-1)!.instructions).map(argumentsOf).at(-1)
    return user !== undefined && /^[1-9]\d*:[1-9]\d*$/.test(user) ? [] : [user ?? 'no USER']
  },
  'DL3004 no sudo': everyRun((text) => /\bsudo\b/.test(text)),
  'DL3006, DL3007 the base is pinned by an exact version': (stages, all) => {
    const given = new Map(named('ARG', all).map((each) => argumentsOf(each).split('=') as [string, string]))
    const images = stages.map(({ from }) => argumentsOf(from).replace(/ AS .*$/i, ''))
    const filled = images.map((image) => image.replace(/\$\{(\w+)\}/g, (_, name: string) => given.get(name) ?? ''))
    return filled.filter((image) => !/^[\w./-]+(:\d+\.\d+\.\d+[\w.-]*|@sha256:[0-9a-f]{64})$/.test(image))
  },
  'DL3008 packages of Debian are pinned': (_, all) =>
    named('RUN', all).flatMap((each) => {
      const installed = /apt-get install ([^&|;]*)/.exec(argumentsOf(each))?.[1] ?? ''
      return installed.split(/\s+/).filter((word) => word !== '' && !word.startsWith('-') && !word.includes('='))
    }),
  'DL3009 lists of apt are removed': everyRun(
    (text) => text.includes('apt-get update') && !text.includes('rm -rf /var/lib/apt/lists/*'),
  ),
  'DL3014, DL3015 apt-get install -y --no-install-recommends': everyRun(
    (text) => text.includes('apt-get install') && !/apt-get install -y --no-install-recommends/.test(text),
  ),
  'DL3020 COPY, not ADD': (_, all) => named('ADD', all).map(argumentsOf),
  'DL3021, DL3022 COPY --from names a stage before': (stages) =>
    stages.flatMap(({ instructions }, i) => {
      const before = new Set(stages.slice(0, i).map(({ name }) => name))
      const from = named('COPY', instructions).map((each) => /--from=(\S+)/.exec(argumentsOf(each))?.[1])
      return from.filter((name) => name !== undefined && !before.has(name)) as string[]
    }),
  'DL3024 stages have names of their own': (stages) => {
    const names = stages.flatMap(({ name }) => name ?? [])
    return names.filter((name, i) => names.indexOf(name) !== i)
  },
  'DL3025 CMD, ENTRYPOINT and HEALTHCHECK are lists, without a shell': (_, all) =>
    [...named('CMD', all), ...named('ENTRYPOINT', all), ...named('HEALTHCHECK', all)]
      .map(argumentsOf)
      .filter((text) => !/(^|CMD )\[.*\]$/.test(text)),
  'DL3059 one RUN behind the other is one': (stages) =>
    stages.flatMap(({ instructions }) =>
      instructions.flatMap((each, i) =>
        each.getKeyword() === 'RUN' && instructions[i + 1]?.getKeyword() === 'RUN' ? [argumentsOf(each)] : [],
      ),
    ),
  'DL4000 no MAINTAINER': (_, all) => named('MAINTAINER', all).map(argumentsOf),
  'DL4003, DL4004 one CMD and one ENTRYPOINT at most': (stages) =>
    stages.flatMap(({ instructions }) =>
      ['CMD', 'ENTRYPOINT', 'HEALTHCHECK'].filter((keyword) => named(keyword, instructions).length > 1),
    ),
  'DL4006 no pipe whose first part may fail unseen': everyRun((text) => /[^|]\|[^|]/.test(text)),
  'DL3057 there is a HEALTHCHECK': (stages) =>
    named('HEALTHCHECK', stages.at(-1)!.instructions).length === 1 ? [] : ['none'],
  'nothing is fetched from elsewhere': everyRun((text) => /\b(curl|wget)\b|https?:/.test(text)),
  'no install script runs': everyRun((text) => /npm (ci|install)/.test(text) && !text.includes('--ignore-scripts')),
  'nothing secret is built in': (_, all) =>
    [...named('ARG', all), ...named('ENV', all)]
      .map(argumentsOf)
      .filter((text) => /TOKEN|SECRET|PASSWORD|_KEY\b/.test(text)),
  'what is in the last stage comes from the build, or is named file by file': (stages) =>
    named('COPY', stages.at(-1)!.instructions)
      .map(argumentsOf)
      .filter((text) => /(^|\s)\.\s/.test(text)),
}

/** All rules, by number and meaning. */
export const dockerfileRules: readonly string[] = Object.keys(rules)

/** What is wrong with a Dockerfile: rule and place. */
export function dockerfileFaults(text: string): string[] {
  const all = DockerfileParser.parse(text).getInstructions()
  const stages = stagesOf(all)
  return Object.entries(rules).flatMap(([name, rule]) => rule(stages, all).map((found) => `${name}: ${found}`))
}
