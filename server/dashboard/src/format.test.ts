import { expect, it } from 'vitest'
import {
  bytesText,
  countText,
  dateTimeText,
  latencyText,
  offsetText,
  percentText,
  rateText,
  unknown,
} from './format.js'

it.each([
  [() => bytesText(0), '0 B'],
  [() => bytesText(1_023), '1023 B'],
  [() => bytesText(1_536), '1.50 KiB'],
  [() => bytesText(64 * 1_048_576), '64 MiB'],
  [() => bytesText(3e15), '2,728 TiB'],
  [() => bytesText(undefined), unknown],
  [() => countText(9_999), '9,999'],
  [() => countText(12_345), '12.3 k'],
  [() => countText(1_234_567), '1.23 M'],
  [() => countText(5e9), '5 G'],
  [() => rateText(0.4), '0.4'],
  [() => rateText(12.4), '12'],
  [() => latencyText(0), unknown],
  [() => latencyText(240), '240 µs'],
  [() => latencyText(1_240), '1.24 ms'],
  [() => latencyText(2_500_000), '2.50 s'],
  [() => percentText(0.3369), '33.7 %'],
  [() => percentText(0.0101), '1.01 %'],
  [() => offsetText(-3), '−3 ms'],
  [() => offsetText(0), '±0 ms'],
  [() => offsetText(12_300), '+12.3 s'],
  [() => dateTimeText(9e15), unknown],
])('numbers for people: %s', (text, expected) => {
  expect(text()).toBe(expected)
})
