import { type Ref, ref } from 'vue'

export const pages = ['overview', 'ring', 'keys', 'events'] as const
export type Page = (typeof pages)[number]

function pageOf(hash: string): Page {
  return pages.find((page) => hash === `#/${page}`) ?? 'overview'
}

/** What is shown, as the address says. */
export const page: Ref<Page> = ref(pageOf(location.hash))

addEventListener('hashchange', () => {
  page.value = pageOf(location.hash)
})

/** At once: keys that are pressed next are meant for it. */
export function show(next: Page): void {
  page.value = next
  location.hash = `#/${next}`
}
