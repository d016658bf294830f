import { type Ref, ref } from 'vue'

/** Of the page, in CSS pixels. */
export const pageWidth: Ref<number> = ref(innerWidth)
addEventListener('resize', () => {
  pageWidth.value = innerWidth
})
