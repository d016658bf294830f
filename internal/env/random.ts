/** Randomness for ids, jitter and choices; not for secrets. */
export interface Random {
  /** 32 uniform bits, as an unsigned number. */
  u32(): number
  /** Uniform in [0, 1). */
  float(): number
  /** `length` fresh random bytes. */
  bytes(length: number): Uint8Array
}
