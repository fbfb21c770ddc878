/** Password hashes. Passwords are stored only as scrypt hashes, which cost memory as well as time. */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'

/** A password hash and its parameters, as stored in an event. */
export interface HashedPassword {
  /** Base64. */
  readonly salt: string
  /** Base64. */
  readonly hash: string
  readonly scheme: { readonly name: 'scrypt'; readonly N: number; readonly r: number; readonly p: number }
}

/** Each attempt takes 32 MiB and three passes over them. */
const SCHEME = { name: 'scrypt', N: 2 ** 15, r: 8, p: 3 } as const
const KEY_BYTES = 32
/** Memory limit for stored hashes. Without it, a stored hash with large parameters could stop the server. */
const MEMORY_MAX = 256 * 1024 * 1024

const run = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt)

/** Hash to compare with when the account does not exist, so that the check takes as long as for an existing account. */
const DECOY: HashedPassword = {
  salt: randomBytes(16).toString('base64'),
  hash: randomBytes(KEY_BYTES).toString('base64'),
  scheme: SCHEME
}

/** Replaces a stored hash that is not understood. No password matches it, and a check takes as long as any other. */
export const UNUSABLE: HashedPassword = { ...DECOY, hash: '' }

/** Returns the hash of a password. @throws `overloaded` when too many hashes are queued */
export async function hashPassword(password: string): Promise<HashedPassword> {
  const salt = randomBytes(16)
  const hash = await derive(password, salt, SCHEME)
  return { salt: salt.toString('base64'), hash: hash.toString('base64'), scheme: SCHEME }
}

/**
 * Returns whether a password matches a hash, in constant time.
 * @param stored stored hash. Undefined: there is no such account; the check takes the same time
 * @throws `overloaded` when too many hashes are queued
 */
export async function verifyPassword(password: string, stored: HashedPassword | undefined): Promise<boolean> {
  const { salt, hash, scheme } = stored ?? DECOY
  const wanted = Buffer.from(hash, 'base64')
  const got = await derive(password, Buffer.from(salt, 'base64'), scheme)
  // scrypt treats a password and the same password followed by zero bytes as equal.
  const right = wanted.length === got.length && timingSafeEqual(wanted, got)
  return right && stored !== undefined && !password.includes('\0')
}

/** Returns true for a value that `hashPassword` made. Any other value matches no password. */
export function isHashedPassword(value: unknown): value is HashedPassword {
  const { salt, hash, scheme } = (value ?? {}) as Partial<HashedPassword>
  if (typeof salt !== 'string' || typeof hash !== 'string' || scheme?.name !== 'scrypt') return false
  const { N, r, p } = scheme
  return [N, r, p].every((one) => Number.isSafeInteger(one) && one > 0) && 128 * N * r <= MEMORY_MAX && p <= 16
}

let running = 0
const waiting: (() => void)[] = []

/** Runs scrypt, only a few at once: they share the threads that also read and write the log. */
async function derive(password: string, salt: Buffer, { N, r, p }: HashedPassword['scheme']): Promise<Buffer> {
  if (running < limits.hashes_at_once) running++
  else {
    if (waiting.length >= limits.hashes_waiting_max) {
      throw new DaybookError('overloaded', 'Too many sign-ins are in progress. Try again later.', { retry: true })
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
