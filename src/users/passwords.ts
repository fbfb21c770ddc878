/** Passwords as they are kept: through scrypt, which costs memory as well as time, and never as they are. */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'

/** A password's hash and what it was made with, as an event holds it. */
export interface HashedPassword {
  /** Base64. */
  readonly salt: string
  /** Base64. */
  readonly hash: string
  readonly scheme: { readonly name: 'scrypt'; readonly N: number; readonly r: number; readonly p: number }
}

/** 32 MiB and three passes over them for each attempt. */
const SCHEME = { name: 'scrypt', N: 2 ** 15, r: 8, p: 3 } as const
const KEY_BYTES = 32
/** What a stored hash may ask for: who writes one could otherwise stop the server with it. */
const MEMORY_MAX = 256 * 1024 * 1024

const run = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt)

/** What an unknown user's password is compared with, so that it takes as long as a known one's. */
const DECOY: HashedPassword = {
  salt: randomBytes(16).toString('base64'),
  hash: randomBytes(KEY_BYTES).toString('base64'),
  scheme: SCHEME
}

/** What stands where a hash should be and cannot be understood: no password has it, and it takes as long as any. */
export const UNUSABLE: HashedPassword = { ...DECOY, hash: '' }

/** @throws `overloaded` when too many wait */
export async function hashPassword(password: string): Promise<HashedPassword> {
  const salt = randomBytes(16)
  const hash = await derive(password, salt, SCHEME)
  return { salt: salt.toString('base64'), hash: hash.toString('base64'), scheme: SCHEME }
}

/**
 * Compares in a time that says nothing of what is right.
 * @param kept undefined: there is no such user, which takes as long
 * @throws `overloaded` when too many wait
 */
export async function verifyPassword(password: string, kept: HashedPassword | undefined): Promise<boolean> {
  const { salt, hash, scheme } = kept ?? DECOY
  const wanted = Buffer.from(hash, 'base64')
  const got = await derive(password, Buffer.from(salt, 'base64'), scheme)
  // To scrypt a password and the same with zeros after it are one.
  const right = wanted.length === got.length && timingSafeEqual(wanted, got)
  return right && kept !== undefined && !password.includes('\0')
}

/** True for what `hashPassword` made: anything else is no password that can be right. */
export function isHashedPassword(value: unknown): value is HashedPassword {
  const { salt, hash, scheme } = (value ?? {}) as Partial<HashedPassword>
  if (typeof salt !== 'string' || typeof hash !== 'string' || scheme?.name !== 'scrypt') return false
  const { N, r, p } = scheme
  return [N, r, p].every((one) => Number.isSafeInteger(one) && one > 0) && 128 * N * r <= MEMORY_MAX && p <= 16
}

let running = 0
const waiting: (() => void)[] = []

/** A few at once: they share the threads that also read and write the log. */
async function derive(password: string, salt: Buffer, { N, r, p }: HashedPassword['scheme']): Promise<Buffer> {
  if (running < limits.hashes_at_once) running++
  else {
    if (waiting.length >= limits.hashes_waiting_max) {
      throw new DaybookError('overloaded', 'Too many are signing in at this moment.', { retry: true })
    }
    await new Promise<void>((resolve) => waiting.push(resolve))
  }
  try {
    return await run(password.normalize('NFKC'), salt, KEY_BYTES, { N, r, p, maxmem: MEMORY_MAX + 1024 * 1024 })
  } finally {
    const next = waiting.shift()
    if (next === undefined) running--
    else next()
  }
}
