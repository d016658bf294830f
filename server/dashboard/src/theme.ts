import { type Ref, ref, watchEffect } from 'vue'

export type ThemeChoice = 'auto' | 'light' | 'dark'

const choices: readonly ThemeChoice[] = ['auto', 'light', 'dark']
const storageKey = 'quorumkv.theme'
const prefersDark = matchMedia('(prefers-color-scheme: dark)')

/** Reading and writing what the browser keeps may be forbidden; then the choice holds for this page only. */
function storage(): Storage | undefined {
  try {
    return localStorage
  } catch (error) {
    if (error instanceof DOMException) return undefined
    throw error
  }
}

function kept(): ThemeChoice {
  const text = storage()?.getItem(storageKey)
  return choices.find((choice) => choice === text) ?? 'auto'
}

export const themeChoice: Ref<ThemeChoice> = ref(kept())
const systemDark = ref(prefersDark.matches)
/** What is shown now. */
export const theme: Ref<'light' | 'dark'> = ref('light')

export function nextTheme(): void {
  themeChoice.value = choices[(choices.indexOf(themeChoice.value) + 1) % choices.length]!
}

/** Keeps the page in the chosen colours. */
export function startTheme(): void {
  prefersDark.addEventListener('change', ({ matches }) => {
    systemDark.value = matches
  })
  watchEffect(
    () => {
      const choice = themeChoice.value
      const system = systemDark.value ? 'dark' : 'light'
      theme.value = choice === 'auto' ? system : choice
      document.documentElement.dataset['theme'] = theme.value
      storage()?.setItem(storageKey, choice)
    },
    { flush: 'sync' },
  )
}
