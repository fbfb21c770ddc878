/**
 * Loaded into each process of the tests. A password hash is costly on purpose, a quarter of a second of processor time,
 * and a store with accounts makes two: most of the time of such tests. Here a hash costs nothing, in all processes alike,
 * so that a server process accepts the passwords that a test process has stored.
 */
import crypto, { type BinaryLike, type ScryptOptions } from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'

type Done = (error: Error | null, key: Buffer) => void

const { scrypt } = crypto
const cheapScrypt = (password: BinaryLike, salt: BinaryLike, bytes: number, options: ScryptOptions, done: Done) =>
  scrypt(password, salt, bytes, { ...options, N: 16, p: 1 }, done)
Object.assign(crypto, { scrypt: cheapScrypt })
syncBuiltinESMExports()
